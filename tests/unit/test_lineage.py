from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from edge_phi.errors import InvalidCall, InvalidFile
from edge_phi.lineage import Lineage, lineage_path, trace, verify, write_lineage


@pytest.fixture
def traced(tmp_path: Path) -> tuple[Path, Lineage]:
    """An artifact folder of two files, made from a checkpoint whose training data is known."""
    checkpoint, artifact = tmp_path / "checkpoint", tmp_path / "onnx-int4"
    checkpoint.mkdir()
    artifact.mkdir()
    (checkpoint / "model.safetensors").write_bytes(b"weights")
    manifest = {"tokens": {"python": 7}, "documents": {"sha256": "ab"}}
    (checkpoint / "lineage.json").write_text(json.dumps({"recipe": {}, "data": manifest}))
    (tmp_path / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")  # as training writes it
    (artifact / "model.onnx").write_bytes(b"graph")
    (artifact / "model.onnx.data").write_bytes(b"data")
    lineage = trace(
        list(artifact.iterdir()), checkpoint, form="onnx:int4", arguments={"block": 32},
        packages=["numpy", "edge-phi"], beside=tmp_path,
    )  # fmt: skip
    write_lineage(lineage, artifact)
    return artifact, lineage


def test_names_source_training_data_and_every_file(traced: tuple[Path, Lineage], tmp_path: Path) -> None:
    artifact, lineage = traced
    assert lineage.source["model.safetensors"] == hashlib.sha256(b"weights").hexdigest()
    assert lineage.training_data == hashlib.sha256((tmp_path / "manifest.json").read_bytes()).hexdigest()
    assert list(lineage.files) == ["onnx-int4/model.onnx", "onnx-int4/model.onnx.data"]
    assert set(lineage.tools) == {"edge-phi", "numpy"}
    assert lineage_path(artifact) == tmp_path / "onnx-int4.lineage.json"
    assert str(tmp_path) not in lineage_path(artifact).read_text()
    assert verify(artifact) == lineage


def test_a_changed_or_missing_file_is_named(traced: tuple[Path, Lineage]) -> None:
    artifact, _ = traced
    (artifact / "model.onnx.data").write_bytes(b"Data")
    with pytest.raises(InvalidFile, match=r"model\.onnx\.data: has changed"):
        verify(artifact)
    (artifact / "model.onnx").unlink()
    with pytest.raises(InvalidFile, match=r"model\.onnx: missing"):
        verify(artifact)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a/../../outside", "..\\outside", "a\0"])
def test_files_outside_the_folder_are_not_looked_at(traced: tuple[Path, Lineage], name: str) -> None:
    artifact, lineage = traced
    write_lineage(dataclasses.replace(lineage, files={name: "00"}), artifact)
    with pytest.raises(InvalidFile, match="outside its folder"):
        verify(artifact)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"files": []}', "[" * 100_000, "\udc80"])
def test_a_damaged_lineage_file_is_one_line(traced: tuple[Path, Lineage], text: str) -> None:
    artifact, _ = traced
    lineage_path(artifact).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InvalidFile, match=r"onnx-int4\.lineage\.json"):
        verify(artifact)


def test_no_lineage_is_a_wrong_call(tmp_path: Path) -> None:
    with pytest.raises(InvalidCall, match="where this model came from"):
        verify(tmp_path / "model.gguf")
