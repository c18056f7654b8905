"""The header of a GGUF file: its metadata and where each tensor lies, read without trusting a byte of it.

Native loaders have overflowed on counts, sizes and offsets they believed, so a file passes here before one of
them sees it: afterwards every string, array and tensor is known to lie inside the file. The format:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from .errors import InvalidCall, InvalidFile

Scalar = bool | int | float | str
Value = Scalar | tuple[Scalar, ...]

# Of each tensor type: its number in the file, weights in a block, bytes of a block (ggml's type traits).
TENSOR_TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1),
    25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
}  # fmt: skip

_STRING, _ARRAY, _BOOL, _UINT32 = 8, 9, 7, 4
_NUMBERS: dict[int, np.dtype[Any]] = {
    0: np.dtype("u1"), 1: np.dtype("i1"), 2: np.dtype("<u2"), 3: np.dtype("<i2"), 4: np.dtype("<u4"),
    5: np.dtype("<i4"), 6: np.dtype("<f4"), 7: np.dtype("u1"), 10: np.dtype("<u8"), 11: np.dtype("<i8"),
    12: np.dtype("<f8"),
}  # fmt: skip

_MAX_HEADER_BYTES = 64 * 2**20  # a vocabulary of 256,000 words needs about 12 MiB
_MAX_ARRAY = 2**22
_MAX_NAME_BYTES = 63  # ggml keeps a tensor's name in 64 bytes
_MAX_KEY_BYTES = 65_535
_MAX_DIMENSIONS = 4
_DEFAULT_ALIGNMENT = 32


@dataclass(frozen=True)
class GgufTensor:
    """Where one tensor lies in the file."""

    type: str  # "F32", "Q4_0", "Q6_K", ...
    shape: tuple[int, ...]  # as numpy writes it: the contiguous dimension last
    offset: int  # bytes from the start of the file
    nbytes: int


@dataclass(frozen=True)
class GgufHeader:
    """A checked header: every tensor it lists lies whole inside the file, and none overlaps another."""

    path: Path
    version: int
    file_bytes: int
    metadata: Mapping[str, Value]
    tensors: Mapping[str, GgufTensor]

    @property
    def architecture(self) -> str:
        """`general.architecture`, "phi2" for the phi family; empty if the file names none."""
        value = self.metadata.get("general.architecture")
        return value if isinstance(value, str) else ""


def read_gguf_header(path: str | Path) -> GgufHeader:
    """Read and check the header of a GGUF file; the tensors' bytes are not touched.

    Raises:
        InvalidCall: there is no such file, it is a folder, or it may not be read.
        InvalidFile: it is no GGUF file, or it is damaged, truncated or hostile.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise InvalidCall(f"{path}: a folder or device, not a file: give a GGUF file")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < _Reader.FIXED_BYTES:
                raise InvalidFile(f"{path}: {size} bytes are no GGUF file: get the model again")
            with mmap.mmap(file.fileno(), min(size, _MAX_HEADER_BYTES), access=mmap.ACCESS_READ) as mapped:
                return _Reader(path, mapped, size).header()
    except OSError as error:
        raise InvalidCall(f"{path}: {error.strerror or error}: give a GGUF file") from error


class _Reader:
    """A position in the header that never leaves it."""

    FIXED_BYTES = 24  # magic, version, number of tensors, number of metadata entries

    def __init__(self, path: Path, data: mmap.mmap, file_bytes: int) -> None:
        self._path, self._data, self._file_bytes = path, data, file_bytes
        self._end = len(data)
        self._at = 0

    def header(self) -> GgufHeader:
        version = self._magic_and_version()
        tensor_count = self._unsigned(8)
        entry_count = self._unsigned(8)
        # The smallest entry is a key of one letter and a byte; the smallest tensor has one dimension.
        self._check_count("metadata entries", entry_count, 8 + 1 + 4 + 1)
        self._check_count("tensors", tensor_count, 8 + 1 + 4 + 8 + 4 + 8)
        metadata: dict[str, Value] = {}
        alignment = _DEFAULT_ALIGNMENT
        for _ in range(entry_count):
            key = self._string(_MAX_KEY_BYTES)
            if not key or key in metadata:
                raise self._damaged(f"metadata key {key[:80]!r} is empty or comes twice")
            if key == "general.alignment":
                metadata[key] = alignment = self._alignment()
            else:
                metadata[key] = self._value()
        infos = self._tensor_infos(tensor_count)
        data_start = -(-self._at // alignment) * alignment
        tensors = self._place(infos, data_start, alignment)
        return GgufHeader(self._path, version, self._file_bytes, MappingProxyType(metadata), MappingProxyType(tensors))

    def _magic_and_version(self) -> int:
        magic = self._take(4)
        if magic != b"GGUF":
            raise InvalidFile(f"{self._path}: not a GGUF file (it begins with {magic!r}): give another file")
        version = self._unsigned(4)
        if version not in (2, 3):
            kind = "big-endian, " if version and version % 2**16 == 0 else ""
            raise InvalidFile(
                f"{self._path}: GGUF of {kind}version {version}: only little-endian 2 and 3 are supported"
            )
        return version

    def _alignment(self) -> int:
        kind = self._unsigned(4)
        alignment = self._unsigned(4) if kind == _UINT32 else 0
        if alignment < 8 or alignment & (alignment - 1):
            raise self._damaged(f"an alignment of {alignment} is no power of two from 8")
        return alignment

    def _value(self) -> Value:
        kind = self._unsigned(4)
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            element_kind = self._unsigned(4)
            return self._array(element_kind, self._unsigned(8))
        return self._array(kind, 1)[0]

    def _array(self, kind: int, count: int) -> tuple[Scalar, ...]:
        if count > _MAX_ARRAY:
            raise self._damaged(f"an array of {count} values")
        if kind == _STRING:
            self._check_count("strings", count, 8)
            return self._strings(count)
        dtype = _NUMBERS.get(kind)
        if dtype is None:
            raise self._damaged(f"value type {kind} is unknown, or an array in an array")
        self._check_count("numbers", count, dtype.itemsize)
        numbers = np.frombuffer(self._take(count * dtype.itemsize), dtype)
        if kind == _BOOL:
            if numbers.size and numbers.max() > 1:
                raise self._damaged("a truth value is neither 0 nor 1")
            numbers = numbers.astype(bool)
        return tuple(numbers.tolist())

    def _string(self, longest: int | None = None) -> str:
        length = self._unsigned(8)
        if longest is not None and length > longest:
            raise self._damaged(f"a name of {length} bytes")
        return self._decoded(self._take(length))

    def _strings(self, count: int) -> tuple[str, ...]:
        """`_string` without its calls: a vocabulary and its merges take this loop 100,000 times round."""
        data, at, end = self._data, self._at, self._end
        texts = []
        try:
            for _ in range(count):
                start = at + 8
                at = start + int.from_bytes(data[at:start], "little")
                if at > end:
                    raise self._truncated()
                texts.append(data[start:at].decode())
        except UnicodeDecodeError as error:
            raise self._not_text(data[start:at]) from error
        self._at = at
        return tuple(texts)

    def _tensor_infos(self, count: int) -> dict[str, tuple[str, tuple[int, ...], int, int]]:
        """Name to type, shape, offset from the start of the data, bytes."""
        infos: dict[str, tuple[str, tuple[int, ...], int, int]] = {}
        for _ in range(count):
            name = self._string(_MAX_NAME_BYTES)
            if not name or name in infos:
                raise self._damaged(f"tensor name {name!r} is empty or comes twice")
            dimensions = self._unsigned(4)
            if not 1 <= dimensions <= _MAX_DIMENSIONS:
                raise self._damaged(f"tensor {name!r} has {dimensions} dimensions")
            shape = tuple(self._unsigned(8) for _ in range(dimensions))  # the contiguous dimension first
            number = self._unsigned(4)
            offset = self._unsigned(8)
            if number not in TENSOR_TYPES:
                raise self._damaged(f"tensor {name!r} has the unknown type {number}")
            type_, weights, block_bytes = TENSOR_TYPES[number]
            if min(shape) < 1 or shape[0] % weights:
                raise self._damaged(f"tensor {name!r} of shape {list(shape)} is no whole number of {type_} blocks")
            infos[name] = type_, shape[::-1], offset, math.prod(shape) // weights * block_bytes
        return infos

    def _place(
        self, infos: dict[str, tuple[str, tuple[int, ...], int, int]], data_start: int, alignment: int
    ) -> dict[str, GgufTensor]:
        free_from = 0
        for name, (_, _, offset, nbytes) in sorted(infos.items(), key=lambda item: item[1][2]):
            if offset % alignment:
                raise self._damaged(f"tensor {name!r} is not aligned to {alignment} bytes")
            if data_start + offset + nbytes > self._file_bytes:
                raise self._damaged(f"tensor {name!r} ends outside the file")
            if offset < free_from:
                raise self._damaged(f"tensor {name!r} overlaps another")
            free_from = offset + nbytes
        return {
            name: GgufTensor(type_, shape, data_start + offset, nbytes)
            for name, (type_, shape, offset, nbytes) in infos.items()
        }

    def _check_count(self, what: str, count: int, smallest: int) -> None:
        if count * smallest > self._end - self._at:
            raise self._damaged(f"{count} {what} do not fit what is left of the file's header")

    def _unsigned(self, nbytes: int) -> int:
        return int.from_bytes(self._take(nbytes), "little")

    def _take(self, nbytes: int) -> bytes:
        start, self._at = self._at, self._at + nbytes
        if self._at > self._end:
            raise self._truncated()
        return self._data[start : self._at]

    def _decoded(self, text: bytes) -> str:
        try:
            return text.decode()
        except UnicodeDecodeError as error:
            raise self._not_text(text) from error

    def _not_text(self, text: bytes) -> InvalidFile:
        return self._damaged(f"the text {text[:40]!r} is not UTF-8")

    def _truncated(self) -> InvalidFile:
        limit = "" if self._end == self._file_bytes else f", or larger than {_MAX_HEADER_BYTES >> 20} MiB"
        return self._damaged(f"its header ends early{limit}")

    def _damaged(self, what: str) -> InvalidFile:
        return InvalidFile(f"{self._path}: damaged GGUF file ({what}): get the model again")
