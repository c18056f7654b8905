"""The values that blocks of quantized weights can take, and the bytes that hold them: llama.cpp's types and int4.

A weight is `scale * code + offset`, its code one of a few whole numbers. `part` neighbouring weights of a row share
scale and offset; the parts of a `block` share what their scales and offsets are multiples of. A grid says which scales
are worth trying for given weights. Which is taken is decided elsewhere (`compensate`), by what it does to the product.

Layouts are those of ggml (block_q4_0 and so on in ggml-common.h), and of MatMulNBits (`edge_phi.blocks`).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_phi import blocks

from .grid_bytes import (
    Bytes,
    pack_halves,
    pack_int4,
    pack_iq4_xs,
    pack_q3_k,
    pack_q4_k,
    pack_q5_0,
    pack_q5_k,
    pack_q6_k,
)

Array = npt.NDArray[np.float32]


class Grid(Protocol):
    """One type of quantized weights."""

    @property
    def block(self) -> int:
        """Neighbouring weights of a row that are packed together; a width is a multiple of it."""

    @property
    def part(self) -> int:
        """Of a block, the weights that share scale and offset."""

    @property
    def affine(self) -> bool:
        """Whether there are offsets other than 0."""

    def round(self, x: Array) -> Array:
        """The codes nearest to (weight - offset) / scale; any shape."""

    def shared(self, weights: Array, metric: Array) -> Array:
        """For blocks [rows, block] what their parts share, [rows, n], n as the type has it.

        `metric` [block] says how much the squared error of each column counts.
        """

    def options(self, shared: Array, weights: Array, metric: Array) -> tuple[Array, Array]:
        """Scales and offsets worth trying for one part [rows, part], each [options, rows]; all can be stored."""

    def nearest(self, shared: Array, scale: Array, offset: Array) -> tuple[Array, Array]:
        """The scales and offsets [rows] nearest to these that can be stored."""

    def pack(self, shared: Array, scales: Array, offsets: Array, codes: Array) -> Bytes:
        """Bytes [rows, n] of blocks with `shared`, scales and offsets [rows, parts] and codes [rows, block]."""

    def exact(self, weights: Array) -> tuple[Array, Array] | None:
        """Scales [rows, blocks] and codes [rows, width] that give exactly these weights, if there are such."""


@dataclass(frozen=True)
class OneScale:
    """Blocks of 32 with a float16 scale: Q4_0, Q5_0, MatMulNBits' int4, and IQ4_NL with codes from a table."""

    codes: tuple[int, ...]  # ascending
    ranges: tuple[float, ...]  # where the block's largest weight is put, with its sign turned: towards the first code
    kind: str
    block: int = 32
    part: int = 32
    affine: bool = False

    def round(self, x: Array) -> Array:
        """See `Grid`."""
        return _round(x, self.codes)

    def shared(self, weights: Array, metric: Array) -> Array:
        """Nothing."""
        return np.empty((len(weights), 0), np.float32)

    def options(self, shared: Array, weights: Array, metric: Array) -> tuple[Array, Array]:
        """See `Grid`."""
        scales, _ = _fit(weights, metric, self.codes, self.ranges)
        scales = _float16(scales)
        return scales, np.zeros_like(scales)

    def nearest(self, shared: Array, scale: Array, offset: Array) -> tuple[Array, Array]:
        """See `Grid`."""
        return _float16(scale), np.zeros_like(scale)

    def pack(self, shared: Array, scales: Array, offsets: Array, codes: Array) -> Bytes:
        """See `Grid`."""
        index = _index(codes, self.codes)
        packed = {"q4_0": pack_halves, "iq4_nl": pack_halves, "q5_0": pack_q5_0, "int4": pack_int4}[self.kind](index)
        return np.concatenate([_bytes(scales, "<f2"), packed], axis=1)

    def exact(self, weights: Array) -> tuple[Array, Array] | None:
        """See `Grid`. Ends at the first rows that are not on the grid."""
        parts = []
        for top in range(0, len(weights), _EXACT_ROWS):
            parts.append(self._exact(weights[top : top + _EXACT_ROWS]))
            if parts[-1] is None:
                return None
        scales, codes = zip(*(part for part in parts if part), strict=True)
        return np.concatenate(scales), np.concatenate(codes)

    def _exact(self, weights: Array) -> tuple[Array, Array] | None:
        """The largest weight of a block has one of the codes, so its scale is one of a few."""
        w = weights.reshape(-1, self.block)
        largest = _largest(w)
        scales, codes = np.zeros_like(largest), np.zeros_like(w)
        missing = largest != 0
        for code in sorted(set(self.codes) - {0}, key=abs, reverse=True):
            x, scale = w[missing], largest[missing] / np.float32(code)
            q = self.round(x * _inverse(scale)[:, None])
            fits = (scale == _float16(scale)) & (q * scale[:, None] == x).all(axis=1)
            found = np.flatnonzero(missing)[fits]
            scales[found], codes[found], missing[found] = scale[fits], q[fits], False
        rows = len(weights)
        return None if missing.any() else (scales.reshape(rows, -1), codes.reshape(rows, -1))


@dataclass(frozen=True)
class ScaleOfScales:
    """Blocks of 256: a float16, whole-number multiples of which are the scales of the parts. Q6_K, Q3_K, IQ4_XS."""

    codes: tuple[int, ...]
    ranges: tuple[float, ...]
    part: int
    lowest: int  # multiple; the highest is -lowest - 1
    kind: str
    block: int = 256
    affine: bool = False

    def round(self, x: Array) -> Array:
        """See `Grid`."""
        return _round(x, self.codes)

    def shared(self, weights: Array, metric: Array) -> Array:
        """The float16 [rows, 1]."""
        parts = weights.reshape(len(weights), -1, self.part)
        scales, errors = _fit(parts, metric.reshape(-1, self.part), self.codes, self.ranges)
        best = np.take_along_axis(scales, errors.argmin(axis=0)[None], axis=0)[0]
        return _float16(_largest(best)[:, None] / np.float32(self.lowest))

    def options(self, shared: Array, weights: Array, metric: Array) -> tuple[Array, Array]:
        """See `Grid`."""
        scales, _ = _fit(weights, metric, self.codes, self.ranges)
        scales = self.nearest(shared, scales, scales)[0]
        return scales, np.zeros_like(scales)

    def nearest(self, shared: Array, scale: Array, offset: Array) -> tuple[Array, Array]:
        """See `Grid`."""
        unit = shared[:, 0]
        multiple = np.clip(np.rint(scale * _inverse(unit)), self.lowest, -self.lowest - 1)
        return unit * multiple, np.zeros_like(scale)

    def pack(self, shared: Array, scales: Array, offsets: Array, codes: Array) -> Bytes:
        """See `Grid`."""
        multiples = np.rint(scales * _inverse(shared)).astype(np.int16)
        index = _index(codes, self.codes)
        pack = {"q6_k": pack_q6_k, "q3_k": pack_q3_k, "iq4_xs": pack_iq4_xs}[self.kind]
        return pack(_bytes(shared, "<f2"), multiples, index)

    def exact(self, weights: Array) -> tuple[Array, Array] | None:
        """Not looked for."""
        return None


@dataclass(frozen=True)
class ScaleAndMinimum:
    """Blocks of 256 in parts of 32: scale and offset are 6-bit multiples of two float16 numbers. Q4_K, Q5_K."""

    highest: int  # code
    kind: str
    block: int = 256
    part: int = 32
    affine: bool = True

    def round(self, x: Array) -> Array:
        """See `Grid`."""
        return _whole(x, 0, self.highest)

    def shared(self, weights: Array, metric: Array) -> Array:
        """The two float16 numbers, [rows, 2]."""
        parts = weights.reshape(len(weights), -1, self.part)
        scales, offsets, errors = self._fit(parts, metric.reshape(-1, self.part))
        best = errors.argmin(axis=0)[None]
        scale = np.take_along_axis(scales, best, axis=0)[0].max(axis=1)
        offset = np.take_along_axis(offsets, best, axis=0)[0].min(axis=1)
        return _float16(np.stack([scale, -offset], axis=1) / np.float32(_SIX_BITS))

    def options(self, shared: Array, weights: Array, metric: Array) -> tuple[Array, Array]:
        """See `Grid`."""
        scales, offsets, _ = self._fit(weights, metric)
        return self.nearest(shared, scales, offsets)

    def nearest(self, shared: Array, scale: Array, offset: Array) -> tuple[Array, Array]:
        """See `Grid`."""
        unit, down = shared[:, 0], shared[:, 1]
        scale = unit * np.clip(np.rint(scale * _inverse(unit)), 0, _SIX_BITS)
        return scale, -(down * np.clip(np.rint(-offset * _inverse(down)), 0, _SIX_BITS))

    def pack(self, shared: Array, scales: Array, offsets: Array, codes: Array) -> Bytes:
        """See `Grid`."""
        unit, down = shared[:, :1], shared[:, 1:]
        multiples = np.rint(np.concatenate([scales * _inverse(unit), -offsets * _inverse(down)], axis=1))
        pack = {"q4_k": pack_q4_k, "q5_k": pack_q5_k}[self.kind]
        return pack(_bytes(shared, "<f2"), multiples.astype(np.uint8), codes.astype(np.uint8))

    def exact(self, weights: Array) -> tuple[Array, Array] | None:
        """Not looked for."""
        return None

    def _fit(self, w: Array, metric: Array) -> tuple[Array, Array, Array]:
        """Least-squares scales and offsets of parts [..., part] for several spans, with their errors: [spans, ...]."""
        low, high = np.minimum(w.min(axis=-1), 0), np.maximum(w.max(axis=-1), 0)
        whole = metric.sum(axis=-1)
        wx = (w * metric).sum(axis=-1)
        found = []
        for more in _SPANS:
            scale = (high - low) / np.float32(self.highest + more)
            q = self.round((w - low[..., None]) * _inverse(scale)[..., None])
            qm = q * metric
            s1, s2, sx = qm.sum(axis=-1), (q * qm).sum(axis=-1), (qm * w).sum(axis=-1)
            determinant = whole * s2 - s1 * s1
            solvable = determinant > np.float32(1e-6) * whole * s2
            by = _inverse(np.where(solvable, determinant, 1))
            scale = np.where(solvable, (whole * sx - s1 * wx) * by, scale)
            offset = np.where(solvable, (s2 * wx - s1 * sx) * by, low)
            above = offset > 0  # which cannot be stored
            scale = np.maximum(np.where(above, sx * _inverse(s2), scale), 0)
            offset = np.where(above, 0, offset)
            rounded = self.round((w - offset[..., None]) * _inverse(scale)[..., None])
            error = (scale[..., None] * rounded + offset[..., None] - w) ** 2 * metric
            found.append((scale, offset, error.sum(axis=-1)))
        scales, offsets, errors = (np.stack(each) for each in zip(*found, strict=True))
        return scales, offsets, errors


def int4_blocks(packed: Bytes) -> blocks.Blocks:
    """What the grid "int4" has packed, uint8 [rows, bytes], as `edge_phi.blocks` holds it."""
    each = packed.reshape(len(packed), -1, 18)
    return blocks.Blocks(4, np.ascontiguousarray(each[..., 2:]), each[..., :2].copy().view("<f2")[..., 0])


_SIX_BITS = 63
_EXACT_ROWS = 256  # looked at together
_SPANS = (-0.6, 0.0, 0.6, 1.2, 1.8)
_TABLE = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)  # kvalues_iq4nl
_FOUR = tuple(7 + third / 3 for third in range(6))
_FOUR_OF_TABLE = (105.0, 112.0, 119.0, 127.0, 135.0)

# By ggml's name of the type, and "int4" for MatMulNBits.
GRIDS: dict[str, Grid] = {
    "Q4_0": OneScale(tuple(range(-8, 8)), _FOUR, "q4_0"),
    "Q5_0": OneScale(tuple(range(-16, 16)), (15.0, 15.5, 16.0, 16.5), "q5_0"),
    "IQ4_NL": OneScale(_TABLE, _FOUR_OF_TABLE, "iq4_nl"),
    "int4": OneScale(tuple(range(-8, 8)), _FOUR, "int4"),
    "Q3_K": ScaleOfScales(tuple(range(-4, 4)), (3.2, 3.5, 3.8, 4.1, 4.4, 4.8), 16, -32, "q3_k"),
    "Q6_K": ScaleOfScales(tuple(range(-32, 32)), (31.0, 32.0, 33.0), 16, -128, "q6_k"),
    "IQ4_XS": ScaleOfScales(_TABLE, _FOUR_OF_TABLE, 32, -32, "iq4_xs"),
    "Q4_K": ScaleAndMinimum(15, "q4_k"),
    "Q5_K": ScaleAndMinimum(31, "q5_k"),
}


def _fit(w: Array, metric: Array, codes: tuple[int, ...], ranges: tuple[float, ...]) -> tuple[Array, Array]:
    """The best scales for the codes that each range gives parts [..., part], [ranges, ...], and squared errors."""
    largest = _largest(w)
    square = (w * w * metric).sum(axis=-1)
    scales, errors = [], []
    for end in ranges:
        q = _round(w * (_inverse(largest) * np.float32(-end))[..., None], codes)
        qm = q * metric
        along, norm = (qm * w).sum(axis=-1), (qm * q).sum(axis=-1)
        scales.append(along * _inverse(norm))
        errors.append(square - along * scales[-1])
    return np.stack(scales), np.stack(errors)


def _round(x: Array, codes: tuple[int, ...]) -> Array:
    lowest, highest = codes[0], codes[-1]
    whole = _whole(x, lowest, highest)
    if highest - lowest + 1 == len(codes):
        return whole
    return _nearest_codes(codes)[whole.astype(np.intp) - lowest]


def _whole(x: Array, lowest: int, highest: int) -> Array:
    """As np.clip, without what that costs on short arrays."""
    whole: Array = np.rint(x)
    np.maximum(whole, np.float32(lowest), out=whole)
    np.minimum(whole, np.float32(highest), out=whole)
    return whole


@functools.cache
def _nearest_codes(codes: tuple[int, ...]) -> Array:
    """For each whole number from the first code to the last the nearest code."""
    numbers = np.arange(codes[0], codes[-1] + 1)
    nearest = np.abs(numbers[:, None] - np.array(codes)).argmin(axis=1)
    return np.array([codes[at] for at in nearest], np.float32)


def _index(codes: Array, known: tuple[int, ...]) -> Bytes:
    if known[-1] - known[0] + 1 == len(known):
        return np.asarray(codes - np.float32(known[0]), np.uint8)
    return np.searchsorted(np.array(known), codes).astype(np.uint8)


def _largest(x: Array) -> Array:
    """Of the last axis the number of largest magnitude, with its sign."""
    largest: Array = np.take_along_axis(x, np.abs(x).argmax(axis=-1)[..., None], axis=-1)
    return largest[..., 0]


def _inverse(x: Array) -> Array:
    """1 / x, and 0 for 0 and what is too small to divide by."""
    tiny = np.abs(x) < np.float32(1e-30)
    inverse: Array = np.where(tiny, np.float32(0), np.float32(1) / np.where(tiny, np.float32(1), x))
    return inverse


def _float16(x: Array) -> Array:
    """Rounded to what float16 can hold."""
    return np.clip(x, -65504, 65504).astype(np.float16).astype(np.float32)


def _bytes(x: Array, dtype: str) -> Bytes:
    """[rows, n] to [rows, bytes]."""
    return np.ascontiguousarray(x.astype(dtype)).view(np.uint8)
