"""Weights in blocks with one scale each: the format of ONNX Runtime's MatMulNBits and GatherBlockQuantized.

A weight is `scale * code`; 4-bit codes go from -8 to 7, 8-bit codes from -128 to 127. Blocks are symmetric, without
zero points, and of 32 weights unless it is said: at 4 bits that is the same information as llama.cpp's Q4_0 (18 bytes
for 32 weights), so both engines can be handed the same weights. (Zero points would take half a byte more and lower the
KL divergence by an eighth.) Scales are float16; ONNX Runtime wants them in float32, to which a graph casts them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .errors import InvalidCall

BLOCK = 32

# Where a 4-bit block's largest weight is put before it is rounded into the range that ends at -8. The best of these six
# scales leaves, on normally distributed weights, 0.70 times the squared error of max/7 and 0.89 times that of max/-8
# (Q4_0's rule); twice as many candidates would gain 0.2 % more. First comes 8, which wins a tie.
_RANGES_4BIT = tuple(np.float32(7 + third / 3) for third in (3, 0, 1, 2, 4, 5))
_CHUNK = 2**20  # weights handled at once, so that temporaries stay in a few tens of MB


@dataclass(frozen=True)
class Blocks:
    """A matrix [rows, width] cut into blocks along its width, which is a multiple of theirs.

    `codes` is uint8 [rows, blocks, block * bits / 8] and holds code + 2 ** (bits - 1), so that all are positive; at 4
    bits byte j of a block has code 2j in its low half and code 2j + 1 in its high half. `scales` is float16
    [rows, blocks].
    """

    bits: int  # 4 or 8
    codes: npt.NDArray[np.uint8]
    scales: npt.NDArray[np.float16]

    @property
    def block(self) -> int:
        """Weights in a block."""
        return int(self.codes.shape[2]) * 8 // self.bits


def quantize(weights: npt.NDArray[np.float32], bits: int = 4, block: int = BLOCK) -> Blocks:
    """Round a matrix [rows, width] to blocks.

    At 4 bits each block gets the scale of least squared error among a few: for given codes q the best scale for
    weights x is sum(x q) / sum(q q), which leaves the error sum(x x) - sum(x q)^2 / sum(q q). At 8 bits it is max/127.
    Rounding what `dequantize` gave changes nothing.

    Args:
        weights: float32 [rows, width].
        bits: 4 or 8.
        block: 16 times a power of two.

    Raises:
        InvalidCall: the width is not a multiple of the block, `bits` is neither 4 nor 8, or a weight is not finite or
            too large for a float16 scale.
    """
    if bits not in (4, 8):
        raise InvalidCall(f"blocks of {bits} bits are not supported: choose 4 or 8")
    rows, width = weights.shape
    if width % block:
        raise InvalidCall(f"a matrix of width {width} cannot be cut into blocks of {block}")
    codes = np.empty((rows, width // block, block * bits // 8), np.uint8)
    scales = np.empty((rows, width // block), np.float16)
    step = max(1, _CHUNK // width)
    for top in range(0, rows, step):
        part = slice(top, top + step)
        x = np.asarray(weights[part], np.float32).reshape(-1, width // block, block)
        largest = np.abs(x).max(axis=-1)
        if not (largest <= np.finfo(np.float16).max).all():
            raise InvalidCall("a weight is not finite or larger than 65504")
        if bits == 4:
            q, scales[part] = _best_of_ranges(x)
            codes[part] = q[..., 0::2] | q[..., 1::2] << 4
        else:
            scales[part] = largest / 127
            scale = np.where(scales[part] == 0, 1, scales[part].astype(np.float32))
            codes[part] = np.clip(np.rint(x / scale[..., None]), -128, 127) + 128
    return Blocks(bits, codes, scales)


def dequantize(blocks: Blocks) -> npt.NDArray[np.float32]:
    """The matrix [rows, width] that `blocks` stands for, exactly as an engine multiplies with it."""
    codes = blocks.codes
    if blocks.bits == 4:
        codes = np.stack((codes & 15, codes >> 4), axis=-1).reshape(*codes.shape[:2], blocks.block)
    values = codes.astype(np.float32) - np.float32(2 ** (blocks.bits - 1))
    values *= blocks.scales.astype(np.float32)[..., None]
    matrix: npt.NDArray[np.float32] = values.reshape(len(values), -1)
    return matrix


def _best_of_ranges(x: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Of blocks [rows, blocks, 32] the codes + 8, unpacked, and the scales [rows, blocks]."""
    extreme = np.take_along_axis(x, np.abs(x).argmax(axis=-1)[..., None], axis=-1)
    unit = np.asarray(x / np.where(extreme == 0, np.float32(1), extreme), np.float32)
    gain = np.full(x.shape[:2], -1, np.float32)
    scales = np.zeros(x.shape[:2], np.float32)
    codes = np.zeros(x.shape, np.int8)
    for end in _RANGES_4BIT:
        q, scale, gained = _fit(x, unit, end)
        better = gained > gain * np.float32(1 + 1e-6)  # by more than rounding, so that a tie stays one
        gain = np.where(better, gained, gain)
        scales = np.where(better, scale, scales)
        codes[better] = q[better].astype(np.int8)
    # Where nothing seems to be lost, float16 decides: of the scales that do as well some may be held exactly.
    whole = np.nonzero(gain >= np.einsum("abk,abk->ab", x, x) * np.float32(1 - 1e-5))
    missing = np.ones(len(whole[0]), bool)
    for end in _RANGES_4BIT:
        q, scale, _ = _fit(x[whole][None], unit[whole][None], end)
        held = scale[0].astype(np.float16).astype(np.float32)
        exact = missing & (q[0] * held[:, None] == x[whole]).all(axis=-1)
        chosen = tuple(axis[exact] for axis in whole)
        scales[chosen], codes[chosen] = held[exact], q[0][exact].astype(np.int8)
        missing &= ~exact
    return (codes + 8).astype(np.uint8), scales


def _fit(
    x: npt.NDArray[np.float32], unit: npt.NDArray[np.float32], end: np.float32
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Codes [rows, blocks, 32] of x with its largest weight at -end, their best scales, and the squares these take."""
    q = np.clip(np.rint(unit * -end), -8, 7)
    along, square = np.einsum("abk,abk->ab", x, q), np.einsum("abk,abk->ab", q, q)
    scale = along / np.maximum(square, 1)
    return q, scale, along * scale
