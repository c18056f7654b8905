"""Beginning with the rounding of a Q4_0 file: its scales stay, and weights begin near the codes that it holds.

`edge-phi convert` rounds with calibration: a matrix's later columns make up for the errors of its earlier ones (GPTQ,
arXiv 2210.17323). A run that begins there predicts at once what that file does, and gradients only have to say which
codes should be others. The unrounded weights are the checkpoint's own, as far as they lie within `_MARGIN` of a step
around the file's: those for which another code was nearly as good, or better by itself, begin nearest to it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edge_phi.errors import InvalidFile
from edge_phi.gguf_header import GgufHeader, read_gguf_header
from edge_phi.gguf_rows import split
from edge_phi.lineage import verify

from .quantize_aware import five_bits

_MARGIN = 0.3  # of a scale; at 0.5 a code changes
_OUTSIDE_LAYERS = {"embed_tokens": "token_embd", "final_layernorm": "output_norm", "lm_head": "output"}
_IN_LAYERS = {
    "input_layernorm": "attn_norm",
    "qkv": "attn_qkv",
    "dense": "attn_output",
    "fc1": "ffn_up",
    "fc2": "ffn_down",
}


def start_rounded(file: Path, checkpoint: Path, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights to begin with, under our names, each matrix but the head's with its `scales`.

    Args:
        file: a Q4_0 file that was made of the checkpoint; biases and norms are its own too, for calibration moves them.
        checkpoint: the folder.
        weights: the checkpoint's, in float32.

    Raises:
        InvalidCall: there is no such file, or nothing says what it was made from.
        InvalidFile: it is damaged, was made from something else, or is not in Q4_0.
    """
    verify(file, checkpoint_folder=checkpoint)
    header = read_gguf_header(file)
    data = np.memmap(file, np.uint8, "r")
    started = {}
    for name, weight in weights.items():
        if name == "lm_head.weight":  # in 6 bits there, and not rounded in training
            started[name] = weight
            continue
        scales, codes = _read(header, data, _gguf_name(name), weight)
        if weight.dim() == 1:
            started[name] = codes.reshape(weight.shape)
            continue
        scales = five_bits(scales)
        step = scales.unsqueeze(-1)
        rounded = codes * step
        room = _MARGIN * step.abs()
        started[name] = (rounded + (weight.view(codes.shape) - rounded).clamp(-room, room)).view(weight.shape)
        started[f"{name.removesuffix('weight')}scales"] = scales
    return started


def _read(
    header: GgufHeader, data: np.memmap[tuple[int], np.dtype[np.uint8]], name: str, like: Tensor
) -> tuple[Tensor, Tensor]:
    """Scales [rows, blocks] and codes [rows, blocks, columns], float32; of a vector a scale of 1 and the numbers."""
    tensor = header.tensors.get(name)
    wanted = "Q4_0" if like.dim() == 2 else "F32"
    if tensor is None or tensor.type != wanted or tensor.shape != tuple(like.shape):
        found = "missing" if tensor is None else f"{tensor.type} of {list(tensor.shape)}"
        raise InvalidFile(
            f"{header.path}: {name} is {found}, not {wanted} of {list(like.shape)}: give a file that 'edge-phi convert "
            "--to gguf:q4_0' made"
        )
    rows = data[tensor.offset : tensor.offset + tensor.nbytes].reshape(len(like) if like.dim() == 2 else 1, -1)
    scales, codes = split(tensor.type, rows)
    return torch.from_numpy(scales), torch.from_numpy(codes.astype(np.float32))


def _gguf_name(name: str) -> str:
    """`layers.3.fc1.bias` -> `blk.3.ffn_up.bias`."""
    module, _, kind = name.rpartition(".")
    if module in _OUTSIDE_LAYERS:
        return f"{_OUTSIDE_LAYERS[module]}.{kind}"
    _, layer, part = module.split(".")
    return f"blk.{layer}.{_IN_LAYERS[part]}.{kind}"
