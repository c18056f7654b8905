"""A larger model that begins with what a smaller one knows, as phi-2 began with phi-1.5.

Width: old weights lie in the center of the new ones and wrap around into what is left on both sides. For the phi family
and for ModernBERT that beat random edges and tiling from one edge (arXiv 2412.13663, appendix A.2). Inside a head the
rotary dimensions keep their places, since a place is a frequency; only the others are tiled. More heads: whole heads
are tiled. More layers: old ones are repeated in place.

The papers tile and let training repair the rest. Here the larger network computes what the smaller one did:

- what reads copies shares its weights among them (Net2Net, arXiv 1511.05641), and not evenly: copies of equal value
  that are read with equal weights get equal gradients and stay copies (LEMON, arXiv 2310.07999, section 4). Each share
  is drawn so that a weight's variance is divided by the number of copies, as an initialization of that fan-in has it;
- LayerNorm sees m copies of a feature as m times its square, so where some features have more copies than others each
  copy in the residual stream is made smaller by sqrt(m), and the norm's weight larger; and since the norm subtracts the
  mean, what is written to the stream is centered first. The mean of the copies is then nearly 0, which is all that is
  left of the difference. Where the new width is a multiple of the old one none is left, and nothing is centered;
- queries take what the new head width changes in attention's 1 / sqrt(head width).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from edge_phi.checkpoint import Checkpoint, PhiConfig, open_checkpoint
from edge_phi.errors import InvalidCall

_Array = npt.NDArray[np.float32]


def grow(checkpoint: Path, config: PhiConfig, *, seed: int, spread: float = 1.0) -> dict[str, Tensor]:
    """Weights of a model of geometry `config` that computes what the checkpoint's does.

    Exact up to rounding where the new width is a multiple of the old one, in all else of any size; nearly exact else.
    Tokens that the old vocabulary lacks get the mean embedding and the mean logit (Hewitt 2021,
    nlp.stanford.edu/~johnhew/vocab-expansion.html).

    Args:
        checkpoint: folder of the smaller model, one whose tokenizer the larger one keeps or extends.
        config: geometry of the larger one.
        seed: decides how copies are read.
        spread: how unevenly, as a multiple of the above; 0 shares evenly, and copies stay copies.

    Returns:
        float32 tensors under the names of `edge_phi.train.model.Phi`.

    Raises:
        InvalidCall: the checkpoint is missing, or cannot grow into `config`: the line names what differs.
        InvalidFile: the checkpoint is damaged.
    """
    source = open_checkpoint(checkpoint)
    reason = _obstacle(source.config, config)
    if reason:
        raise InvalidCall(f"{checkpoint}: cannot grow into this geometry: {reason}")
    growth = _Growth(source, config, seed, spread)
    return {name: torch.from_numpy(np.ascontiguousarray(values, np.float32)) for name, values in growth.weights()}


@dataclass(frozen=True)
class Tiling:
    """Which old index each new index copies."""

    source: npt.NDArray[np.intp]  # [new]

    @property
    def copies(self) -> _Array:
        """For each new index, how many copy the same old one: [new]."""
        return np.bincount(self.source)[self.source].astype(np.float32)

    def shares(self, rows: int, random: np.random.Generator, spread: float) -> _Array:
        """Random numbers [rows, new], those of the copies of one index adding up to 1.

        For m copies their mean is 1 / m; at a spread of 1 the mean of their squares is 1 / m too.
        """
        copies = self.copies
        drawn = random.standard_normal((rows, len(copies)), dtype=np.float32)
        order = np.argsort(self.source, kind="stable")
        first = np.flatnonzero(np.diff(self.source[order], prepend=-1))
        drawn -= np.add.reduceat(drawn[:, order], first, axis=1)[:, self.source] / copies
        drawn *= np.float32(spread) / np.sqrt(copies)
        drawn += 1 / copies
        return drawn


def center_tiling(old: int, new: int) -> Tiling:
    """`old` indices in the center of `new` ones, wrapped around on both sides."""
    return Tiling((np.arange(new) - (new - old) // 2) % old)


def head_tiling(old: PhiConfig, new: PhiConfig) -> Tiling:
    """The dimensions of one head: the rotary ones in place, the others tiled."""
    rotary = old.rotary_dim
    passing = new.head_dim - rotary
    tiled = center_tiling(old.head_dim - rotary, passing).source if passing else np.arange(0)
    return Tiling(np.concatenate([np.arange(rotary), rotary + tiled]))


class _Growth:
    """The tilings of one pair of geometries, and each weight made by them when it is asked for."""

    def __init__(self, checkpoint: Checkpoint, config: PhiConfig, seed: int, spread: float) -> None:
        old = checkpoint.config
        self._read = checkpoint.tensor
        self._old, self._new = old, config
        self._seed, self._spread = seed, spread
        self._width = center_tiling(old.hidden_size, config.hidden_size)
        self._inner = center_tiling(old.intermediate_size, config.intermediate_size)
        self._head = head_tiling(old, config)
        heads = center_tiling(old.num_attention_heads, config.num_attention_heads).source
        self._attention = Tiling((heads[:, None] * old.head_dim + self._head.source).ravel())
        # Of a feature's copies: the sum of squares over the new width is in proportion to the old one.
        ratio = np.float32(config.hidden_size / old.hidden_size)
        self._size = np.sqrt(ratio / self._width.copies)  # float32 [new width]; all 1 where the ratio is whole
        self._center = bool((self._size != 1).any())

    def weights(self) -> Iterator[tuple[str, _Array]]:
        """Name and values of every weight of `Phi`, one at a time."""
        words = self._new.vocab_size
        yield "embed_tokens.weight", self._written(_extended(self._read("model.embed_tokens.weight"), words).T).T
        previous = -1
        for layer in range(self._new.num_hidden_layers):
            source = layer * self._old.num_hidden_layers // self._new.num_hidden_layers
            for name, values in self._layer(layer, source, silent=source == previous):
                yield f"layers.{layer}.{name}", values
            previous = source
        yield from self._norm("final_layernorm", "model.final_layernorm")
        head = _extended(self._read("lm_head.weight"), words)
        yield "lm_head.weight", self._reading(head, self._width, "lm_head")
        yield "lm_head.bias", _extended(self._read("lm_head.bias"), words)

    def _layer(self, layer: int, source: int, *, silent: bool) -> Iterator[tuple[str, _Array]]:
        """One layer; a silent one adds nothing to the residual stream until it is trained."""
        old, key = f"model.layers.{source}.", f"layers.{layer}."
        yield from self._norm("input_layernorm", f"{old}input_layernorm")

        q, k, v = (f"{old}self_attn.{part}_proj" for part in "qkv")
        rows = self._attention.source
        weights = [self._reading(self._read(f"{part}.weight")[rows], self._width, f"{key}{part}") for part in (q, k, v)]
        biases = [self._read(f"{part}.bias")[rows] for part in (q, k, v)]
        factor = self._query_factor(key)
        yield "qkv.weight", np.concatenate([weights[0] * factor[:, None], *weights[1:]])
        yield "qkv.bias", np.concatenate([biases[0] * factor, *biases[1:]])

        yield (
            "fc1.weight",
            self._reading(self._read(f"{old}mlp.fc1.weight")[self._inner.source], self._width, f"{key}fc1"),
        )
        yield "fc1.bias", self._read(f"{old}mlp.fc1.bias")[self._inner.source]

        for name, module, inputs in (
            ("dense", "self_attn.dense", self._attention),
            ("fc2", "mlp.fc2", self._inner),
        ):
            weight = self._reading(self._written(self._read(f"{old}{module}.weight")), inputs, f"{key}{name}")
            bias = self._written(self._read(f"{old}{module}.bias"))
            yield f"{name}.weight", np.zeros_like(weight) if silent else weight
            yield f"{name}.bias", np.zeros_like(bias) if silent else bias

    def _reading(self, weight: _Array, inputs: Tiling, key: str) -> _Array:
        """Columns for the copies of each input, which share what its one column was: [rows, old] to [rows, new]."""
        return weight[:, inputs.source] * inputs.shares(len(weight), self._random(key), self._spread)

    def _written(self, values: _Array) -> _Array:
        """Rows for the features of the residual stream that a weight or bias writes: [old, ...] to [new, ...]."""
        if self._center:
            values = values - values.mean(0)
        written: _Array = values[self._width.source] * self._size.reshape(-1, *[1] * (values.ndim - 1))
        return written

    def _norm(self, name: str, old: str) -> Iterator[tuple[str, _Array]]:
        """A LayerNorm over the residual stream."""
        yield f"{name}.weight", self._read(f"{old}.weight")[self._width.source] / self._size
        yield f"{name}.bias", self._read(f"{old}.bias")[self._width.source]

    def _query_factor(self, key: str) -> _Array:
        """What each dimension of the queries is multiplied by, for a score to stay what it was: [new width].

        Copies share the product that was one dimension's, and the sum is divided by the root of another head width.
        """
        shares = self._head.shares(self._new.num_attention_heads, self._random(f"{key}query"), self._spread)
        factor: _Array = shares.ravel() * np.float32((self._new.head_dim / self._old.head_dim) ** 0.5)
        return factor

    def _random(self, key: str) -> np.random.Generator:
        return np.random.default_rng([self._seed % 2**64, zlib.crc32(key.encode())])


def _extended(values: _Array, words: int) -> _Array:
    """Rows for the tokens of a larger vocabulary, each the mean of the old ones."""
    added = words - len(values)
    return np.concatenate([values, np.repeat(values.mean(0, keepdims=True), added, axis=0)]) if added else values


def _obstacle(old: PhiConfig, new: PhiConfig) -> str | None:
    """Why a model of one geometry cannot grow into another, or None."""
    for name in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                 "head_dim"):  # fmt: skip
        before, after = getattr(old, name), getattr(new, name)
        if after < before:
            return f"{name} would shrink from {before} to {after}"
    if new.rotary_dim != old.rotary_dim:
        factor = old.rotary_dim / new.head_dim
        return (
            f"rotary_dim would be {new.rotary_dim} instead of {old.rotary_dim}: set partial_rotary_factor to {factor:g}"
        )
    for name in ("rope_theta", "layer_norm_eps", "eos_token_id"):
        before, after = getattr(old, name), getattr(new, name)
        if after != before:
            return f"{name} would be {after} instead of {before}"
    if old.rotary_dim == old.head_dim < new.head_dim:
        return f"all {old.head_dim} dimensions of its heads are rotary: nothing to fill {new.head_dim} with"
    return None
