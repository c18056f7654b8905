"""How a checkpoint's tensors enter an ONNX graph in each form; products are computed in float32 in all of them.

float32: the graph names bytes of the checkpoint's own files and casts them, which ONNX Runtime does once, at load.
float16: matrices in half precision, cast at load likewise. int8, int4: blocks (`edge_phi.blocks`) for MatMulNBits and
GatherBlockQuantized, which multiply with activations rounded to int8. Vectors stay float32.

What is not float32 is written first, tensor by tensor, so that one is in memory at a time; then comes the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from edge_phi import blocks
from edge_phi.checkpoint import Checkpoint
from edge_phi.errors import EdgePhiError

from .calibration import Calibration
from .compensate import Rounded, compensate
from .grids import GRIDS, int4_blocks
from .onnx_graph import FUSED, Graph, groups
from .walk import Product, Statistics, Working, products, walk

_STORED_TYPES = {"F32": TensorProto.FLOAT, "F16": TensorProto.FLOAT16, "BF16": TensorProto.BFLOAT16}
_TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}
_ALIGNMENT = 64  # bytes; of a tensor in the data file
_EMBEDDING = "model.embed_tokens.weight"
# On phi-1-nano two thirds trained, 4 bits for the output head doubled the KL divergence (0.0062, with 8 bits 0.0030);
# the embedding in 8 bits was as good as in float16. Their blocks are long, which costs a KL divergence of 0.00004 and
# takes a fifth off what the head's 8 bits cost in time.
_EIGHT_BITS = ("embedding", "head")
_WIDE = (256, 128, 64, blocks.BLOCK)

Matrix = npt.NDArray[np.float32]


class StoredWeights:
    """float32: each tensor stays where it lies in the checkpoint's files; casts and transpositions fold at load."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._tensors = checkpoint.tensors

    def embedding(self, graph: Graph, ids: str, name: str) -> str:
        """See `Weights`."""
        rows = graph.node("Gather", [self._stored(graph, _EMBEDDING), ids], f"{name}.stored")  # of the table as it is
        return graph.node("Cast", [rows], name, to=TensorProto.FLOAT)

    def vector(self, graph: Graph, tensor: str) -> str:
        """See `Weights`."""
        return self._float32(graph, tensor)

    def stacked(self, graph: Graph, x: str, parts: Sequence[Product], name: str) -> str:
        """See `Weights`."""
        biases = [self._float32(graph, bias) for part in parts for bias in part.biases]
        bias = biases[0] if len(biases) == 1 else graph.node("Concat", biases, f"{name}.bias", axis=0)
        return self._product(graph, x, parts, bias, name, axis=1)

    def joined(self, graph: Graph, x: str, parts: Sequence[Product], name: str) -> str:
        """See `Weights`."""
        bias = graph.node("Add", [self._float32(graph, part.biases[0]) for part in parts], f"{name}.bias")
        return self._product(graph, x, parts, bias, name, axis=0)

    def _product(self, graph: Graph, x: str, parts: Sequence[Product], bias: str, name: str, axis: int) -> str:
        turned = [
            graph.node("Transpose", [self._float32(graph, tensor)], f"{tensor}.transposed", perm=[1, 0])
            for part in parts
            for tensor in part.tensors
        ]
        matrix = turned[0] if len(turned) == 1 else graph.node("Concat", turned, f"{name}.weight", axis=axis)
        return graph.node("Add", [graph.node("MatMul", [x, matrix], f"{name}.unbiased"), bias], name)

    def _stored(self, graph: Graph, tensor: str) -> str:
        at = self._tensors[tensor]
        return graph.stored(tensor, _STORED_TYPES[at.dtype], at.shape, at.file, at.offset, at.nbytes)

    def _float32(self, graph: Graph, tensor: str) -> str:
        stored = self._stored(graph, tensor)
        if self._tensors[tensor].dtype == "F32":
            return stored
        return graph.node("Cast", [stored], f"{tensor}.float32", to=TensorProto.FLOAT)


class HalfWeights:
    """float16: matrices in half precision, transposed as they will be multiplied."""

    def __init__(self, checkpoint: Checkpoint, data: IO[bytes], file: str) -> None:
        """Write all matrices to `data`, the file that the graph will know as `file`.

        Raises:
            EdgePhiError: a weight does not fit float16.
        """
        self._checkpoint = checkpoint
        self._file = _DataFile(data, file)
        self._file.write(_EMBEDDING, _half(checkpoint, _EMBEDDING))
        for group in groups(checkpoint.config):
            halves = [np.concatenate([_half(checkpoint, tensor) for tensor in part.tensors]) for part in group]
            self._file.write(f"{_key(group)}.weight.float16", np.concatenate(halves, axis=_joining_axis(group)).T)

    def embedding(self, graph: Graph, ids: str, name: str) -> str:
        """See `Weights`."""
        rows = graph.node("Gather", [self._file.stored(graph, _EMBEDDING), ids], f"{name}.stored")
        return graph.node("Cast", [rows], name, to=TensorProto.FLOAT)

    def vector(self, graph: Graph, tensor: str) -> str:
        """See `Weights`."""
        return self._file.add(graph, tensor, self._checkpoint.tensor(tensor))

    def stacked(self, graph: Graph, x: str, parts: Sequence[Product], name: str) -> str:
        """See `Weights`."""
        return self._product(graph, x, parts, _biases(self._checkpoint, parts, {}), name)

    def joined(self, graph: Graph, x: str, parts: Sequence[Product], name: str) -> str:
        """See `Weights`."""
        return self.stacked(graph, x, parts, name)

    def _product(self, graph: Graph, x: str, parts: Sequence[Product], bias: Matrix, name: str) -> str:
        stored = self._file.stored(graph, f"{_key(parts)}.weight.float16")
        matrix = graph.node("Cast", [stored], f"{name}.weight", to=TensorProto.FLOAT)
        y = graph.node("MatMul", [x, matrix], f"{name}.unbiased")
        return graph.node("Add", [y, self._file.add(graph, f"{name}.bias", bias)], name)


@dataclass(frozen=True)
class _Kept:
    """A matrix that has been written in blocks."""

    rows: int
    width: int
    bits: int
    block: int


class BlockWeights:
    """int4: matrices in blocks of 4 bits, the output head and the embedding in blocks of 8; int8: all in 8."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        bits: int,
        data: IO[bytes],
        file: str,
        calibration: Calibration | None,
        working: Working,
    ) -> None:
        """Write all matrices to `data`, the file that the graph will know as `file`.

        `working` is told what begins while the calibration text is read, as by `walk`.

        Raises:
            InvalidCall: a matrix does not divide into blocks.
        """
        self._checkpoint = checkpoint
        self._bits = bits
        self._file = _DataFile(data, file)
        self._kept: dict[str, _Kept] = {}
        self._shifts: dict[str, Matrix] = {}  # of a product's bias
        self._group = {part.name: group for group in groups(checkpoint.config) for part in group}
        self._held: list[blocks.Blocks] = []  # of the group that is not complete
        if calibration is None:
            for product in products(checkpoint.config):
                weights = np.concatenate([checkpoint.tensor(tensor) for tensor in product.tensors])
                self._keep(product, self._quantize(product, weights))
        else:
            walk(checkpoint, calibration.tokens, self._visit, working)

    def embedding(self, graph: Graph, ids: str, name: str) -> str:
        """See `Weights`."""
        codes, scales = self._blocks(graph, _EMBEDDING)
        return graph.node(
            "GatherBlockQuantized", [codes, ids, scales], name, domain=FUSED,
            bits=8, block_size=self._kept[_EMBEDDING].block, gather_axis=0, quantize_axis=1,
        )  # fmt: skip

    def vector(self, graph: Graph, tensor: str) -> str:
        """See `Weights`."""
        return self._file.add(graph, tensor, self._checkpoint.tensor(tensor))

    def stacked(self, graph: Graph, x: str, parts: Sequence[Product], name: str) -> str:
        """See `Weights`."""
        kept = self._kept[_key(parts)]
        bias = self._file.add(graph, f"{name}.bias", _biases(self._checkpoint, parts, self._shifts))
        codes, scales = self._blocks(graph, _key(parts))
        return graph.node(
            "MatMulNBits", [x, codes, scales, "", "", bias], name, domain=FUSED,  # no zero points, columns in order
            N=kept.rows, K=kept.width, bits=kept.bits, block_size=kept.block, accuracy_level=4,  # activations in int8
        )  # fmt: skip

    def joined(self, graph: Graph, x: str, parts: Sequence[Product], name: str) -> str:
        """See `Weights`."""
        return self.stacked(graph, x, parts, name)

    def _bits_of(self, product: Product) -> int:
        return 8 if product.name in _EIGHT_BITS else self._bits

    def _visit(self, product: Product, weights: Matrix, statistics: Statistics) -> Rounded:
        """Round a product so that those before it are made up for, and show what has become of it."""
        if self._bits_of(product) == 4:
            rounded = compensate(weights, statistics, GRIDS["int4"])
            kept = int4_blocks(rounded.packed)
        else:  # nothing to make up for, but the head's bias can take what the layers before it are off on average
            kept = self._quantize(product, weights)
            values = blocks.dequantize(kept)
            shift = weights @ statistics.exact_mean - values @ statistics.mean if product.biases else None
            rounded = Rounded(kept.codes, values, shift)
        if rounded.bias_shift is not None:
            self._shifts[product.name] = rounded.bias_shift
        self._keep(product, kept)
        return rounded

    def _quantize(self, product: Product, weights: Matrix) -> blocks.Blocks:
        """Each weight by itself; those that lie on the 4-bit grid, as training for it leaves them, stay as they are."""
        bits, grid = self._bits_of(product), GRIDS["int4"]
        if bits == 8 and grid.exact(weights[:1]) is not None and (found := grid.exact(weights)) is not None:
            scales, codes = found
            wide = codes.reshape(len(codes), -1, blocks.BLOCK) + 128
            return blocks.Blocks(8, wide.astype(np.uint8), scales.astype(np.float16))
        return blocks.quantize(weights, bits, _block_of(product, weights.shape[1]))

    def _keep(self, product: Product, rounded: blocks.Blocks) -> None:
        """Write a product's blocks, or hold them until those they will be computed with are there."""
        if product.name == "embedding":
            self._write(_EMBEDDING, rounded, flat=True)
            return
        group = self._group[product.name]
        self._held.append(rounded)
        if product != group[-1]:
            return
        held, self._held = self._held, []
        axis = _joining_axis(group)
        codes = np.concatenate([rounded.codes for rounded in held], axis)
        scales = np.concatenate([rounded.scales for rounded in held], axis)
        self._write(_key(group), blocks.Blocks(rounded.bits, codes, scales))

    def _write(self, key: str, rounded: blocks.Blocks, *, flat: bool = False) -> None:
        rows, count = rounded.scales.shape
        self._kept[key] = _Kept(rows, count * rounded.block, rounded.bits, rounded.block)
        self._file.write(f"{key}.codes", rounded.codes.reshape(rows, -1) if flat else rounded.codes)
        self._file.write(f"{key}.scales.float16", rounded.scales)

    def _blocks(self, graph: Graph, key: str) -> tuple[str, str]:
        codes, stored = (self._file.stored(graph, f"{key}.{part}") for part in ("codes", "scales.float16"))
        return codes, graph.node("Cast", [stored], f"{key}.scales", to=TensorProto.FLOAT)


def _block_of(product: Product, width: int) -> int:
    """Weights that share a scale, in 8 bits."""
    if product.name not in _EIGHT_BITS:
        return blocks.BLOCK
    return next(block for block in _WIDE if width % block == 0 or block == blocks.BLOCK)


def _key(group: Sequence[Product]) -> str:
    return "+".join(part.name for part in group)


def _joining_axis(group: Sequence[Product]) -> int:
    """dense and fc2 have inputs of their own, which lie beside one another; all others have one input."""
    return 1 if group[0].name.endswith(".dense") else 0


def _biases(checkpoint: Checkpoint, group: Sequence[Product], shifts: dict[str, Matrix]) -> Matrix:
    """The bias of products that are computed as one, float32 [rows]."""
    parts = []
    for product in group:
        bias = np.concatenate([checkpoint.tensor(tensor) for tensor in product.biases])
        parts.append(bias + shifts[product.name] if product.name in shifts else bias)
    joined: Matrix = np.add.reduce(parts) if _joining_axis(group) else np.concatenate(parts)
    return joined


def _half(checkpoint: Checkpoint, tensor: str) -> npt.NDArray[np.float16]:
    with np.errstate(over="ignore"):  # checked here
        half = checkpoint.tensor(tensor).astype(np.float16)
    if not np.isfinite(half).all():
        raise EdgePhiError(
            f"{checkpoint.path_of(tensor)}: {tensor} holds a value that is not finite in float16: convert to float32"
        )
    return half


@dataclass(frozen=True)
class _Place:
    type: int
    shape: tuple[int, ...]
    offset: int
    nbytes: int


class _DataFile:
    """Arrays one after the other in a file beside the graph."""

    def __init__(self, data: IO[bytes], name: str) -> None:
        self._data = data
        self._name = name
        self._places: dict[str, _Place] = {}

    def write(self, name: str, values: npt.NDArray[Any]) -> None:
        self._data.write(bytes(-self._data.tell() % _ALIGNMENT))
        offset = self._data.tell()
        little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        self._data.write(little.data)
        self._places[name] = _Place(_TYPES[values.dtype.name], values.shape, offset, little.nbytes)

    def stored(self, graph: Graph, name: str) -> str:
        place = self._places[name]
        return graph.stored(name, place.type, place.shape, self._name, place.offset, place.nbytes)

    def add(self, graph: Graph, name: str, values: npt.NDArray[Any]) -> str:
        self.write(name, values)
        return self.stored(graph, name)
