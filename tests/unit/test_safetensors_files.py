"""The index of a sharded checkpoint and the headers of its files are hostile until they are checked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import write_sharded, write_tiny_checkpoint
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_phi.checkpoint import INDEX_FILE, PhiConfig, open_checkpoint, read_config, weights_files
from edge_phi.errors import EdgePhiError, InvalidFile
from edge_phi.store import find_model

FIRST, SECOND, THIRD = (f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3))


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A one-layer Phi in three shards. Shared: do not write into it."""
    folder = write_tiny_checkpoint(tmp_path_factory.mktemp("shards") / "sharded", layers=1)
    write_sharded(folder, 3)
    return folder


@pytest.fixture
def sharded(shards: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shards, tmp_path / "sharded"))


def change_index(folder: Path, change: Callable[[dict[str, str]], None]) -> None:
    index = json.loads((folder / INDEX_FILE).read_text())
    change(index["weight_map"])
    (folder / INDEX_FILE).write_text(json.dumps(index))


def refused(folder: Path) -> str:
    with pytest.raises(InvalidFile) as caught:
        open_checkpoint(folder)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    return str(caught.value)


def test_every_tensor_is_that_of_the_single_file(sharded: Path, tmp_path: Path) -> None:
    single = open_checkpoint(write_tiny_checkpoint(tmp_path / "single", layers=1))
    opened = open_checkpoint(sharded)
    assert {opened.tensors[name].file for name in opened.tensors} == {FIRST, SECOND, THIRD}
    for name in single.tensors:
        np.testing.assert_array_equal(opened.tensor(name), single.tensor(name))
    assert weights_files(sharded) == [INDEX_FILE, FIRST, SECOND, THIRD]
    (artifact,) = find_model(sharded).artifacts
    assert artifact.file_bytes == sum((sharded / name).stat().st_size for name in weights_files(sharded))


def test_a_single_file_counts_before_an_index_as_in_transformers(sharded: Path) -> None:
    (sharded / INDEX_FILE).write_text("{}")
    write_tiny_checkpoint(sharded, layers=1, seed=3)
    assert weights_files(sharded) == ["model.safetensors"]
    assert open_checkpoint(sharded).path_of("lm_head.bias").name == "model.safetensors"


def test_a_missing_shard_is_named(sharded: Path) -> None:
    (sharded / SECOND).unlink()
    assert refused(sharded).startswith(f"{sharded / SECOND}: missing")
    (sharded / SECOND).mkdir()
    assert refused(sharded).startswith(f"{sharded / SECOND}: missing")


@pytest.mark.parametrize(
    "name",
    [
        "../model.safetensors", "/etc/hostname", "a/b.safetensors", "..\\x.safetensors", "C:x.safetensors", "", ".",
        ".safetensors", "..safetensors", "pytorch_model.bin", "a\0.safetensors", "a\n.safetensors",
        "x" * 300, "é.safetensors",
    ],
)  # fmt: skip
def test_shards_are_plain_names_in_the_folder(sharded: Path, name: str) -> None:
    write_tiny_checkpoint(sharded.parent, layers=1)  # a readable file where "../model.safetensors" leads
    change_index(sharded, lambda places: places.update({"lm_head.bias": name}))
    assert "is no shard of its folder" in refused(sharded)


def test_links_out_of_the_folder_are_not_followed_but_those_of_the_hubs_cache(sharded: Path, tmp_path: Path) -> None:
    (sharded / SECOND).rename(sharded / "kept.safetensors")
    (sharded / SECOND).symlink_to("kept.safetensors")
    open_checkpoint(sharded)
    (sharded / "kept.safetensors").rename(tmp_path / "outside.safetensors")
    (sharded / SECOND).unlink()
    (sharded / SECOND).symlink_to(tmp_path / "outside.safetensors")
    assert "a link out of its folder" in refused(sharded)

    (sharded / SECOND).unlink()
    shutil.copy(tmp_path / "outside.safetensors", sharded / SECOND)
    snapshot, blobs = tmp_path / "models--a--b/snapshots/0123", tmp_path / "models--a--b/blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, file in enumerate(sorted(sharded.iterdir())):
        shutil.copy(file, blobs / str(number))
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    assert open_checkpoint(snapshot).tensor("lm_head.bias").shape == (380,)


def test_each_tensor_is_in_one_place(sharded: Path) -> None:
    change_index(sharded, lambda places: places.pop("lm_head.bias"))
    assert "holds tensor lm_head.bias, which model.safetensors.index.json says nothing of" in refused(sharded)
    change_index(sharded, lambda places: places.update({"lm_head.bias": FIRST}))
    assert "holds tensor lm_head.bias" in refused(sharded)
    change_index(sharded, lambda places: places.update({"lm_head.bias": THIRD, "lm_head.extra": SECOND}))
    assert f"{sharded / SECOND}: tensor lm_head.extra is missing" in refused(sharded)
    text = json.dumps({"weight_map": {"lm_head.bias": THIRD}})
    (sharded / INDEX_FILE).write_text(text.replace("}}", f', "lm_head.bias": "{FIRST}"' + "}}"))
    assert "lm_head.bias is there twice" in refused(sharded)


def test_a_tensor_nobody_has_is_named_with_the_index(sharded: Path) -> None:
    config = json.loads((sharded / "config.json").read_text())
    (sharded / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 2}))
    assert f"{INDEX_FILE}: tensor model.layers.1.input_layernorm.weight is missing" in refused(sharded)
    (sharded / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 2**24}))
    assert "says 16777216 layers" in refused(sharded)  # before millions of names are made


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{}", '{"weight_map": []}', '{"weight_map": {}}', '{"weight_map": {"a": 1}}', "[" * 10**5],
)
def test_a_damaged_index_is_one_line(sharded: Path, text: str) -> None:
    (sharded / INDEX_FILE).write_text(text)
    assert refused(sharded).startswith(f"{sharded / INDEX_FILE}: damaged")
    with pytest.raises(InvalidFile):
        _ = find_model(sharded).artifacts[0].file_bytes


def change_header(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda h: h["lm_head.bias"].update(dtype="U8"), "lm_head.bias is U8: only F32, F16 and BF16"),
        (lambda h: h["lm_head.bias"].update(shape=[379]), "lm_head.bias lies outside"),
        (lambda h: h["lm_head.bias"].update(shape=[-380]), "no sizes"),
        (lambda h: h["lm_head.bias"].update(shape=[38, 10]), r"has shape [38, 10], config.json says [380]"),
        (lambda h: h["lm_head.bias"].update(data_offsets=[8, 9]), "lies outside"),
        (lambda h: h["lm_head.bias"].update(data_offsets=[8, 1528]), "a gap or an overlap"),
        (lambda h: h["lm_head.bias"].update(data_offsets=[0.5, 1520.5]), "no sizes"),
        (lambda h: h.update(later={"dtype": "F32", "shape": [2**62], "data_offsets": [0, 2**64]}), "lies outside"),
    ],
)  # fmt: skip
def test_headers_are_checked_against_the_file(sharded: Path, change: Callable[[Any], None], words: str) -> None:
    change_header(sharded / THIRD, change)
    said = refused(sharded)
    assert said.startswith(f"{sharded / THIRD}: ") and words in said


def test_bytes_that_belong_to_no_tensor_are_refused(sharded: Path) -> None:
    with (sharded / THIRD).open("ab") as file:
        file.write(b"more")
    assert "4 bytes after the last tensor" in refused(sharded)


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_becomes_of_a_byte_before_the_weights_it_is_one_line_or_no_harm(
    shards: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from([INDEX_FILE, "config.json", THIRD]))
    raw = bytearray((shards / name).read_bytes())
    end = 8 + int.from_bytes(raw[:8], "little") if name == THIRD else len(raw)
    raw[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.mktemp("changed")
    for file in shards.iterdir():
        (folder / file.name).hardlink_to(file)
    (folder / name).unlink()
    (folder / name).write_bytes(raw)
    try:
        opened = open_checkpoint(folder)
        for tensor, shape in opened.config.tensor_shapes().items():
            assert opened.tensor(tensor).shape == shape
    except EdgePhiError as error:
        assert "\n" not in str(error) and str(folder) in str(error)
    finally:
        shutil.rmtree(folder)


# What transformers 5.23 wrote for a PhiConfig of these numbers, apart from keys that decide nothing.
TRANSFORMERS_5 = {
    "architectures": ["PhiForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 1, "dtype": "bfloat16",
    "embd_pdrop": 0.0, "eos_token_id": 2, "hidden_act": "gelu_new", "hidden_size": 64, "intermediate_size": 128,
    "layer_norm_eps": 1e-05, "max_position_embeddings": 2048, "model_type": "phi", "num_attention_heads": 4,
    "num_hidden_layers": 2, "num_key_value_heads": 4, "pad_token_id": None, "qk_layernorm": False, "resid_pdrop": 0.0,
    "rope_parameters": {"partial_rotary_factor": 0.25, "rope_theta": 50000.0, "rope_type": "default"},
    "tie_word_embeddings": False, "transformers_version": "5.23.0", "use_cache": True, "vocab_size": 512,
}  # fmt: skip


def test_transformers_5_says_its_rotary_parameters_in_another_place() -> None:
    config = PhiConfig.from_json(TRANSFORMERS_5)
    assert (config.rope_theta, config.rotary_dim, config.eos_token_id) == (50_000.0, 4, 2)
    # There what is nested counts; and the two ways to say it are one to us.
    assert PhiConfig.from_json(TRANSFORMERS_5 | {"rope_theta": 10_000.0}).rope_theta == 50_000.0
    flat = {key: value for key, value in TRANSFORMERS_5.items() if key != "rope_parameters"}
    assert PhiConfig.from_json(flat | {"rope_theta": 50000.0, "partial_rotary_factor": 0.25}) == config
    assert PhiConfig.from_json(flat).rotary_dim == 8  # phi's own default


@pytest.mark.parametrize("kind", ["linear", "yarn", "llama3", 3])
@pytest.mark.parametrize("key", ["rope_type", "type"])
def test_stretched_rotations_are_refused(kind: object, key: str) -> None:
    for place in ("rope_parameters", "rope_scaling"):
        flat = {name: value for name, value in TRANSFORMERS_5.items() if name != "rope_parameters"}
        with pytest.raises(InvalidFile, match="rope_type is"):
            PhiConfig.from_json(flat | {place: {key: kind, "factor": 2.0}})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "llama"}, "model_type is 'llama': only 'phi'"),
        ({"model_type": "phi-msft"}, "only 'phi'"),
        ({"architectures": ["PhiForSequenceClassification"]}, "PhiForSequenceClassification"),
        ({"quantization_config": {"quant_method": "bitsandbytes", "x": "y" * 1000}}, "bitsandbytes"),
        ({"rope_parameters": [1]}, "must be a JSON object"),
        ({"rope_parameters": {"rope_theta": 0}}, "rope_theta is 0"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps is nan"),
        ({"eos_token_id": 512}, "one of the 512 ids"),
        ({"eos_token_id": None}, "one of the 512 ids"),
        ({"eos_token_id": [2, 3]}, "one of the 512 ids"),
        ({"vocab_size": "512"}, "wrong type"),
    ],
)
def test_other_configurations_are_refused_by_name(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        PhiConfig.from_json(TRANSFORMERS_5 | change)
    assert words in str(caught.value) and len(str(caught.value)) < 250


@pytest.mark.parametrize("ends", [{"bos_token_id": 1, "eos_token_id": 2}, {"eos_token_id": None}, {}])
def test_ends_of_text_that_phi_does_not_have_are_corrected_with_a_note(ends: dict[str, Any], tmp_path: Path) -> None:
    config = PhiConfig(
        vocab_size=51_200, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2
    )
    said = config.to_json()
    del said["eos_token_id"], said["bos_token_id"]
    (tmp_path / "config.json").write_text(json.dumps(said | ends))
    assert read_config(tmp_path).eos_token_id == 50256
    write_random(tmp_path, config)
    (note,) = open_checkpoint(tmp_path).notes
    assert note.startswith(f"{tmp_path / 'config.json'}: eos_token_id") and "50256, which is used instead" in note
    (tmp_path / "config.json").write_text(json.dumps(said | {"eos_token_id": [50256]}))
    assert open_checkpoint(tmp_path).notes == ()


def write_random(folder: Path, config: PhiConfig) -> None:
    from safetensors.numpy import save_file

    save_file(
        {name: np.ones(shape, np.float16) for name, shape in config.tensor_shapes().items()},
        folder / "model.safetensors",
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_a_value_that_is_no_number_is_refused_by_name(tmp_path: Path, dtype: str, value: float) -> None:
    folder = write_tiny_checkpoint(tmp_path, layers=1, dtype=dtype)
    name = "model.layers.0.self_attn.k_proj.weight"
    stored = open_checkpoint(folder).tensors[name]
    bits = {
        "F32": np.float32(value).tobytes(),
        "F16": np.float16(value).tobytes(),
        "BF16": np.float32(value).tobytes()[2:],
    }
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(stored.offset + stored.nbytes // 2)
        file.write(bits[dtype])
    opened = open_checkpoint(folder)
    with pytest.raises(
        InvalidFile, match=r"model\.safetensors: tensor model\.layers\.0\.self_attn\.k_proj\.weight holds"
    ):
        opened.tensor(name)
    opened.tensor("model.layers.0.self_attn.q_proj.weight")


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "model.pt", "model.pth", "a.ckpt"]
)
def test_pickled_weights_are_refused_by_name_however_they_are_asked_for(sharded: Path, name: str) -> None:
    for file in sharded.glob("model*"):
        file.unlink()
    (sharded / name).write_bytes(b"\x80\x04")
    assert f"{sharded / name}: pickled weights" in refused(sharded)
    with pytest.raises(InvalidFile, match="pickled weights"):
        find_model(sharded)
