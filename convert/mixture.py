"""Which tensor of a Phi gets which type in a GGUF file of a given name: the choice llama.cpp makes for `phi2`.

A name such as q4_k_m stands for a mixture: most matrices get its plain type, the ones that suffer most get more bits.
The rules here are those of llama.cpp's quantizer (src/llama-quant.cpp) for this architecture, seen in its results.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_phi.checkpoint import PhiConfig
from edge_phi.gguf_model import tensor_shapes

from .ggml import block_width


@dataclass(frozen=True)
class FileType:
    """A named mixture."""

    number: int  # in general.file_type (enum llama_ftype)
    plain: str  # the type of most matrices


FILE_TYPES: Mapping[str, FileType] = {
    "f32": FileType(0, "F32"),
    "f16": FileType(1, "F16"),
    "bf16": FileType(32, "BF16"),
    "q8_0": FileType(7, "Q8_0"),
    "q6_k": FileType(18, "Q6_K"),
    "q5_k_m": FileType(17, "Q5_K"),
    "q4_k_m": FileType(15, "Q4_K"),
    "iq4_nl": FileType(25, "IQ4_NL"),
    "iq4_xs": FileType(30, "IQ4_XS"),
    "q4_0": FileType(2, "Q4_0"),
    "q3_k_m": FileType(12, "Q3_K"),
}

# What a row gets that is no whole number of blocks of 256.
_IN_BLOCKS_OF_32 = {"Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0", "IQ4_XS": "IQ4_NL"}


def tensor_types(config: PhiConfig, file_type: str, *, with_importance: bool = False) -> dict[str, str]:
    """The type of every tensor, under its GGUF name; norms and biases are float32.

    Args:
        config: the model's geometry.
        file_type: a key of `FILE_TYPES`.
        with_importance: choose as llama.cpp does when it is given an importance matrix.
    """
    types = {}
    for name, shape in tensor_shapes(config).items():
        if len(shape) == 1:
            types[name] = "F32"
        else:
            types[name] = fitting(
                _wanted(name, shape[1], config.num_hidden_layers, file_type, with_importance), shape[1]
            )
    return types


def fitting(type_: str, width: int) -> str:
    """`type_`, or what stands in for it where a row of `width` weights is no whole number of its blocks."""
    if width % block_width(type_):
        type_ = _IN_BLOCKS_OF_32.get(type_, type_)
    return "F16" if width % block_width(type_) else type_


def _wanted(name: str, width: int, layers: int, file_type: str, with_importance: bool) -> str:
    plain = FILE_TYPES[file_type].plain
    if block_width(plain) == 1:
        return plain
    if name == "output.weight":
        return "Q8_0" if plain == "Q8_0" or width % block_width(plain) else "Q6_K"
    if name == "token_embd.weight":
        return plain
    _, layer_number, kind, _ = name.split(".")
    layer = int(layer_number)
    if kind in ("attn_qkv", "ffn_down") and file_type in ("q4_k_m", "q5_k_m"):
        return "Q6_K" if _gets_more_bits(layer, layers) else plain
    if kind == "attn_qkv" and file_type == "q3_k_m":
        return "Q5_K" if layer < 2 else "Q4_K"
    if kind == "ffn_down" and file_type == "q3_k_m":
        return "Q5_K" if layer < layers // 16 else "Q4_K"
    if kind == "attn_output" and file_type == "q3_k_m":
        return "Q4_K"
    if kind == "ffn_down" and layer < layers // 8:
        if file_type in ("iq4_nl", "iq4_xs") and not with_importance:
            return "Q5_K"
        if file_type == "q4_0" and with_importance:
            return "Q4_1"
    return plain


def _gets_more_bits(layer: int, layers: int) -> bool:
    """The first and the last eighth of the layers, and every third between."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2
