"""Quantization-aware finetuning: a model computes with weights rounded to 4 bits, and learns to do so.

Forward passes use the matrices that a Q4_0 file holds, the embedding's included; gradients go to the unrounded ones as
if nothing had been rounded (the straight-through estimator, Bengio et al. 2013, arXiv 1308.3432). What is saved are the
rounded ones, so that llama.cpp's Q4_0 and MatMulNBits' symmetric int4 of the checkpoint lose nothing. The output head
is left as it is: a Q4_0 file holds it in Q6_K.

Q4_0 (ggml-quants.c, quantize_row_q4_0_ref) takes 32 weights of a row at a time. Its scale is the one of largest
magnitude divided by -8, in float16; weights are multiples of the scale from -8 to 7. Scales here have five significant
bits instead of eleven. A multiple then has at most eight, for none of them needs more than three, and bfloat16 holds
it: checkpoints stay as small as others are, and a GPU's bfloat16 products have the weights that engines will have. The
coarser scales cost nothing, since weights are rounded to the multiples of what the scale became.

Scales can also be given, as a file's that was rounded with calibration (`rounded_start`): these stay as they are, and
only codes are learnt. Its blocks need not reach -8, so llama.cpp's quantizer would find other scales for them;
`edge-phi convert` sees that the weights lie on a grid and keeps them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from edge_phi.blocks import BLOCK
from edge_phi.errors import InvalidCall

from .model import Embedding, Linear, Phi

_DROPPED_BITS = 19  # of float32's 24 significant ones


def make_quantize_aware(model: Phi, *, given_scales: bool = False) -> None:
    """Let a model compute with rounded matrices from now on, all but the head's.

    With `given_scales` each of them gets a buffer `scales`, float32 [rows, blocks], yet to be filled.

    Raises:
        InvalidCall: a matrix's width is not a multiple of 32.
    """
    for name, module in model.named_modules():
        if isinstance(module, (Linear, Embedding)) and module is not model.lm_head:
            width = module.weight.shape[1]
            if width % BLOCK:
                raise InvalidCall(f"quantize=q4_0: {name} is {width} wide: Q4_0 needs a multiple of {BLOCK}")
            module.rounding = StraightThrough.apply
            if given_scales:
                module.scales = module.weight.new_empty(module.weight.shape[0], width // BLOCK)


def round_to_grid(weights: Tensor, scales: Tensor | None = None) -> Tensor:
    """Weights that a Q4_0 file holds: [rows, width], width a multiple of 32, to the same shape and type.

    What it returns it leaves as it is, and so does llama.cpp's quantizer unless `scales`, [rows, blocks], are given.
    Weights are read as bfloat16, which is how FSDP's processes see them on a GPU: what is saved is what was trained,
    wherever that was.
    """
    blocks = weights.bfloat16().float().view(*weights.shape[:-1], -1, BLOCK)
    if scales is not None:
        scale = scales.unsqueeze(-1)
        codes = (blocks / torch.where(scale == 0, 1, scale)).round().clamp(-8, 7)
        return (codes * scale).flatten(-2).to(weights.dtype)
    lowest, highest = blocks.amin(-1, keepdim=True), blocks.amax(-1, keepdim=True)
    extreme = torch.where(highest > -lowest, highest, lowest)
    scale = five_bits(extreme / -8)
    codes = (blocks / torch.where(scale == 0, 1, scale)).round().clamp(-8, 7)
    # What the scale will be made from again. It is -8 already, except where float16 has few bits left.
    codes = torch.where(blocks == extreme, -8, codes)
    return (codes * scale).flatten(-2).to(weights.dtype)


class StraightThrough(torch.autograd.Function):
    """`round_to_grid` with the gradient of doing nothing."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, scales: Tensor | None = None) -> Tensor:
        """As `round_to_grid`."""
        return round_to_grid(weights, scales)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        """[rows, width] to the same; scales are not learnt."""
        return grad, None


def five_bits(scales: Tensor) -> Tensor:
    """Float32 rounded to five significant bits, and to what float16 holds."""
    half = 1 << (_DROPPED_BITS - 1)
    rounded = ((scales.view(torch.int32) + half) & -(1 << _DROPPED_BITS)).view(torch.float32)
    return rounded.half().float()
