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

GRAPH, DATA = "model_q4.onnx", "model_q4.onnx_data"


@pytest.fixture
def folder(tiny_onnx: Callable[[str], Artifact], tmp_path: Path) -> Path:
    return shutil.copytree(tiny_onnx("int4").graph.parent, tmp_path / "onnx")


def rename_data(folder: Path, location: str) -> None:
    model = onnx.load(folder / GRAPH, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    (folder / GRAPH).write_bytes(model.SerializeToString())


def test_reads_what_the_onnx_package_reads(folder: Path) -> None:
    model = onnx.load(folder / GRAPH, load_external_data=False)
    expected = {}
    for tensor in model.graph.initializer:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if entries:
            expected[tensor.name] = (entries["location"], int(entries["offset"]), int(entries["length"]))
    found = read_external_tensors(folder / GRAPH)
    assert {tensor.name: (tensor.file, tensor.offset, tensor.nbytes) for tensor in found} == expected
    assert len(found) > 20


@pytest.mark.parametrize("location", ["../blob", "/etc/passwd", "sub/../../blob", "sub/model_q4.onnx_data", "", "."])
def test_a_path_out_of_the_folder_is_refused(folder: Path, location: str) -> None:
    shutil.copy(folder / DATA, folder.parent / "blob")
    rename_data(folder, location)
    with pytest.raises(InvalidFile, match=r"outside its folder|missing"):
        read_external_tensors(folder / GRAPH)


def test_a_link_out_of_the_folder_is_refused(folder: Path) -> None:
    shutil.move(folder / DATA, folder.parent / "blob")
    (folder / DATA).symlink_to("../blob")
    with pytest.raises(InvalidFile, match="outside its folder"):
        read_external_tensors(folder / GRAPH)


def test_a_graph_that_is_a_link_out_of_the_folder_is_refused(folder: Path) -> None:
    """Loaders may look for its weights here or there."""
    elsewhere = shutil.copytree(folder, folder.parent / "elsewhere")
    (folder / GRAPH).unlink()
    (folder / GRAPH).symlink_to(elsewhere / GRAPH)
    with pytest.raises(InvalidFile, match="outside its folder"):
        read_external_tensors(folder / GRAPH)


def escaping(name: str = "stray") -> onnx.TensorProto:
    tensor = onnx.TensorProto(name=name, data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    for key, value in (("location", "../blob"), ("offset", "0"), ("length", "4")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def in_a_constant(model: onnx.ModelProto) -> None:
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["stray"], value=escaping()))


def in_a_branch(model: onnx.ModelProto) -> None:
    branch = onnx.helper.make_graph([], "branch", [], [], [escaping()])
    model.graph.node.append(onnx.helper.make_node("If", ["one"], ["stray"], then_branch=branch, else_branch=branch))


def in_a_function(model: onnx.ModelProto) -> None:
    node = onnx.helper.make_node("Constant", [], ["y"], value=escaping())
    opset = onnx.helper.make_opsetid("", 17)
    model.functions.append(onnx.helper.make_function("own", "f", [], ["y"], [node], [opset]))


def in_a_sparse_tensor(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.append(onnx.SparseTensorProto(values=escaping(), indices=escaping("at"), dims=[1]))


@pytest.mark.parametrize("hide", [in_a_constant, in_a_branch, in_a_function, in_a_sparse_tensor])
def test_a_path_out_of_the_folder_is_refused_wherever_it_stands(
    folder: Path, hide: Callable[[onnx.ModelProto], None]
) -> None:
    (folder.parent / "blob").write_bytes(b"none of your business")
    model = onnx.load(folder / GRAPH, load_external_data=False)
    hide(model)
    (folder / GRAPH).write_bytes(model.SerializeToString())
    with pytest.raises(InvalidFile, match=r"'\.\./blob', a file outside its folder"):
        read_external_tensors(folder / GRAPH)


@pytest.mark.parametrize("entry", [("location", "../blob"), ("prepacked_0", "0|4|0"), ("LOCATION", "../blob")])
def test_entries_that_loaders_may_read_otherwise_are_refused(folder: Path, entry: tuple[str, str]) -> None:
    model = onnx.load(folder / GRAPH, load_external_data=False)
    tensor = next(tensor for tensor in model.graph.initializer if tensor.external_data)
    tensor.external_data.add(key=entry[0], value=entry[1])
    (folder / GRAPH).write_bytes(model.SerializeToString())
    with pytest.raises(InvalidFile, match="too many"):
        read_external_tensors(folder / GRAPH)


def test_missing_and_short_data_are_named(folder: Path) -> None:
    data = folder / DATA
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(InvalidFile, match=r"model_q4\.onnx_data: truncated"):
        read_external_tensors(folder / GRAPH)
    data.unlink()
    with pytest.raises(InvalidFile, match=r"model_q4\.onnx_data: missing"):
        read_external_tensors(folder / GRAPH)
    (folder / GRAPH).unlink()
    with pytest.raises(InvalidCall, match=r"model_q4\.onnx: missing"):
        read_external_tensors(folder / GRAPH)


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_graphs_end_in_our_own_error_or_in_sane_entries(folder: Path, data: st.DataObject) -> None:
    whole = (folder / GRAPH).read_bytes()
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
    (tmp_path / GRAPH).write_bytes(raw)
    with contextlib.suppress(InvalidFile):
        assert read_external_tensors(tmp_path / GRAPH) == []
