"""Panels: the layout in which the engine's kernels read matrices.

A kernel takes sixteen rows beside one another, one in each lane of a register, so that one activation (broadcast)
meets sixteen weights and no sum ever has to be taken across lanes. A panel is sixteen rows; it runs along the columns
in pairs of blocks of 32:

    4 bits, 576 bytes a pair                         8 bits, 1088 bytes a pair
    [16 scales of block 0][16 scales of block 1]     the same: float16, 64 bytes
    block 0: 4 lines of 64 bytes                     block 0: 8 lines of 64 bytes
    block 1: 4 lines of 64 bytes                     block 1: 8 lines of 64 bytes

    line j < 2, bytes 4r..4r+3 are row r:            line j, bytes 4r..4r+3 are row r:
      low nibbles:  columns 8j   .. 8j+3  (0..15)      columns 4j .. 4j+3  (int8)
      high nibbles: columns 8j+4 .. 8j+7  (0..15)

Four columns of a row are the four bytes that one dot-product instruction sums up. Pair by pair this is the size of the
file's own blocks, 18 and 34 bytes for 32 weights (https://github.com/ggml-org/ggml, block_q4_0 and block_q8_0).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...gguf_rows import Bytes, blocks, split, whole

FORMAT = 2  # to be raised with every change of the layout
BLOCK = 32  # weights that share a scale
PANEL_ROWS = 16
PAIR_BYTES = {4: 576, 8: 1088}  # of a panel, for two blocks of its columns; by bits

_NIBBLES = np.uint32(0x0F0F0F0F)
_FOUR = np.uint32(4)


def pack(kind: str, rows: Bytes, panels: Bytes, bits: int) -> None:
    """Lay whole panels of rows out.

    Args:
        kind: of the rows, a GGUF tensor's type; with 4 bits only Q4_0.
        rows: uint8 [panels x 16, bytes of a row], as in the file.
        panels: written: uint8 [panels, pairs, bytes of a pair].
        bits: 4, or 8: Q4_0 and Q8_0 as they are, all others rounded to 8 bits.
    """
    lines = panels[..., 64:].view(np.uint32)
    if bits == 4:
        scales, codes = blocks(kind, rows)
        words = codes.view(np.uint32)  # of columns 0-3 and 16-19, 4-7 and 20-23, 8-11 and 24-27, 12-15 and 28-31
        even, odd = words[..., 0::2], words[..., 1::2]
        low = even & _NIBBLES | (odd & _NIBBLES) << _FOUR
        high = even >> _FOUR & _NIBBLES | odd & ~_NIBBLES
        words = np.concatenate([low, high], -1)
    else:
        scales, codes = _rounded(*split(kind, rows)) if kind not in ("Q4_0", "Q8_0") else blocks(kind, rows)
        words = (whole(codes) if kind == "Q4_0" else codes).view(np.uint32)
    shape = (len(panels), PANEL_ROWS, -1, 2)  # panel, row, pair, block
    panels[..., :64].view(np.uint16).reshape(len(panels), -1, 2, PANEL_ROWS)[...] = np.moveaxis(
        scales.reshape(shape), 1, -1
    )
    lines.reshape(len(panels), -1, 2, words.shape[-1], PANEL_ROWS)[...] = np.moveaxis(
        words.reshape(*shape, words.shape[-1]), 1, -1
    )


@np.errstate(all="ignore")
def _rounded(scales: npt.NDArray[np.float32], codes: Any) -> tuple[npt.NDArray[np.uint16], Any]:
    """Any weights as Q8_0 has them; 0 for what is not a number."""
    weights = (scales[..., None] * codes).reshape(len(scales), -1, BLOCK)
    rounded = (np.abs(weights).max(-1) / np.float32(127)).astype(np.float16)
    codes = np.rint(weights / rounded[..., None].astype(np.float32))
    return rounded.view(np.uint16), np.clip(np.nan_to_num(codes, posinf=127, neginf=-127), -127, 127).astype(np.int8)
