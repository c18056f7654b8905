"""Phi's forward pass over calibration tokens in numpy, layer by layer, for whoever quantizes the weights on the way.

Each matrix product is shown with the statistics of its inputs, and its weights may be replaced by what they become:
from there on two models run side by side, the exact one and the replaced one, and later products show what has become
of their inputs. One layer's weights are in memory at a time, streamed from the checkpoint.

The arithmetic is float32 with sums in the order of numpy's BLAS, which may depend on the processor and on the number of
threads: the last bits of what comes out are those of one machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_phi.checkpoint import Checkpoint, PhiConfig
from edge_phi.errors import InvalidFile

Array = npt.NDArray[np.float32]

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

    `exact` are the inputs of the model as it was. What costs is computed when it is first asked for, and then kept.
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

    @cached_property
    def hessian(self) -> Array:
        """float32 [width, width]: mean of x x^T. Half the second derivative of the product's squared error."""
        total: Array = self._inputs.T @ self._inputs
        total /= np.float32(self.tokens)
        return total

    @cached_property
    def drift(self) -> Array:
        """float32 [width, width]: mean of (exact x - x) x^T, zero while nothing has been replaced."""
        total = np.zeros((self._inputs.shape[1],) * 2, np.float32)
        for top in range(0, self.tokens, _CHUNK):
            part = self._inputs[top : top + _CHUNK]
            total += (self._exact[top : top + _CHUNK] - part).T @ part
        total /= np.float32(self.tokens)
        return total


Visit = Callable[[Product, Array, Statistics], Replacement | None]


def products(config: PhiConfig) -> Iterator[Product]:
    """Every matrix of the model, in the order in which `walk` visits them."""
    yield _EMBEDDING
    for layer in range(config.num_hidden_layers):
        yield from _products_of_layer(layer)
    yield _HEAD


def walk(checkpoint: Checkpoint, tokens: npt.NDArray[np.int32], visit: Visit) -> None:
    """Run the model over `tokens`, showing each product to `visit(product, weights, statistics)`.

    Args:
        checkpoint: opened and checked.
        tokens: int32 [sequences, length], ids of the vocabulary, length at most the model's context.
        visit: is given the float32 [rows, width] weights, which it leaves as they are, and returns what replaces them
            from here on, or None to go on with them. The embedding's statistics are those of inputs that do not prefer
            any direction: importance 1, and the hessian is the identity.

    Raises:
        InvalidFile: a weight or an activation is not a finite number.
    """
    config = checkpoint.config
    table = _load(checkpoint, _EMBEDDING.tensors)
    directions = np.eye(config.hidden_size, dtype=np.float32) * np.sqrt(np.float32(config.hidden_size))
    replaced = visit(_EMBEDDING, table, Statistics(directions, directions))
    ids = tokens.ravel()
    exact = table[ids]
    residual = _Pair(exact, exact if replaced is None else replaced.values[ids])
    del table, replaced
    rotation = _rotation(config, tokens.shape[1])
    for layer in range(config.num_hidden_layers):
        residual = _layer(checkpoint, layer, residual, tokens.shape[1], rotation, visit)
        if not (np.isfinite(residual.exact.sum()) and np.isfinite(residual.own.sum())):
            raise InvalidFile(f"{checkpoint.folder}: layer {layer} gives values that are not finite: it is broken")
    last = residual.map(_norm(checkpoint, "model.final_layernorm"))
    visit(_HEAD, _load(checkpoint, _HEAD.tensors), Statistics(last.own, last.exact))


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


def _layer(
    checkpoint: Checkpoint, layer: int, residual: _Pair, length: int, rotation: tuple[Array, Array], visit: Visit
) -> _Pair:
    """residual + dense(attention(qkv(norm(residual)))) + fc2(gelu(fc1(norm(residual))))."""
    qkv, fc1, dense, fc2 = _products_of_layer(layer)
    normed = residual.map(_norm(checkpoint, f"model.layers.{layer}.input_layernorm"))
    statistics = Statistics(normed.own, normed.exact)
    heads = checkpoint.config.num_attention_heads

    def attend(x: Array) -> Array:
        return _attention(x, length, heads, rotation)

    attended = _multiply(checkpoint, qkv, normed, statistics, visit, then=attend, rows=length)
    hidden = _multiply(checkpoint, fc1, normed, statistics, visit, then=_gelu)
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
    weights, bias = _load(checkpoint, product.tensors), _load(checkpoint, product.biases)
    replaced = visit(product, weights, statistics)

    def run(x: Array, weights: Array, bias: Array) -> Array:
        parts = (x[top : top + rows] @ weights.T + bias for top in range(0, len(x), rows))
        first = next(parts) if then is None else then(next(parts))
        out = np.empty((len(x), first.shape[1]), np.float32)
        out[: len(first)] = first
        for number, part in enumerate(parts, 1):
            out[number * rows : (number + 1) * rows] = part if then is None else then(part)
        return out

    exact = run(inputs.exact, weights, bias)
    if replaced is None and inputs.own is inputs.exact:
        return _Pair(exact, exact)
    if replaced is not None:
        weights = replaced.values
        bias = bias if replaced.bias_shift is None else bias + replaced.bias_shift
    return _Pair(exact, run(inputs.own, weights, bias))


def _load(checkpoint: Checkpoint, names: tuple[str, ...]) -> Array:
    parts = [checkpoint.tensor(name) for name in names]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _norm(checkpoint: Checkpoint, name: str) -> Callable[[Array], Array]:
    """LayerNorm over float32 [tokens, width]."""
    weight, bias = checkpoint.tensor(f"{name}.weight"), checkpoint.tensor(f"{name}.bias")
    epsilon = np.float32(checkpoint.config.layer_norm_eps)

    def norm(x: Array) -> Array:
        y: Array = x - x.mean(axis=1, keepdims=True)
        variance = np.einsum("tw,tw->t", y, y) / np.float32(y.shape[1])
        y /= np.sqrt(variance + epsilon)[:, None]
        y *= weight
        y += bias
        return y

    return norm


def _gelu(x: Array) -> Array:
    """gelu_new, the tanh form (Hendrycks and Gimpel 2016, arXiv 1606.08415, section 2)."""
    inner = x * x
    inner *= np.float32(0.044715)
    inner += 1
    inner *= x
    inner *= np.float32(np.sqrt(2 / np.pi))
    np.tanh(inner, out=inner)
    inner += 1
    inner *= x
    inner *= np.float32(0.5)
    return inner


def _attention(qkv: Array, length: int, heads: int, rotation: tuple[Array, Array]) -> Array:
    """Causal attention of one sequence: float32 [length, 3 * width] to [length, width]."""
    q, k, v = qkv.reshape(length, 3, heads, -1).transpose(1, 2, 0, 3)  # each [heads, length, head_dim]
    q, k = _rotate(q, rotation), _rotate(k, rotation)
    scores = q @ k.transpose(0, 2, 1)
    scores *= np.float32(1 / np.sqrt(q.shape[2]))
    scores += np.triu(np.full((length, length), -np.inf, np.float32), 1)
    scores -= scores.max(axis=2, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=2, keepdims=True)
    attended: Array = (scores @ v).transpose(1, 0, 2).reshape(length, -1)
    return attended


def _rotation(config: PhiConfig, length: int) -> tuple[Array, Array]:
    """Cosines and sines, float32 [length, rotary_dim / 2] (Su et al. 2021, arXiv 2104.09864)."""
    exponents = np.arange(0, config.rotary_dim, 2, dtype=np.float32) / np.float32(config.rotary_dim)
    frequencies = np.float32(1) / np.float32(config.rope_theta) ** exponents
    angles = np.arange(length, dtype=np.float32)[:, None] * frequencies
    return np.cos(angles), np.sin(angles)


def _rotate(heads: Array, rotation: tuple[Array, Array]) -> Array:
    """Rotate the first dimensions of [heads, length, head_dim] by position; the rest passes."""
    cos, sin = rotation
    half = cos.shape[1]
    first, second = heads[..., :half], heads[..., half : 2 * half]
    turned = (first * cos - second * sin, second * cos + first * sin, heads[..., 2 * half :])
    return np.concatenate(turned, axis=-1)
