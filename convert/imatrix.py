"""Importance matrices: of each column of a matrix, the mean square of what the model multiplies it with.

Files are in llama.cpp's own format (a GGUF file of type "imatrix", tools/imatrix there): its quantizer takes ours, and
what its `llama-imatrix` made can be read here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_phi.atomic import atomic_path
from edge_phi.checkpoint import Checkpoint, open_checkpoint
from edge_phi.errors import InvalidFile
from edge_phi.gguf_header import GgufHeader, read_gguf_header
from edge_phi.gguf_model import ARCHITECTURE

from .calibration import Calibration
from .gguf_tensors import load_gguf, sources_of
from .walk import Product, Statistics, Working, in_silence, walk

_SUMS, _COUNTS = ".in_sum2", ".counts"


@dataclass(frozen=True)
class Imatrix:
    """How much each column of each matrix counts."""

    importance: Mapping[str, npt.NDArray[np.float32]]  # GGUF name -> [width]: mean of x^2, at least 0
    dataset: str  # name of the text it was computed on
    tokens: int  # of that text
    sequence: int  # tokens of a sequence
    sha256: str | None = None  # of the text, if it was computed here

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of the importances."""
        hasher = hashlib.sha256()
        for name in sorted(self.importance):
            hasher.update(name.encode() + b"\0" + self.importance[name].astype("<f4").tobytes())
        return hasher.hexdigest()


def compute_imatrix(checkpoint: Checkpoint, calibration: Calibration, working: Working = in_silence) -> Imatrix:
    """Run the model over the calibration text and keep what each matrix is multiplied with.

    `working` is told what begins, as by `walk`.

    Raises:
        InvalidFile: the model is broken: something in it is not finite.
    """
    names = {sources: name for name, sources in sources_of(checkpoint.config).items()}
    importance = {}

    def visit(product: Product, weights: npt.NDArray[np.float32], statistics: Statistics) -> None:
        if product.biases:  # the embedding is looked up, not multiplied
            importance[names[product.tensors]] = statistics.importance

    walk(checkpoint, calibration.tokens, visit, working)
    return Imatrix(
        importance, calibration.name, calibration.tokens.size, calibration.tokens.shape[1], calibration.sha256
    )


def export_imatrix(
    checkpoint_folder: Path, out_path: Path, calibration: Calibration, working: Working = in_silence
) -> None:
    """Compute the importance matrix of a checkpoint and write it; whole or not at all.

    `working` is told what begins, as by `walk`.

    Raises:
        InvalidCall: there is no checkpoint.
        InvalidFile: it is damaged or broken.
        MissingExtra: the gguf package is not installed.
        EdgePhiError: the folder cannot be written to, or the disk is full.
    """
    load_gguf()
    write_imatrix(compute_imatrix(open_checkpoint(checkpoint_folder), calibration, working), out_path)


def write_imatrix(imatrix: Imatrix, path: Path) -> None:
    """Write llama.cpp's format: of each matrix the sums of squares, and over how many tokens.

    Raises:
        MissingExtra: the gguf package is not installed.
        EdgePhiError: the folder cannot be written to, or the disk is full.
    """
    gguf = load_gguf()
    with atomic_path(path) as partial:
        writer = gguf.GGUFWriter(partial, ARCHITECTURE)
        try:
            writer.add_type("imatrix")
            writer.add_array("imatrix.datasets", [imatrix.dataset])
            writer.add_uint32("imatrix.chunk_count", imatrix.tokens // imatrix.sequence)
            writer.add_uint32("imatrix.chunk_size", imatrix.sequence)
            for name in sorted(imatrix.importance):
                sums = imatrix.importance[name] * np.float32(imatrix.tokens)
                writer.add_tensor(name + _SUMS, sums)
                writer.add_tensor(name + _COUNTS, np.array([imatrix.tokens], np.float32))
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()


def read_imatrix(path: Path, checkpoint: Checkpoint) -> Imatrix:
    """Read a file of llama.cpp's or ours, and see that it is of a model like `checkpoint`.

    Raises:
        InvalidCall: there is no such file.
        InvalidFile: it is damaged, no importance matrix, or of a model of another shape.
    """
    header = read_gguf_header(path)
    keys = ("datasets", "chunk_count", "chunk_size")
    datasets, chunks, size = (header.metadata.get(f"imatrix.{key}") for key in keys)
    if not isinstance(datasets, tuple) or not isinstance(chunks, int) or not isinstance(size, int) or size < 1:
        raise InvalidFile(f"{path}: no importance matrix: give a file that llama-imatrix or 'edge-phi convert' made")
    importance = {}
    for name, sources in sources_of(checkpoint.config).items():
        width = checkpoint.tensors[sources[0]].shape[-1]
        if name + _SUMS in header.tensors and name + _COUNTS in header.tensors:
            count = _values(header, name + _COUNTS, 1)
            with np.errstate(all="ignore"):  # checked next
                importance[name] = _values(header, name + _SUMS, width) / count
            if not (np.isfinite(importance[name]).all() and importance[name].min() >= 0 and count > 0):
                raise InvalidFile(f"{path}: {name} has an importance that is no number from 0: make the file again")
    if not importance:
        raise InvalidFile(f"{path}: names none of the matrices of {checkpoint.folder}: it is another model's")
    return Imatrix(importance, " ".join(map(str, datasets))[:200] or path.name, chunks * size, size)


def _values(header: GgufHeader, name: str, count: int) -> npt.NDArray[np.float32]:
    tensor = header.tensors[name]
    if tensor.type != "F32" or tensor.nbytes != 4 * count:
        raise InvalidFile(f"{header.path}: {name} is no {count} numbers in float32: it is another model's")
    return np.fromfile(header.path, "<f4", count, offset=tensor.offset)
