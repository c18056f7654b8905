"""Where an ONNX graph keeps its weights: the files beside it that it names, read and checked without the onnx package.

A graph names other files by path, offset and length, and such paths have led out of their folder. So before the native
loader opens anything, every entry is held against the files that are there: of initializers, and of what else may hold
a tensor, the attributes of nodes and the graphs and functions inside a graph. The encoding is protobuf's
(protobuf.dev/programming-guides/encoding), the field numbers are those of onnx.proto.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import InvalidCall, InvalidFile

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_TENSOR_NAME, _TENSOR_EXTERNAL_DATA = 8, 13
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_KEYS = {"location", "offset", "length", "checksum"}
# message -> field -> the message in it, as far as a tensor can be inside
_INSIDE = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_MAX_DEPTH = 32  # messages inside one another; what is written here has 3


@dataclass(frozen=True)
class ExternalTensor:
    """One weight of a graph and the bytes it names."""

    name: str
    file: str  # beside the graph
    offset: int
    nbytes: int


def read_external_tensors(path: Path) -> list[ExternalTensor]:
    """The weights of the graph `path` that lie in other files, each known to lie inside a file of the same folder.

    Raises:
        InvalidCall: there is no such graph.
        InvalidFile: it is damaged, or names a file that is missing, too short, or outside its folder.
    """
    if not path.is_file():
        raise InvalidCall(f"{path}: missing: give a folder that 'edge-phi convert' made")
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            tensors = [tensor for tensor in _tensors(data, "model", 0, len(data)) if tensor is not None]
    except (ValueError, UnicodeDecodeError) as error:  # also of mmap, for an empty file
        raise InvalidFile(
            f"{path}: damaged or truncated, not an ONNX graph ({error}): get or convert it again"
        ) from error
    for tensor in tensors:
        _check(path, tensor)
    return tensors


def _check(path: Path, tensor: ExternalTensor) -> None:
    folder = path.resolve().parent  # where the native loader looks for it
    file = path.parent / tensor.file
    inside = path.parent.resolve() == folder and file.resolve().parent == folder
    if Path(tensor.file).name != tensor.file or not inside:
        raise InvalidFile(f"{path}: names {tensor.file!r}, a file outside its folder, as its weights: not loaded")
    if not file.is_file():
        raise InvalidFile(f"{file}: missing, and {path.name} keeps its weights there: get or convert the model again")
    size, end = file.stat().st_size, tensor.offset + tensor.nbytes
    if end > size:
        raise InvalidFile(f"{file}: truncated ({size} bytes, {path.name} needs {end}): get or convert the model again")


def _tensors(data: mmap.mmap, message: str, begin: int, end: int, depth: int = 0) -> Iterator[ExternalTensor | None]:
    """Every tensor inside a message; None for those that are kept in the graph itself."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"more than {_MAX_DEPTH} messages inside one another")
    if message == "tensor":
        yield _external(data, begin, end)
        return
    for field, first, last in _fields(data, begin, end):
        if field in _INSIDE[message]:
            yield from _tensors(data, _INSIDE[message][field], first, last, depth + 1)


def _external(data: mmap.mmap, begin: int, end: int) -> ExternalTensor | None:
    name, entries = "", {}
    for field, first, last in _fields(data, begin, end):
        if field == _TENSOR_NAME:
            name = data[first:last].decode()
        elif field == _TENSOR_EXTERNAL_DATA:
            pair = {number: data[a:b].decode() for number, a, b in _fields(data, first, last)}
            key = pair.get(_ENTRY_KEY, "")
            if key in entries or key not in _KEYS:  # what loaders would do about it is not known
                raise ValueError(f"tensor {name[:80]} has an entry {key[:80]!r} too many")
            entries[key] = pair.get(_ENTRY_VALUE, "")
    if not entries:
        return None
    offset, nbytes = int(entries.get("offset", "0")), int(entries.get("length", "0"))
    if offset < 0 or nbytes < 0:
        raise ValueError(f"tensor {name[:80]} has a negative offset or length")
    return ExternalTensor(name, entries.get("location", ""), offset, nbytes)


def _fields(data: mmap.mmap, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number of each field and where its value lies; values that are plain numbers are passed over."""
    at = begin
    while at < end:
        tag, at = _varint(data, at, end)
        wire = tag & 7
        if wire == _VARINT:
            _, at = _varint(data, at, end)
            continue
        if wire == _BYTES:
            length, at = _varint(data, at, end)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        if length > end - at:
            raise ValueError(f"a field of {length} bytes at byte {at} passes the end")
        if wire == _BYTES:
            yield tag >> 3, at, at + length
        at += length


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise ValueError("it ends inside a number")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError(f"a number of more than ten bytes at byte {at}")
