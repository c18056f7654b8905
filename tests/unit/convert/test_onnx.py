from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import write_tiny_checkpoint

from edge_phi.atomic import write_bytes
from edge_phi.checkpoint import open_checkpoint
from edge_phi.errors import EdgePhiError, InvalidCall, InvalidFile

onnx = pytest.importorskip("onnx", reason="the onnx package, of the extra 'convert', is not installed")
from edge_phi.convert.onnx import export_onnx  # noqa: E402


@pytest.fixture
def checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_checkpoint, tmp_path / "tiny-phi")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


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
    assert contents(out).keys() == {"model.onnx", "model.onnx.data", "config.json", "tokenizer.json"}
    export_onnx(checkpoint, "int4", out)
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(InvalidCall, match=r"thesis\.txt"):
        export_onnx(checkpoint, "int4", out)
    with pytest.raises(InvalidCall, match="is a file"):
        export_onnx(checkpoint, "int4", out / "thesis.txt")
    assert (out / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("quant", ["float32", "int4"])
def test_the_same_checkpoint_gives_the_same_bytes(checkpoint: Path, tmp_path: Path, quant: str) -> None:
    export_onnx(checkpoint, quant, tmp_path / "first")
    export_onnx(checkpoint, quant, tmp_path / "second")
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_int4_takes_little_more_than_four_bits_a_weight(checkpoint: Path, tmp_path: Path) -> None:
    export_onnx(checkpoint, "int4", tmp_path / "int4")
    config = open_checkpoint(checkpoint).config
    table = config.vocab_size * config.hidden_size  # embedding and output head: 8 bits
    data = (tmp_path / "int4" / "model.onnx.data").stat().st_size
    assert data < ((config.parameters - 2 * table) * 4.5 + 2 * table * 8.5) / 8 * 1.05


@pytest.mark.parametrize("quant", ["float32", "int4"])
def test_weights_that_are_not_finite_are_refused_by_name(checkpoint: Path, tmp_path: Path, quant: str) -> None:
    name = "model.layers.1.mlp.fc1.weight"
    raw = bytearray((checkpoint / "model.safetensors").read_bytes())
    at = open_checkpoint(checkpoint).tensors[name].offset
    raw[at + 400 : at + 404] = np.float32(np.nan).tobytes()
    write_bytes(checkpoint / "model.safetensors", bytes(raw))
    with pytest.raises(InvalidFile, match=name):
        export_onnx(checkpoint, quant, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("quant", ["float32", "int4"])
def test_a_full_disk_leaves_nothing_half_written(checkpoint: Path, tmp_path: Path, quant: str) -> None:
    resource = pytest.importorskip("resource", reason="this system cannot limit the size of files")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # bytes of any one file, as on a full disk
    try:
        with pytest.raises(EdgePhiError, match="cannot be written"):
            export_onnx(checkpoint, quant, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.rglob("*.part")) and not list(tmp_path.rglob("model.onnx*"))


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
