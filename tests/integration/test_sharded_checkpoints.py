"""Folders that transformers wrote in shards give every path the weights that a single file gives."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch, of the extra 'train', is not installed")
transformers = pytest.importorskip("transformers", reason="transformers, of the extra 'train', is not installed")
pytest.importorskip("gguf", reason="the gguf package, of the extra 'convert', is not installed")
pytest.importorskip("onnx", reason="onnx, of the extra 'convert', is not installed")

from conftest import write_tiny_checkpoint  # noqa: E402

from edge_phi.checkpoint import INDEX_FILE, open_checkpoint, weights_files  # noqa: E402
from edge_phi.cli import main  # noqa: E402
from edge_phi.errors import InvalidCall, InvalidFile  # noqa: E402
from edge_phi.lineage import sha256_of, verify  # noqa: E402
from edge_phi.runtimes import open_runtime  # noqa: E402
from edge_phi.store import find_model  # noqa: E402

TOKENS = np.random.default_rng(2).integers(0, 380, 40).tolist()


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("single") / "tiny", layers=2, dtype="BF16")


@pytest.fixture(scope="module")
def sharded(single: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model as transformers saves it in pieces of at most 500 kB."""
    folder = tmp_path_factory.mktemp("sharded") / "tiny"
    model = transformers.PhiForCausalLM.from_pretrained(single, dtype=torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="500KB")
    shutil.copy(single / "tokenizer.json", folder)
    assert len(weights_files(folder)) > 4
    return folder


def logits(folder: Path, form: str) -> np.ndarray:
    runtime = open_runtime(find_model(folder).artifact(form))
    try:
        return runtime.extend(TOKENS, all_logits=True)
    finally:
        runtime.close()


def test_pytorch_computes_the_same(single: Path, sharded: Path) -> None:
    np.testing.assert_array_equal(logits(sharded, "torch:float32"), logits(single, "torch:float32"))


def test_conversions_are_the_same_and_name_every_shard(single: Path, sharded: Path, tmp_path: Path) -> None:
    forms = "gguf:f32,gguf:f16,onnx:float32,onnx:int4"
    for source, out in ((single, "one"), (sharded, "many")):
        assert main(["convert", str(source), "--to", forms, "--out", str(tmp_path / out)]) == 0
    one, many = tmp_path / "one", tmp_path / "many"
    for name in ("tiny.f32.gguf", "tiny.f16.gguf", "onnx-int4/onnx/model_q4.onnx", "onnx-int4/onnx/model_q4.onnx_data"):
        assert (one / name).read_bytes() == (many / name).read_bytes()
    np.testing.assert_array_equal(logits(many, "onnx:float32"), logits(one, "onnx:float32"))
    np.testing.assert_allclose(logits(many, "onnx:float32"), logits(sharded, "torch:float32"), atol=1e-3)

    hashes = {name: sha256_of(sharded / name) for name in weights_files(sharded)}
    for artifact in ("tiny.f32.gguf", "model.onnx", "onnx-int4"):
        assert hashes.items() <= verify(many / artifact, checkpoint_folder=sharded).source.items()
    assert verify(many / "model.onnx").files == hashes | {"model.onnx": sha256_of(many / "model.onnx")}
    assert main(["models", "verify", str(many)]) == 0


def test_a_graph_beside_its_shards_is_held_against_them(sharded: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sharded, tmp_path / "tiny"))
    assert main(["convert", str(folder), "--to", "onnx:float32"]) == 0
    assert np.isfinite(logits(folder, "onnx:float32")).all()
    files = weights_files(folder)[1:]
    places = {name: at.file for name, at in open_checkpoint(folder).tensors.items()}
    moved = files[0]
    (folder / moved).rename(folder / "other.safetensors")
    index = {"weight_map": {name: "other.safetensors" if file == moved else file for name, file in places.items()}}
    (folder / INDEX_FILE).write_text(json.dumps(index))
    (folder / moved).symlink_to(
        "other.safetensors"
    )  # the bytes that the graph names are there, the index tells otherwise
    with pytest.raises(InvalidFile, match="was made for other weights"):
        logits(folder, "onnx:float32")


def test_other_weights_in_the_folder_are_left_alone(single: Path, sharded: Path, tmp_path: Path) -> None:
    from edge_phi.convert.onnx import export_onnx

    out = Path(shutil.copytree(single, tmp_path / "out"))
    with pytest.raises(InvalidCall, match=r"model\.safetensors: another model's weights"):
        export_onnx(sharded, "float32", out)
    assert not (out / INDEX_FILE).exists() and not (out / "model.onnx").exists()


def test_training_starts_and_grows_from_shards(single: Path, sharded: Path) -> None:
    from edge_phi.train.grow import grow
    from edge_phi.train.state_dict import read_weights

    (config, ours), (_, theirs) = read_weights(sharded), read_weights(single)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    larger = dataclasses.replace(config, num_hidden_layers=3)
    ours, theirs = grow(sharded, larger, seed=1), grow(single, larger, seed=1)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_what_an_early_or_a_later_transformers_says_is_written_out_for_other_programs(
    single: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As transformers 5 nests it, with its defaults for the ends of a text, at phi's vocabulary."""
    folder = tmp_path / "early"
    config = transformers.PhiConfig(
        vocab_size=51_200, hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=1,
        rope_theta=50_000.0, partial_rotary_factor=0.25,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.PhiForCausalLM(config).eval()
    model.save_pretrained(folder, max_shard_size="5MB")
    said = json.loads((folder / "config.json").read_text())
    assert (said["bos_token_id"], said["eos_token_id"]) == (1, 2)
    nested = {"rope_theta": said.pop("rope_theta"), "partial_rotary_factor": said.pop("partial_rotary_factor")}
    said["rope_parameters"] = nested | {"rope_type": "default"}
    (folder / "config.json").write_text(json.dumps(said))
    (folder / "tokenizer.json").write_bytes((single / "tokenizer.json").read_bytes())

    assert main(["convert", str(folder), "--to", "onnx:float32", "--out", str(tmp_path / "out")]) == 0
    assert "eos_token_id 2 is that of early Phi configurations" in capsys.readouterr().err
    written = transformers.PhiForCausalLM.from_pretrained(tmp_path / "out")
    assert (written.config.eos_token_id, written.generation_config.eos_token_id) == (50256, 50256)
    with torch.inference_mode():
        expected = model(torch.tensor([TOKENS])).logits[0].numpy()
        np.testing.assert_allclose(written(torch.tensor([TOKENS])).logits[0].numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(logits(tmp_path / "out", "onnx:float32"), expected, atol=1e-4)
    np.testing.assert_allclose(logits(folder, "torch:float32"), expected, atol=1e-5)
    assert main(["models", "show", str(folder)]) == 0
    assert "early Phi configurations" in capsys.readouterr().out
