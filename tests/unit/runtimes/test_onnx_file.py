from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_phi.errors import InvalidCall, InvalidFile
from edge_phi.runtimes.onnx_file import read_external_tensors
from edge_phi.store import Artifact

onnx = pytest.importorskip("onnx", reason="the onnx package, of the extra 'convert', is not installed")


@pytest.fixture
def folder(tiny_onnx: Callable[[str], Artifact], tmp_path: Path) -> Path:
    return shutil.copytree(tiny_onnx("int4").path, tmp_path / "onnx-int4")


def rename_data(folder: Path, location: str) -> None:
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def test_reads_what_the_onnx_package_reads(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    expected = {}
    for tensor in model.graph.initializer:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if entries:
            expected[tensor.name] = (entries["location"], int(entries["offset"]), int(entries["length"]))
    found = read_external_tensors(folder / "model.onnx")
    assert {tensor.name: (tensor.file, tensor.offset, tensor.nbytes) for tensor in found} == expected
    assert len(found) > 20


@pytest.mark.parametrize("location", ["../blob", "/etc/passwd", "sub/../../blob", "sub/model.onnx.data", "", "."])
def test_a_path_out_of_the_folder_is_refused(folder: Path, location: str) -> None:
    shutil.copy(folder / "model.onnx.data", folder.parent / "blob")
    rename_data(folder, location)
    with pytest.raises(InvalidFile, match=r"outside its folder|missing"):
        read_external_tensors(folder / "model.onnx")


def test_a_link_out_of_the_folder_is_refused(folder: Path) -> None:
    shutil.move(folder / "model.onnx.data", folder.parent / "blob")
    (folder / "model.onnx.data").symlink_to("../blob")
    with pytest.raises(InvalidFile, match="outside its folder"):
        read_external_tensors(folder / "model.onnx")


def test_missing_and_short_data_are_named(folder: Path) -> None:
    data = folder / "model.onnx.data"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(InvalidFile, match=r"model\.onnx\.data: truncated"):
        read_external_tensors(folder / "model.onnx")
    data.unlink()
    with pytest.raises(InvalidFile, match=r"model\.onnx\.data: missing"):
        read_external_tensors(folder / "model.onnx")
    (folder / "model.onnx").unlink()
    with pytest.raises(InvalidCall, match=r"model\.onnx: missing"):
        read_external_tensors(folder / "model.onnx")


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_graphs_end_in_our_own_error_or_in_sane_entries(folder: Path, data: st.DataObject) -> None:
    whole = (folder / "model.onnx").read_bytes()
    graph = bytearray(whole[: data.draw(st.integers(0, len(whole)), label="cut")])
    # Past the tables of the rotation, which are most of the file, lie names and entries.
    for at in data.draw(st.lists(st.integers(0, 20_000), max_size=8), label="at"):
        if at < len(graph):
            graph[at] = data.draw(st.integers(0, 255), label="byte")
    damaged = folder / "damaged.onnx"
    damaged.write_bytes(graph)
    try:
        tensors = read_external_tensors(damaged)
    except InvalidFile as error:
        assert "\n" not in str(error)
    else:
        for tensor in tensors:
            assert tensor.offset + tensor.nbytes <= (folder / tensor.file).stat().st_size


@given(raw=st.binary(max_size=300))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_end_in_our_own_error(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(raw)
    with contextlib.suppress(InvalidFile):
        assert read_external_tensors(tmp_path / "model.onnx") == []
