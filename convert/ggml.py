"""ggml's block formats through the library that llama-cpp-python brings: the bytes are those llama.cpp itself makes.

Only the functions that turn rows into blocks and back are called. They see one range of rows at a time and depend on
nothing else, so any cutting into ranges, on any number of threads, gives the same bytes; ctypes lets go of the
interpreter's lock while they work.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_phi.errors import EdgePhiError
from edge_phi.gguf_header import TENSOR_TYPES
from edge_phi.runtimes.llama_cpp import load_llama_cpp, missing_llama_cpp

_TYPES = {name: (number, block, nbytes) for number, (name, block, nbytes) in TENSOR_TYPES.items()}


def type_number(type_: str) -> int:
    """The number of a type such as "Q4_K" in a GGUF file."""
    return _TYPES[type_][0]


def block_width(type_: str) -> int:
    """Weights in a block of this type; a row is a whole number of blocks."""
    return _TYPES[type_][1]


def row_bytes(type_: str, width: int) -> int:
    """Bytes of one row of `width` weights, which is a multiple of `block_width`."""
    _, block, nbytes = _TYPES[type_]
    return width // block * nbytes


def needs_library(type_: str) -> bool:
    """Whether `quantize` calls ggml for this type; the others are numpy's work."""
    return type_ not in ("F32", "F16", "BF16")


def check_library() -> None:
    """See that ggml is there before work begins that would need it at its end.

    Raises:
        MissingExtra: llama-cpp-python is not installed, or does not load.
    """
    if importlib.util.find_spec("llama_cpp") is None:
        raise missing_llama_cpp("GGUF quantization")
    _library()


def quantize(
    weights: npt.NDArray[np.float32], type_: str, importance: npt.NDArray[np.float32] | None = None
) -> npt.NDArray[np.uint8]:
    """Round rows to blocks.

    Args:
        weights: [rows, width], finite; a vector is one row.
        type_: a type of the GGUF format, as in "Q4_K".
        importance: [width], how much the error of each column counts (llama.cpp's imatrix); types that cannot make use
            of it ignore it.

    Returns:
        uint8 [rows, row_bytes(type_, width)].

    Raises:
        EdgePhiError: a weight is too large for this type.
        MissingExtra: the type needs ggml, which is not installed.
    """
    weights = np.ascontiguousarray(np.atleast_2d(weights), np.float32)
    rows, width = weights.shape
    if type_ == "F32":
        return weights.view(np.uint8)
    if type_ == "F16":
        with np.errstate(over="ignore"):  # checked below
            halves = weights.astype("<f2")
        if not (np.isfinite(halves.min()) and np.isfinite(halves.max())):
            raise EdgePhiError("holds a value that is not finite in float16: convert to f32 or bf16")
        return halves.view(np.uint8)
    if type_ == "BF16":
        bits = weights.view(np.uint32)
        upper: npt.NDArray[np.uint16] = (bits + (np.uint32(0x7FFF) + (bits >> 16 & 1)) >> 16).astype("<u2")
        return upper.view(np.uint8)  # rounded to nearest, ties to even
    number, block, _ = _TYPES[type_]
    if width % block:
        raise ValueError(f"rows of {width} weights are no whole number of {type_} blocks")  # it would abort the process
    packed = np.empty((rows, row_bytes(type_, width)), np.uint8)
    if importance is None:
        weighing = None
    elif importance.shape == (width,):
        importance = np.ascontiguousarray(importance, np.float32)
        weighing = importance.ctypes.data
    else:
        raise ValueError(f"importance of shape {importance.shape} for rows of {width} weights")
    library = _library()
    library.ggml_quantize_chunk(number, weights.ctypes.data, packed.ctypes.data, 0, rows, width, weighing)
    if not library.ggml_validate_row_data(number, packed.ctypes.data, packed.nbytes):
        raise EdgePhiError(f"holds a value too large for {type_}: convert to f32 or bf16")
    return packed


def dequantize(packed: npt.NDArray[np.uint8], type_: str, width: int) -> npt.NDArray[np.float32]:
    """The weights [rows, width] that blocks [rows, row_bytes(type_, width)] stand for."""
    packed = np.ascontiguousarray(packed)
    if type_ == "F32":
        return packed.view(np.float32)
    if type_ == "F16":
        return packed.view("<f2").astype(np.float32)
    if type_ == "BF16":
        return (packed.view("<u2").astype(np.uint32) << 16).view(np.float32)
    weights = np.empty((len(packed), width), np.float32)
    to_float = _library()[f"dequantize_row_{type_.lower().replace('_k', '_K')}"]
    to_float(ctypes.c_void_p(packed.ctypes.data), ctypes.c_void_p(weights.ctypes.data), ctypes.c_int64(weights.size))
    return weights


@functools.cache
def _library() -> Any:
    """The library of ggml's formats, which lies beside the one that is loaded for llama.cpp."""
    llama = Path(load_llama_cpp().llama_cpp._lib._name)
    library = ctypes.CDLL(str(llama.with_name(llama.name.replace("llama", "ggml-base"))))
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_quantize_chunk.argtypes = [
        ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p,
    ]  # fmt: skip
    library.ggml_validate_row_data.restype = ctypes.c_bool
    library.ggml_validate_row_data.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
    return library
