"""The tensors of a Phi's GGUF file, in the order of the computation, and the checkpoint's tensors each is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_phi.checkpoint import PhiConfig
from edge_phi.errors import MissingExtra
from edge_phi.gguf_model import tensor_shapes

from .ggml import row_bytes

_ALIGNMENT = 32  # bytes; the format's default

# Of a layer: the name in the file, the modules of the checkpoint.
_LAYER = {
    "attn_norm": ("input_layernorm",),
    "attn_qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "ffn_up": ("mlp.fc1",),
    "attn_output": ("self_attn.dense",),
    "ffn_down": ("mlp.fc2",),
}


@dataclass(frozen=True)
class FileTensor:
    """One tensor of the file."""

    name: str
    sources: tuple[str, ...]  # names in the checkpoint; more than one are stacked row upon row
    shape: tuple[int, ...]
    type: str
    offset: int  # bytes from the first tensor's start

    def bytes_of(self, rows: int) -> int:
        """Bytes of so many rows; of a vector, of so many numbers."""
        return row_bytes(self.type, rows) if len(self.shape) == 1 else rows * row_bytes(self.type, self.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of the whole tensor."""
        return self.bytes_of(self.shape[0])


def file_tensors(config: PhiConfig, types: Mapping[str, str]) -> list[FileTensor]:
    """Every tensor of the file where it will lie; `types` has each one's type under its GGUF name."""
    shapes = tensor_shapes(config)
    tensors = []
    offset = 0
    for name, sources in sources_of(config).items():
        tensor = FileTensor(name, sources, shapes[name], types[name], offset)
        tensors.append(tensor)
        offset += aligned(tensor.nbytes)
    return tensors


def sources_of(config: PhiConfig) -> dict[str, tuple[str, ...]]:
    """The checkpoint's names of what becomes each tensor of the file, in the file's order."""
    sources: dict[str, tuple[str, ...]] = {"token_embd.weight": ("model.embed_tokens.weight",)}
    modules: dict[str, tuple[str, ...]] = {
        f"blk.{layer}.{name}": tuple(f"model.layers.{layer}.{part}" for part in parts)
        for layer in range(config.num_hidden_layers)
        for name, parts in _LAYER.items()
    }
    modules |= {"output_norm": ("model.final_layernorm",), "output": ("lm_head",)}
    for name, parts in modules.items():
        for kind in ("weight", "bias"):
            sources[f"{name}.{kind}"] = tuple(f"{part}.{kind}" for part in parts)
    return sources


def data_bytes(tensors: list[FileTensor]) -> int:
    """Bytes of all tensors, with what lies between them and after the last."""
    return tensors[-1].offset + aligned(tensors[-1].nbytes)


def aligned(position: int) -> int:
    """The next place where a tensor may begin."""
    return -(-position // _ALIGNMENT) * _ALIGNMENT


def load_gguf() -> Any:
    """The gguf package, which writes the format's header.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import gguf
    except ImportError as error:
        raise MissingExtra("writing GGUF needs the gguf package: run pip install 'edge-phi[convert]'") from error
    return gguf
