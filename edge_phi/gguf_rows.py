"""Rows of GGUF tensors as scales and codes, exactly as a file has them.

The blocks are those of https://github.com/ggml-org/ggml: block_q4_0, block_q8_0 and block_q6_K.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# What `split` knows: the type of the codes, and how many columns share a scale; 0: all of them.
TYPES = {"F32": ("<f4", 0), "F16": ("<f2", 0), "Q4_0": ("i1", 32), "Q8_0": ("i1", 32), "Q6_K": ("i1", 16)}

Bytes = npt.NDArray[np.uint8]


@np.errstate(all="ignore")
def split(kind: str, rows: Bytes) -> tuple[npt.NDArray[np.float32], Any]:
    """Rows as scales [rows, blocks] and codes [rows, blocks, columns of a block], whose products are the weights.

    Codes are int8 for Q4_0, Q8_0 and Q6_K; of F32 and F16 they are the weights, in one block of scale 1.
    """
    if kind in ("F32", "F16"):
        return np.ones((len(rows), 1), np.float32), rows[:, None].view("<f4" if kind == "F32" else "<f2")
    if kind == "Q6_K":
        return _split_q6_k(rows)
    scales, codes = blocks(kind, rows)
    return scales.view(np.float16).astype(np.float32), whole(codes) if kind == "Q4_0" else codes


def blocks(kind: str, rows: Bytes) -> tuple[npt.NDArray[np.uint16], Any]:
    """Of Q4_0 or Q8_0: the scales' bits [rows, blocks]; 16 bytes of nibbles, or 32 int8, of each block."""
    stored = rows.reshape(len(rows), -1, 18 if kind == "Q4_0" else 34)
    codes = np.ascontiguousarray(stored[..., 2:])
    scales = np.ascontiguousarray(stored[..., :2]).view(np.uint16)[..., 0]
    return scales, codes if kind == "Q4_0" else codes.view(np.int8)


def whole(nibbles: Any) -> Any:
    """Bytes of Q4_0, each columns i and i + 16, as int8 -8..7 in order."""
    return np.concatenate([nibbles & 15, nibbles >> 4], -1).view(np.int8) - np.int8(8)


def _split_q6_k(rows: Bytes) -> tuple[Any, Any]:
    """256 weights: 128 bytes of low nibbles, 64 bytes of upper pairs of bits, 16 int8 scales, a float16 scale.

    Each half of 128 weights is four runs of 32; two runs share bytes of nibbles, all four those of upper bits.
    """
    stored = rows.reshape(len(rows), -1, 210)
    nibbles = stored[..., :128].reshape(*stored.shape[:2], 2, 1, 2, 32)
    low = np.concatenate([nibbles & 15, nibbles >> 4], -3).reshape(*stored.shape[:2], 2, 4, 32)
    pairs = stored[..., 128:192].reshape(*stored.shape[:2], 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8)[:, None]
    codes = (low | (pairs & 3) << 4).view(np.int8) - np.int8(32)
    scales = stored[..., 192:208].view(np.int8) * np.ascontiguousarray(stored[..., 208:]).view("<f2").astype(np.float32)
    return scales.reshape(len(rows), -1), codes.reshape(len(rows), -1, 16)
