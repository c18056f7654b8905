"""The part of a GGUF file after its header: weights are read, rounded by several threads, and put into their places."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from edge_phi.checkpoint import Checkpoint
from edge_phi.cores import usable_cores
from edge_phi.errors import EdgePhiError

from . import ggml
from .calibration import Calibration
from .compensate import Rounded, compensate
from .gguf_tensors import FileTensor, aligned, data_bytes
from .grids import GRIDS
from .walk import Product, Statistics, Working, walk

Array = npt.NDArray[np.float32]
Packed = npt.NDArray[np.uint8]

_PIECE = 2**18  # weights that a thread rounds at once: they and their blocks stay in its cache


def write_plain(
    file: BinaryIO, checkpoint: Checkpoint, tensors: list[FileTensor], importance: Mapping[str, Array]
) -> None:
    """Round every tensor by itself and write it.

    Args:
        file: a GGUF file that ends with its header.
        checkpoint: opened and checked.
        tensors: all that the header lists.
        importance: of some tensors, float32 [width]; see `ggml.quantize`.

    Raises:
        InvalidFile: a weight is not finite.
        EdgePhiError: a weight is too large for its type.
    """
    with _Weights(file, tensors) as weights:
        weights.write(checkpoint, tensors, importance)


def write_calibrated(
    file: BinaryIO, checkpoint: Checkpoint, tensors: list[FileTensor], calibration: Calibration, working: Working
) -> None:
    """Round each matrix to what the calibration text asks of it and write it; the rest as `write_plain`.

    `working` is told what begins, as by `walk`.
    """
    others = {tensor.sources: tensor for tensor in tensors}

    def visit(product: Product, values: Array, statistics: Statistics) -> Rounded:
        tensor = others.pop(product.tensors)
        grid = GRIDS.get(tensor.type)
        if grid:
            rounded = compensate(values, statistics, grid, bias=bool(product.biases))
        else:
            packed = weights.rounded(tensor, values, statistics.importance)
            rounded = Rounded(packed, ggml.dequantize(packed, tensor.type, values.shape[1]), None)
        weights.put(tensor, 0, rounded.packed)
        if rounded.bias_shift is not None:
            bias = others.pop(product.biases)
            weights.put(bias, 0, ggml.quantize(_stacked(checkpoint, bias) + rounded.bias_shift, bias.type))
        return rounded

    with _Weights(file, tensors) as weights:
        walk(checkpoint, calibration.tokens, visit, working)
        weights.write(checkpoint, list(others.values()), {})


def _stacked(checkpoint: Checkpoint, tensor: FileTensor) -> Array:
    return np.concatenate([checkpoint.tensor(source) for source in tensor.sources])


@dataclass(frozen=True)
class _Piece:
    """Some of a tensor's rows; of a vector, all of one source."""

    tensor: FileTensor
    offset: int  # bytes from the tensor's start
    source: str
    start: int  # rows of the source
    stop: int


class _Weights:
    """Threads and a file in which tensors have their places."""

    def __init__(self, file: BinaryIO, tensors: list[FileTensor]) -> None:
        self._file = file
        self._start = aligned(file.seek(0, os.SEEK_END))
        file.truncate(self._start + data_bytes(tensors))  # what no tensor covers is zero
        self._threads = usable_cores()
        self._pool = ThreadPoolExecutor(self._threads)

    def __enter__(self) -> _Weights:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def write(self, checkpoint: Checkpoint, tensors: list[FileTensor], importance: Mapping[str, Array]) -> None:
        """Round tensors of the checkpoint and write them. Threads are a few pieces ahead of the file."""

        def work(piece: _Piece) -> Packed:
            values = checkpoint.rows(piece.source, piece.start, piece.stop)
            try:
                return ggml.quantize(values, piece.tensor.type, importance.get(piece.tensor.name))
            except EdgePhiError as error:
                raise EdgePhiError(f"{checkpoint.path_of(piece.source)}: {piece.source} {error}") from error

        pending: deque[tuple[_Piece, Future[Packed]]] = deque()
        for piece in _pieces(checkpoint, tensors):
            pending.append((piece, self._pool.submit(work, piece)))
            if len(pending) > 4 * self._threads:
                done, packed = pending.popleft()
                self.put(done.tensor, done.offset, packed.result())
        for done, packed in pending:
            self.put(done.tensor, done.offset, packed.result())

    def rounded(self, tensor: FileTensor, values: Array, importance: Array) -> Packed:
        """The blocks of a matrix that is in memory."""
        step = _rows_of_piece(tensor)
        parts = self._pool.map(
            lambda top: ggml.quantize(values[top : top + step], tensor.type, importance), range(0, len(values), step)
        )
        return np.concatenate(list(parts))

    def put(self, tensor: FileTensor, offset: int, packed: Packed) -> None:
        """Write bytes at `offset` from the tensor's start."""
        self._file.seek(self._start + tensor.offset + offset)
        self._file.write(packed.data)


def _pieces(checkpoint: Checkpoint, tensors: Iterable[FileTensor]) -> Iterator[_Piece]:
    for tensor in tensors:
        before = 0
        for source in tensor.sources:
            rows = checkpoint.tensors[source].shape[0]
            for start in range(0, rows, _rows_of_piece(tensor)):
                stop = min(rows, start + _rows_of_piece(tensor))
                yield _Piece(tensor, tensor.bytes_of(before + start), source, start, stop)
            before += rows


def _rows_of_piece(tensor: FileTensor) -> int:
    return _PIECE if len(tensor.shape) == 1 else max(1, _PIECE // tensor.shape[1])
