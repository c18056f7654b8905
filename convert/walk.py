"""Phi's forward pass over calibration tokens in numpy, layer by layer, for whoever quantizes the weights on the way.

Each matrix product is shown with the statistics of its inputs, and its weights may be replaced by what they become:
from there on two models run side by side, the exact one and the replaced one, and later products show what has become
of their inputs. One layer's weights are in memory at a time, streamed from the checkpoint.

The arithmetic is float32 with sums in the order of numpy's BLAS, which may depend on the processor, not on the number
of threads: the last bits of what comes out are those of one kind of machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_phi.checkpoint import Checkpoint, PhiConfig
from edge_phi.errors import InvalidFile

from .arithmetic import attention, gelu, layer_norm, load, matmul, one_thread_each, rotary_angles, shared_out

Array = npt.NDArray[np.float32]

_EVEN = 0.1
_CHUNK = 1024  # tokens at once, so that temporaries stay small


@dataclass(frozen=True)
class Product:
    """One matrix of the model, y = weights x + bias, by the checkpoint's names; q, k and v are stacked into one.

    The embedding comes first, as "embedding": its rows are looked up, so that it has no inputs and no bias.
    """

    name: str  # "embedding", "layers.3.qkv", "layers.3.fc1", "layers.3.dense", "layers.3.fc2" or "head"
    tensors: tuple[str, ...]
    biases: tuple[str, ...]


class Replacement(Protocol):
    """What a product's weights become, and what is added to its bias."""

    @property
    def values(self) -> Array:
        """float32 [rows, width]."""

    @property
    def bias_shift(self) -> Array | None:
        """float32 [rows], or None for nothing."""


class Statistics:
    """Means over the calibration tokens of a product's inputs x, those of the model as replaced so far.

    `exact` are the inputs of the model as it was. What costs is computed when it is asked for.
    """

    def __init__(self, inputs: Array, exact: Array) -> None:
        """Both float32 [tokens, width]; the same array while nothing has been replaced."""
        self._inputs = inputs
        self._exact = exact

    @property
    def tokens(self) -> int:
        """Over how many tokens the means are."""
        return len(self._inputs)

    @property
    def changed(self) -> bool:
        """Whether anything has been replaced before this product."""
        return self._inputs is not self._exact

    @cached_property
    def importance(self) -> Array:
        """float32 [width]: mean of x^2, what llama.cpp's importance matrix holds."""
        total = np.zeros(self._inputs.shape[1], np.float64)
        for top in range(0, self.tokens, _CHUNK):
            part = self._inputs[top : top + _CHUNK]
            total += np.einsum("tw,tw->w", part, part)
        return np.asarray(total / self.tokens, np.float32)

    @cached_property
    def mean(self) -> Array:
        """float32 [width]: mean of x."""
        return np.asarray(self._inputs.mean(axis=0, dtype=np.float64), np.float32)

    @cached_property
    def exact_mean(self) -> Array:
        """float32 [width]: mean of the exact model's x."""
        return np.asarray(self._exact.mean(axis=0, dtype=np.float64), np.float32)

    @property
    def hessian(self) -> Array:
        """float32 [width, width]: mean of x x^T, half the second derivative of the product's squared error.

        Not kept: it may be larger than all weights of a layer.
        """
        total = matmul(self._inputs.T, self._inputs)
        total /= np.float32(self.tokens)
        return total

    def drift(self, weights: Array) -> Array:
        """float32 [rows, width]: mean of W (exact x - x) x^T for [rows, width] weights W, 0 while nothing is replaced.

        Summed in the order that takes fewer multiplications.
        """
        rows, width = weights.shape
        tall = 2 * rows > width
        total = np.zeros((width if tall else rows, width), np.float32)
        if self.changed:
            for top in range(0, self.tokens, _CHUNK):
                part = self._inputs[top : top + _CHUNK]
                change = self._exact[top : top + _CHUNK] - part
                total += matmul((change if tall else matmul(change, weights.T)).T, part)
            total /= np.float32(self.tokens)
        return matmul(weights, total) if tall else total


Visit = Callable[[Product, Array, Statistics], Replacement | None]
Working = Callable[[str, int, int], None]  # told what begins, after how many steps of how many


def in_silence(what: str, done: int, total: int) -> None:
    """A `Working` that says nothing."""


def products(config: PhiConfig) -> Iterator[Product]:
    """Every matrix of the model, in the order in which `walk` visits them."""
    yield _EMBEDDING
    for layer in range(config.num_hidden_layers):
        yield from _products_of_layer(layer)
    yield _HEAD


def walk(checkpoint: Checkpoint, tokens: npt.NDArray[np.int32], visit: Visit, working: Working = in_silence) -> None:
    """Run the model over `tokens`, showing each product to `visit(product, weights, statistics)`.

    Args:
        checkpoint: opened and checked.
        tokens: int32 [sequences, length], ids of the vocabulary, length at most the model's context.
        visit: is given the float32 [rows, width] weights, which it leaves as they are, and returns what replaces them
            from here on, or None to go on with them. The embedding's statistics are of what the first layer reads of
            it: in place of inputs they have the rows of its qkv and fc1, through its LayerNorm, and a tenth of what
            prefers no direction, for the layers after it.
        working: told each product's name before it is shown.

    Raises:
        InvalidFile: a weight or an activation is not a finite number.
    """
    total, shown = 4 * checkpoint.config.num_hidden_layers + 2, count()

    def say_and_visit(product: Product, weights: Array, statistics: Statistics) -> Replacement | None:
        working(product.name, next(shown), total)
        return visit(product, weights, statistics)

    with one_thread_each():
        _walk(checkpoint, tokens, say_and_visit)


def _walk(checkpoint: Checkpoint, tokens: npt.NDArray[np.int32], visit: Visit) -> None:
    config = checkpoint.config
    table = load(checkpoint, _EMBEDDING.tensors)
    readers = _readers(checkpoint)
    replaced = visit(_EMBEDDING, table, Statistics(readers, readers))
    ids = tokens.ravel()
    exact = table[ids]
    residual = _Pair(exact, exact if replaced is None else replaced.values[ids])
    del table, replaced, readers
    rotation = rotary_angles(config, tokens.shape[1])
    for layer in range(config.num_hidden_layers):
        residual = _layer(checkpoint, layer, residual, tokens.shape[1], rotation, visit)
        if not (np.isfinite(residual.exact.sum()) and np.isfinite(residual.own.sum())):
            raise InvalidFile(f"{checkpoint.folder}: layer {layer} gives values that are not finite: it is broken")
    last = residual.map(layer_norm(checkpoint, "model.final_layernorm"))
    visit(_HEAD, load(checkpoint, _HEAD.tensors), Statistics(last.own, last.exact))


@dataclass(frozen=True)
class _Pair:
    """The same activations, float32 [tokens, width], in both models: one array while they do not differ."""

    exact: Array
    own: Array

    def map(self, function: Callable[[Array], Array]) -> _Pair:
        exact = function(self.exact)
        return _Pair(exact, exact if self.own is self.exact else function(self.own))

    def plus(self, other: _Pair) -> _Pair:
        exact = self.exact + other.exact
        same = self.own is self.exact and other.own is other.exact
        return _Pair(exact, exact if same else self.own + other.own)


def _product(name: str, *modules: str) -> Product:
    return Product(name, tuple(f"{m}.weight" for m in modules), tuple(f"{m}.bias" for m in modules))


_EMBEDDING = Product("embedding", ("model.embed_tokens.weight",), ())
_HEAD = _product("head", "lm_head")


def _products_of_layer(layer: int) -> tuple[Product, Product, Product, Product]:
    prefix, name = f"model.layers.{layer}.", f"layers.{layer}."
    return (
        _product(f"{name}qkv", *(f"{prefix}self_attn.{part}_proj" for part in "qkv")),
        _product(f"{name}fc1", f"{prefix}mlp.fc1"),
        _product(f"{name}dense", f"{prefix}self_attn.dense"),
        _product(f"{name}fc2", f"{prefix}mlp.fc2"),
    )


def _readers(checkpoint: Checkpoint) -> Array:
    """float32 [n, width]: R with R^T R in proportion to what an error of the embedding does to the first layer."""
    qkv, fc1, *_ = _products_of_layer(0)
    rows = load(checkpoint, (*qkv.tensors, *fc1.tensors))
    rows *= checkpoint.tensor("model.layers.0.input_layernorm.weight")
    rows -= rows.mean(axis=1, keepdims=True)  # LayerNorm takes the mean away
    width = rows.shape[1]
    even = np.sqrt(_EVEN * np.square(rows).sum(dtype=np.float64) / width)
    return np.concatenate([rows, np.eye(width, dtype=np.float32) * np.float32(even)])


def _layer(
    checkpoint: Checkpoint, layer: int, residual: _Pair, length: int, rotation: tuple[Array, Array], visit: Visit
) -> _Pair:
    """residual + dense(attention(qkv(norm(residual)))) + fc2(gelu(fc1(norm(residual))))."""
    qkv, fc1, dense, fc2 = _products_of_layer(layer)
    normed = residual.map(layer_norm(checkpoint, f"model.layers.{layer}.input_layernorm"))
    statistics = Statistics(normed.own, normed.exact)
    heads = checkpoint.config.num_attention_heads

    def attend(x: Array) -> Array:
        return attention(x, length, heads, rotation)

    attended = _multiply(checkpoint, qkv, normed, statistics, visit, then=attend, rows=length)
    hidden = _multiply(checkpoint, fc1, normed, statistics, visit, then=gelu)
    del normed, statistics
    statistics = Statistics(attended.own, attended.exact)
    residual = residual.plus(_multiply(checkpoint, dense, attended, statistics, visit))
    del attended, statistics
    return residual.plus(_multiply(checkpoint, fc2, hidden, Statistics(hidden.own, hidden.exact), visit))


def _multiply(
    checkpoint: Checkpoint,
    product: Product,
    inputs: _Pair,
    statistics: Statistics,
    visit: Visit,
    *,
    then: Callable[[Array], Array] | None = None,
    rows: int = 256,
) -> _Pair:
    """Show the product, then compute it for both models, `rows` tokens at a time, each followed by `then`."""
    weights, bias = load(checkpoint, product.tensors), load(checkpoint, product.biases)
    replaced = visit(product, weights, statistics)

    def run(x: Array, weights: Array, bias: Array) -> Array:
        def piece(top: int) -> Array:
            part: Array = x[top : top + rows] @ weights.T + bias
            return part if then is None else then(part)

        first = piece(0)
        out = np.empty((len(x), first.shape[1]), np.float32)
        out[:rows] = first

        def fill(top: int) -> None:
            out[top : top + rows] = piece(top)

        shared_out(fill, range(rows, len(x), rows))
        return out

    exact = run(inputs.exact, weights, bias)
    if replaced is None and inputs.own is inputs.exact:
        return _Pair(exact, exact)
    if replaced is not None:
        weights = replaced.values
        bias = bias if replaced.bias_shift is None else bias + replaced.bias_shift
    return _Pair(exact, run(inputs.own, weights, bias))
