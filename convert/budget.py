"""Which tensor gets which type when a file may have only so many bytes.

Two things are measured. What a tensor means to the model: it alone is rounded, to Q4_0, and the KL divergence of the
model's predictions from what they were is taken. What a type does to a tensor: the squared error of some of its rows,
each column weighted by the mean square of its inputs. While errors are small the divergence is proportional to the
squared error, and those of several tensors add up, so the two predict the divergence of every choice of types. All
begin with the smallest; bytes then go, step by step along each tensor's convex hull, where they save most (Shoham and
Gersho 1988, "Efficient bit allocation for an arbitrary set of quantizers").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from edge_phi.checkpoint import Checkpoint, PhiConfig
from edge_phi.errors import InvalidCall, InvalidFile
from edge_phi.gguf_model import tensor_shapes

from . import ggml
from .arithmetic import attention, gelu, layer_norm, load, matmul, one_thread_each, rotary_angles
from .calibration import Calibration
from .gguf_tensors import aligned, sources_of
from .mixture import fitting
from .walk import Working, products

Array = npt.NDArray[np.float32]

_TYPES = ("Q3_K", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "F16")
_REFERENCE = "Q4_0"  # what each tensor is rounded to once: the fastest to make
_ROWS = 128  # of a matrix; their errors stand for all
_EFFORT = 4e13  # multiplications, about: minutes on a laptop
_MOST_TOKENS, _LEAST_TOKENS = 2048, 256
_PIECE = 64  # tokens whose predictions are in memory at once


@dataclass(frozen=True)
class Choice:
    """A type that a tensor may have: what it costs, and what it is predicted to do to the model."""

    type: str
    nbytes: int
    divergence: float  # KL, in nats per token


def types_within(
    nbytes: int, header_bytes: int, checkpoint: Checkpoint, calibration: Calibration, working: Working
) -> dict[str, str]:
    """The type of every tensor, under its GGUF name, so that the file has at most `nbytes`, header included.

    `working` is told what begins, as by `walk`.

    Raises:
        InvalidCall: they do not fit, even in the smallest types.
        InvalidFile: the model is broken: something in it is not finite.
    """
    shapes = tensor_shapes(checkpoint.config)
    vectors = {name: "F32" for name, shape in shapes.items() if len(shape) == 1}
    matrices = {name: shape for name, shape in shapes.items() if len(shape) == 2}
    fixed = header_bytes + sum(aligned(4 * shapes[name][0]) for name in vectors)
    smallest = fixed + sum(min(size for _, size in _sizes(shape)) for shape in matrices.values())
    if smallest > nbytes:
        raise InvalidCall(
            f"a file of {nbytes / 1e6:.1f} MB is too small: this model takes at least {smallest / 1e6:.1f} MB"
        )
    with one_thread_each():
        choices = _measure(checkpoint, calibration, working)
    return {**vectors, **choose(choices, nbytes - fixed)}


def choose(choices: Mapping[str, list[Choice]], nbytes: int) -> dict[str, str]:
    """Of each tensor one type, so that the sum of divergences is small and that of bytes at most `nbytes`."""
    chosen, steps = {}, []
    for name, of_tensor in choices.items():
        hull = _hull(of_tensor)
        chosen[name] = hull[0]
        steps += [(_saving(*step), name, *step) for step in pairwise(hull)]
    left = nbytes - sum(choice.nbytes for choice in chosen.values())
    for _, name, before, after in sorted(steps, key=lambda step: (-step[0], step[1])):
        if chosen[name] == before and after.nbytes - before.nbytes <= left:
            left -= after.nbytes - before.nbytes
            chosen[name] = after
    return {name: choice.type for name, choice in chosen.items()}


def _hull(choices: list[Choice]) -> list[Choice]:
    """By size, those that no mixture of two others beats: each step saves less per byte than the one before."""
    hull: list[Choice] = []
    for choice in sorted(choices, key=lambda choice: (choice.nbytes, choice.divergence)):
        if hull and choice.divergence >= hull[-1].divergence:
            continue
        while len(hull) > 1 and _saving(hull[-2], hull[-1]) <= _saving(hull[-1], choice):
            hull.pop()
        hull.append(choice)
    return hull


def _saving(before: Choice, after: Choice) -> float:
    return (before.divergence - after.divergence) / (after.nbytes - before.nbytes)


def _measure(checkpoint: Checkpoint, calibration: Calibration, working: Working) -> dict[str, list[Choice]]:
    """What every matrix may become."""
    shapes = tensor_shapes(checkpoint.config)
    choices = {}
    for name, probed in _probe(checkpoint, calibration, working).items():
        per_error = probed.divergence / (_error(probed, fitting(_REFERENCE, shapes[name][1]), weigh=False) or 1)
        choices[name] = [
            Choice(type_, nbytes, per_error * _error(probed, type_)) for type_, nbytes in _sizes(shapes[name])
        ]
    return choices


@dataclass(frozen=True)
class _Probed:
    divergence: float  # KL, in nats per token, if the matrix alone is rounded
    rows: Array  # some of it, [rows, width]
    importance: Array  # [width], mean squares of its inputs


def _sizes(shape: tuple[int, ...]) -> list[tuple[str, int]]:
    """The types for a matrix, each with its bytes."""
    rows, width = shape
    types = dict.fromkeys(fitting(type_, width) for type_ in _TYPES)
    return [(type_, aligned(rows * ggml.row_bytes(type_, width))) for type_ in types]


def _error(probed: _Probed, type_: str, *, weigh: bool = True) -> float:
    packed = ggml.quantize(probed.rows, type_, probed.importance if weigh else None)
    error = ggml.dequantize(packed, type_, probed.rows.shape[1]) - probed.rows
    return float(np.einsum("rw,rw,w->", error, error, probed.importance))


def _probe(checkpoint: Checkpoint, calibration: Calibration, working: Working) -> dict[str, _Probed]:
    """Of each matrix, under its GGUF name, what is measured.

    The model as it is and one model for each matrix rounded so far go through the layers side by side.
    """
    tokens = _tokens(checkpoint.config, calibration)
    names = {sources: name for name, sources in sources_of(checkpoint.config).items()}
    sampled: dict[str, tuple[Array, Array]] = {}

    def round_(sources: tuple[str, ...], weights: Array, inputs: Array | None) -> tuple[str, Array]:
        name, width = names[sources], weights.shape[1]
        some = weights[np.linspace(0, len(weights) - 1, min(_ROWS, len(weights))).astype(int)]
        sampled[name] = some, np.ones(width, np.float32) if inputs is None else np.square(inputs).mean(axis=0)
        type_ = fitting(_REFERENCE, width)
        return name, ggml.dequantize(ggml.quantize(weights, type_), type_, width)

    table = checkpoint.tensor("model.embed_tokens.weight")
    name, rounded = round_(("model.embed_tokens.weight",), table, None)
    exact, changed = table[tokens.ravel()], {name: rounded[tokens.ravel()]}
    del table, rounded
    layers = checkpoint.config.num_hidden_layers
    for number in range(layers):
        working(f"what rounding does: layer {number}", number, layers + 1)
        layer = _Layer(checkpoint, number, tokens.shape[1])
        changed = {name: layer.run(hidden, layer.weights) for name, hidden in changed.items()}
        for kind, inputs in layer.inputs(exact).items():
            name, rounded = round_(layer.sources[kind], layer.weights[kind], inputs)
            changed[name] = layer.run(exact, {**layer.weights, kind: rounded})
        exact = layer.run(exact, layer.weights)
    working("what rounding does: head", layers, layers + 1)
    norm = layer_norm(checkpoint, "model.final_layernorm")
    exact, weights, bias = norm(exact), checkpoint.tensor("lm_head.weight"), checkpoint.tensor("lm_head.bias")
    logits = matmul(exact, weights.T) + bias
    divergences = {
        name: _divergence(logits, matmul(norm(hidden), weights.T) + bias) for name, hidden in changed.items()
    }
    name, rounded = round_(("lm_head.weight",), weights, exact)
    divergences[name] = _divergence(logits, matmul(exact, rounded.T) + bias)
    if not all(map(np.isfinite, divergences.values())):
        raise InvalidFile(f"{checkpoint.folder}: its predictions are not finite numbers: the model is broken")
    return {name: _Probed(divergence, *sampled[name]) for name, divergence in divergences.items()}


class _Layer:
    """One layer of the model in memory."""

    def __init__(self, checkpoint: Checkpoint, number: int, length: int) -> None:
        of_layer = {
            product.name.rpartition(".")[2]: product
            for product in products(checkpoint.config)
            if product.name.startswith(f"layers.{number}.")
        }
        self.sources = {kind: product.tensors for kind, product in of_layer.items()}
        self.weights = {kind: load(checkpoint, product.tensors) for kind, product in of_layer.items()}
        self._biases = {kind: load(checkpoint, product.biases) for kind, product in of_layer.items()}
        self._norm = layer_norm(checkpoint, f"model.layers.{number}.input_layernorm")
        self._heads, self._length = checkpoint.config.num_attention_heads, length
        self._rotation = rotary_angles(checkpoint.config, length)

    def inputs(self, hidden: Array) -> dict[str, Array]:
        """What each matrix is multiplied with, float32 [tokens, width]."""
        return dict(self._inputs(hidden, self.weights))

    def run(self, hidden: Array, weights: Mapping[str, Array]) -> Array:
        """The layer's output, float32 [tokens, width], with these weights."""
        inputs = dict(self._inputs(hidden, weights))
        output: Array = hidden + self._biases["dense"] + self._biases["fc2"]
        output += matmul(inputs["dense"], weights["dense"].T)
        output += matmul(inputs["fc2"], weights["fc2"].T)
        return output

    def _inputs(self, hidden: Array, weights: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
        normed = self._norm(hidden)
        yield "qkv", normed
        yield "fc1", normed
        yield "fc2", gelu(matmul(normed, weights["fc1"].T) + self._biases["fc1"])
        qkv = matmul(normed, weights["qkv"].T) + self._biases["qkv"]
        parts = (qkv[top : top + self._length] for top in range(0, len(qkv), self._length))
        attended = [attention(part, self._length, self._heads, self._rotation) for part in parts]
        yield "dense", np.concatenate(attended)


def _tokens(config: PhiConfig, calibration: Calibration) -> npt.NDArray[np.int32]:
    """Sequences from all over the text, as many as the model's size leaves time for."""
    models = 4 * config.num_hidden_layers + 2
    most = min(_MOST_TOKENS, max(_LEAST_TOKENS, int(_EFFORT / (models * config.parameters))))
    tokens = calibration.tokens[:, :most]
    count = min(len(tokens), max(1, most // tokens.shape[1]))
    spread: npt.NDArray[np.int32] = tokens[np.arange(count) * len(tokens) // count]
    return spread


def _divergence(exact: Array, changed: Array) -> float:
    """Mean KL divergence, in nats per token, of predictions given as logits [tokens, words]."""
    total = 0.0
    for top in range(0, len(exact), _PIECE):
        p, q = (_log_softmax(logits[top : top + _PIECE].astype(np.float64)) for logits in (exact, changed))
        total += float(np.einsum("tw,tw->", np.exp(p), p - q))
    return total / len(exact)


def _log_softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return logits
