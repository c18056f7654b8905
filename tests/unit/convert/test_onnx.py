from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import write_tiny_checkpoint
from safetensors.numpy import load_file, save_file

from edge_phi import blocks
from edge_phi.atomic import write_bytes
from edge_phi.checkpoint import open_checkpoint, read_config
from edge_phi.errors import EdgePhiError, InvalidCall, InvalidFile

onnx = pytest.importorskip("onnx", reason="the onnx package, of the extra 'convert', is not installed")
from edge_phi.convert.calibration import Calibration  # noqa: E402
from edge_phi.convert.onnx import export_onnx  # noqa: E402

CALIBRATION = Calibration(np.random.default_rng(3).integers(0, 380, (8, 128), np.int32), "random", "")


@pytest.fixture
def checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_checkpoint, tmp_path / "tiny-phi")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_full_precision_adds_only_a_graph_to_the_checkpoint(checkpoint: Path) -> None:
    before = contents(checkpoint)
    export_onnx(checkpoint, "float32", checkpoint)
    after = contents(checkpoint)
    graph = after.pop("model.onnx")
    assert after == before
    assert len(graph) < len(before["model.safetensors"]) / 20
    onnx.checker.check_model(checkpoint / "model.onnx")
    model = onnx.load(checkpoint / "model.onnx")
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    stored = open_checkpoint(checkpoint)
    for name in stored.tensors:
        np.testing.assert_array_equal(weights[name], stored.tensor(name))


def test_full_precision_elsewhere_stands_on_its_own(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "models" / "tiny-phi"
    export_onnx(checkpoint, "float32", out)
    assert contents(out).keys() == {"model.onnx", "model.safetensors", "config.json", "tokenizer.json"}
    assert (out / "model.safetensors").read_bytes() == (checkpoint / "model.safetensors").read_bytes()
    assert (out / "model.safetensors").stat().st_nlink == 1  # the onnx package reads no hard links
    export_onnx(checkpoint, "float32", out)


def test_another_models_weights_are_left_alone(checkpoint: Path, tmp_path: Path) -> None:
    other = write_tiny_checkpoint(tmp_path / "other", seed=1)
    before = contents(other)
    with pytest.raises(InvalidCall, match="another model's weights"):
        export_onnx(checkpoint, "float32", other)
    assert contents(other) == before


def test_a_folder_of_other_things_is_not_replaced(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_onnx(checkpoint, "int4", out)
    graph = {"onnx/model_q4.onnx", "onnx/model_q4.onnx_data"}
    assert contents(out).keys() == graph | {"config.json", "genai_config.json", "tokenizer.json"}
    (out / "model.onnx").write_bytes(b"an export of an earlier version")
    export_onnx(checkpoint, "int4", out)
    assert not (out / "model.onnx").exists()
    for name in ("thesis.txt", "onnx/thesis.txt", "thesis/model.onnx"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("years of work")
        with pytest.raises(InvalidCall, match="thesis"):
            export_onnx(checkpoint, "int4", out)
        with pytest.raises(InvalidCall, match="is a file"):
            export_onnx(checkpoint, "int4", out / name)
        assert (out / name).read_text() == "years of work"
        (out / name).unlink()


@pytest.mark.parametrize("quant", ["float32", "float16", "int8", "int4"])
def test_the_same_checkpoint_gives_the_same_bytes(checkpoint: Path, tmp_path: Path, quant: str) -> None:
    export_onnx(checkpoint, quant, tmp_path / "first")
    export_onnx(checkpoint, quant, tmp_path / "second")
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


@pytest.mark.parametrize(("quant", "bits"), [("float16", 16), ("int8", 8.5), ("int4", 4.5)])
def test_weights_take_the_bits_they_are_said_to(checkpoint: Path, tmp_path: Path, quant: str, bits: float) -> None:
    export_onnx(checkpoint, quant, tmp_path / "out")
    config = open_checkpoint(checkpoint).config
    table = config.vocab_size * config.hidden_size  # embedding and output head: 8 bits or more
    data = next((tmp_path / "out").rglob("*_data")).stat().st_size
    assert data < ((config.parameters - 2 * table) * bits + 2 * table * max(bits, 8.5)) / 8 * 1.05


def stored_matrices(folder: Path) -> dict[str, np.ndarray]:
    """What each group of products, and the embedding, stands for: float32 [rows, width], by its name in the graph."""
    graph = onnx.load(folder / "onnx" / "model_q4.onnx").graph
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    matrices = {}
    for name, codes in arrays.items():
        if name.endswith(".codes"):
            scales = arrays[name.replace(".codes", ".scales.float16")]
            codes = codes.reshape(*scales.shape, -1)
            matrices[name.removesuffix(".codes")] = blocks.dequantize(blocks.Blocks(codes.shape[2] // 4, codes, scales))
    return matrices


@pytest.mark.parametrize("calibrated", [False, True])
def test_weights_that_were_trained_to_the_grid_stay_what_they_are(tmp_path: Path, calibrated: bool) -> None:
    """The grid of llama.cpp's Q4_0: codes from -8 to 7, the scale in float16, an eighth of a block's extreme."""
    folder = write_tiny_checkpoint(tmp_path / "trained", dtype="F32")
    path = folder / "model.safetensors"
    weights = load_file(path)
    for name, values in weights.items():
        if values.ndim == 2:
            x = values.reshape(-1, 32)
            extreme = np.take_along_axis(x, np.abs(x).argmax(axis=1)[:, None], axis=1)
            scale = (extreme / -8).astype(np.float16).astype(np.float32)
            weights[name] = (np.clip(np.rint(x / scale), -8, 7) * scale).reshape(values.shape)
    save_file(weights, path)
    export_onnx(folder, "int4", tmp_path / "out", calibration=CALIBRATION if calibrated else None)
    found = stored_matrices(tmp_path / "out")
    layer = "model.layers.0."
    inputs = np.concatenate(
        [weights[f"{layer}{name}.weight"] for name in (*(f"self_attn.{part}_proj" for part in "qkv"), "mlp.fc1")]
    )
    outputs = np.concatenate([weights[f"{layer}{name}.weight"] for name in ("self_attn.dense", "mlp.fc2")], axis=1)
    np.testing.assert_array_equal(found["layers.0.qkv+layers.0.fc1"], inputs)
    np.testing.assert_array_equal(found["layers.0.dense+layers.0.fc2"], outputs)
    np.testing.assert_array_equal(found["head"], weights["lm_head.weight"])
    np.testing.assert_array_equal(found["model.embed_tokens.weight"], weights["model.embed_tokens.weight"])


def test_calibration_is_for_int4(checkpoint: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        export_onnx(checkpoint, "int4", tmp_path / name, calibration=CALIBRATION)
    assert contents(tmp_path / "first") == contents(tmp_path / "second")
    export_onnx(checkpoint, "int4", tmp_path / "plain")
    assert contents(tmp_path / "first") != contents(tmp_path / "plain")
    with pytest.raises(InvalidCall, match="int8 takes no calibration"):
        export_onnx(checkpoint, "int8", tmp_path / "out", calibration=CALIBRATION)


def test_a_weight_that_half_precision_cannot_hold_is_named(checkpoint: Path, tmp_path: Path) -> None:
    name = "model.layers.1.mlp.fc2.weight"
    raw = bytearray((checkpoint / "model.safetensors").read_bytes())
    at = open_checkpoint(checkpoint).tensors[name].offset
    raw[at : at + 4] = np.float32(70_000).tobytes()
    write_bytes(checkpoint / "model.safetensors", bytes(raw))
    with pytest.raises(EdgePhiError, match=f"{name} .* float16: convert to float32"):
        export_onnx(checkpoint, "float16", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_programs_are_told_what_they_need(checkpoint: Path, tmp_path: Path) -> None:
    for quant, dtype in (("float16", "fp16"), ("int8", "int8"), ("int4", "q4")):
        out = tmp_path / quant
        export_onnx(checkpoint, quant, out)
        config, genai = (json.loads((out / name).read_text()) for name in ("config.json", "genai_config.json"))
        assert config["transformers.js_config"] == {"dtype": dtype, "use_external_data_format": True}
        assert (out / genai["model"]["decoder"]["filename"]).is_file()
        assert genai["model"]["context_length"] == genai["search"]["max_length"] == 512
        assert genai["model"]["eos_token_id"] == open_checkpoint(checkpoint).config.eos_token_id
        assert open_checkpoint(checkpoint).config == read_config(out)


@pytest.mark.parametrize("quant", ["float32", "float16", "int8", "int4"])
def test_weights_that_are_not_finite_are_refused_by_name(checkpoint: Path, tmp_path: Path, quant: str) -> None:
    name = "model.layers.1.mlp.fc1.weight"
    raw = bytearray((checkpoint / "model.safetensors").read_bytes())
    at = open_checkpoint(checkpoint).tensors[name].offset
    raw[at + 400 : at + 404] = np.float32(np.nan).tobytes()
    write_bytes(checkpoint / "model.safetensors", bytes(raw))
    with pytest.raises(InvalidFile, match=name):
        export_onnx(checkpoint, quant, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("quant", ["float32", "float16", "int4"])
def test_a_full_disk_leaves_nothing_half_written(checkpoint: Path, tmp_path: Path, quant: str) -> None:
    resource = pytest.importorskip("resource", reason="this system cannot limit the size of files")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # bytes of any one file, as on a full disk
    try:
        with pytest.raises(EdgePhiError, match="cannot be written"):
            export_onnx(checkpoint, quant, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.rglob("*.part")) and not list(tmp_path.rglob("*.onnx*"))


@pytest.mark.parametrize("quant", ["float32", "float16", "int8", "int4"])
def test_a_disk_that_will_be_full_is_said_before_work_begins(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quant: str
) -> None:
    export_onnx(checkpoint, quant, tmp_path / "out")
    free = sum(file.stat().st_size for file in (tmp_path / "out").rglob("*") if file.is_file())
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))
    export_onnx(checkpoint, quant, tmp_path / "again")  # no more is asked for than it takes
    free //= 2
    with pytest.raises(EdgePhiError, match=r"needs \d MB of space and \d MB are free"):
        export_onnx(checkpoint, quant, tmp_path / "new" / "out")
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_made_is_one_line(checkpoint: Path) -> None:
    for quant in ("float32", "int4"):
        with pytest.raises(EdgePhiError, match=r"config\.json"):
            export_onnx(checkpoint, quant, checkpoint / "config.json" / "out")


def test_linked_weights_are_refused_where_the_engine_would_refuse_them(checkpoint: Path, tmp_path: Path) -> None:
    shutil.move(checkpoint / "model.safetensors", tmp_path / "blob")
    (checkpoint / "model.safetensors").symlink_to("../blob")
    with pytest.raises(InvalidCall, match="a link"):
        export_onnx(checkpoint, "float32", checkpoint)
    export_onnx(checkpoint, "float32", tmp_path / "out")
    assert not (tmp_path / "out" / "model.safetensors").is_symlink()


def test_unknown_forms_and_widths_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidCall, match="'int3'"):
        export_onnx(checkpoint, "int3", tmp_path / "out")
    with pytest.raises(InvalidCall, match="no such folder"):
        export_onnx(tmp_path / "absent", "int4", tmp_path / "out")
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**config, "hidden_size": 128}))
    with pytest.raises(InvalidFile, match=r"config\.json says"):
        export_onnx(checkpoint, "int4", tmp_path / "out")
    (checkpoint / "config.json").write_text(json.dumps({**config, "partial_rotary_factor": 0.125}))
    with pytest.raises(InvalidFile, match="rotates 8 dimensions of a head"):
        export_onnx(checkpoint, "float32", tmp_path / "out")
    assert not (tmp_path / "out").exists()
