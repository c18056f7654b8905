"""Codes to the bytes of ggml's blocks, and of MatMulNBits' int4: many blocks at once, a row of bytes for each."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Multiples = npt.NDArray[np.int16]


def pack_halves(index: Bytes) -> Bytes:
    """Q4_0 and IQ4_NL: 4-bit numbers [rows, 32], the first 16 in the low halves of 16 bytes."""
    return np.asarray(index[:, :16] | index[:, 16:] << 4, np.uint8)


def pack_int4(index: Bytes) -> Bytes:
    """MatMulNBits: 4-bit numbers [rows, 32], two neighbours in a byte, the first in its low half."""
    return np.asarray(index[:, 0::2] | index[:, 1::2] << 4, np.uint8)


def pack_q5_0(index: Bytes) -> Bytes:
    """5-bit numbers [rows, 32]: their highest bits in 4 bytes, then the rest as in Q4_0."""
    return np.concatenate(
        [np.packbits(index >> 4, axis=1, bitorder="little"), pack_halves(index & np.uint8(15))], axis=1
    )


def pack_q4_k(shared: Bytes, multiples: Bytes, codes: Bytes) -> Bytes:
    """Two float16 [rows, 4 bytes], eight scales and eight minima of 6 bits [rows, 16], 4-bit codes [rows, 256]."""
    return np.concatenate([shared, _six_bits(multiples), _low_halves(codes)], axis=1)


def pack_q5_k(shared: Bytes, multiples: Bytes, codes: Bytes) -> Bytes:
    """As Q4_K with 5-bit codes: bit g of byte l is the highest of code 32 g + l."""
    high = np.packbits((codes >> 4).reshape(-1, 8, 32).transpose(0, 2, 1), axis=2, bitorder="little")[..., 0]
    return np.concatenate([shared, _six_bits(multiples), high, _low_halves(codes & np.uint8(15))], axis=1)


def pack_q6_k(shared: Bytes, multiples: Multiples, index: Bytes) -> Bytes:
    """6-bit numbers [rows, 256], halves of 128 in four runs of 32, sixteen int8 scales [rows, 16], a float16."""
    runs = index.reshape(-1, 2, 4, 32)
    low, high = runs & 15, runs >> 4
    four = np.concatenate([low[:, :, 0] | low[:, :, 2] << 4, low[:, :, 1] | low[:, :, 3] << 4], axis=2)
    two = high[:, :, 0] | high[:, :, 1] << 2 | high[:, :, 2] << 4 | high[:, :, 3] << 6
    rows = len(index)
    return np.concatenate(
        [four.reshape(rows, -1), two.reshape(rows, -1), multiples.astype(np.int8).view(np.uint8), shared], axis=1
    )


def pack_q3_k(shared: Bytes, multiples: Multiples, index: Bytes) -> Bytes:
    """3-bit numbers [rows, 256]: bit g of byte l is the highest of number 32 g + l; the rest in four runs of 32."""
    high = np.packbits((index >> 2).reshape(-1, 8, 32).transpose(0, 2, 1), axis=2, bitorder="little")[..., 0]
    runs = (index & 3).reshape(-1, 2, 4, 32)
    low = runs[:, :, 0] | runs[:, :, 1] << 2 | runs[:, :, 2] << 4 | runs[:, :, 3] << 6
    six = (multiples + 32).astype(np.uint8)
    four, two = six & 15, (six >> 4).reshape(-1, 4, 4)
    scales = [four[:, :8] | four[:, 8:] << 4, two[:, 0] | two[:, 1] << 2 | two[:, 2] << 4 | two[:, 3] << 6]
    return np.concatenate([high, low.reshape(len(index), -1), *scales, shared], axis=1)


def pack_iq4_xs(shared: Bytes, multiples: Multiples, index: Bytes) -> Bytes:
    """A float16, eight scales of 6 bits (high bits in 2 bytes, low ones in 4), numbers as in IQ4_NL."""
    six = (multiples + 32).astype(np.uint8)
    high = six >> 4
    high = high[:, 0::4] | high[:, 1::4] << 2 | high[:, 2::4] << 4 | high[:, 3::4] << 6
    low = (six[:, 0::2] & 15) | (six[:, 1::2] & 15) << 4
    numbers = pack_halves(index.reshape(-1, 32)).reshape(len(index), -1)
    return np.concatenate([shared, high, low, numbers], axis=1)


def _six_bits(multiples: Bytes) -> Bytes:
    """Eight scales and eight minima [rows, 16] in 12 bytes: of the last four of each, the high bits lie elsewhere."""
    scales, minima = multiples[:, :8], multiples[:, 8:]
    first = scales[:, :4] | scales[:, 4:] >> 4 << 6
    second = minima[:, :4] | minima[:, 4:] >> 4 << 6
    return np.concatenate([first, second, (scales[:, 4:] & 15) | minima[:, 4:] << 4], axis=1)


def _low_halves(codes: Bytes) -> Bytes:
    """4-bit codes [rows, 256]: of every 64 the first 32 in the low halves of 32 bytes."""
    pairs = codes.reshape(-1, 4, 2, 32)
    return np.asarray(pairs[:, :, 0] | pairs[:, :, 1] << 4, np.uint8).reshape(len(codes), -1)
