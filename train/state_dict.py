"""Our weights as Hugging Face's `PhiForCausalLM` folder, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from edge_phi.atomic import atomic_folder
from edge_phi.checkpoint import CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE, PhiConfig, open_checkpoint
from edge_phi.lineage import write_checkpoint_lineage

from .data.shards import END_OF_TEXT
from .distributed import whole
from .model import Phi


def save_checkpoint(
    folder: Path, config: PhiConfig, tensors: dict[str, Tensor], tokenizer: Any, *, lineage: dict[str, Any]
) -> None:
    """Write a folder that transformers loads: config, safetensors, tokenizer, lineage. Whole or not at all.

    Args:
        folder: to write; one that is there is replaced.
        config: the model's geometry.
        tensors: as `to_hugging_face` gives them, all of one type.
        tokenizer: a `tokenizers.Tokenizer`.
        lineage: where the weights came from; the hashes of the other files are added to it.

    Raises:
        EdgePhiError: the folder cannot be written to.
    """
    from safetensors.torch import save_file

    dtype = str(next(iter(tensors.values())).dtype).removeprefix("torch.")
    with atomic_folder(folder) as partial:
        _write_json(partial / CONFIG_FILE, {**config.to_json(), "torch_dtype": dtype})
        save_file(tensors, partial / WEIGHTS_FILE, metadata={"format": "pt"})
        tokenizer.save(str(partial / TOKENIZER_FILE))
        _write_json(
            partial / "tokenizer_config.json",
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "bos_token": END_OF_TEXT,
                "eos_token": END_OF_TEXT,
                "unk_token": END_OF_TEXT,
                "clean_up_tokenization_spaces": False,
                "model_max_length": config.max_position_embeddings,
            },
        )
        end = config.eos_token_id
        _write_json(partial / "generation_config.json", {"bos_token_id": end, "eos_token_id": end})
        write_checkpoint_lineage(partial, lineage)


def load_checkpoint(folder: Path) -> Phi:
    """A float32 model from a `PhiForCausalLM` folder.

    Raises:
        InvalidCall, InvalidFile: as `edge_phi.checkpoint.open_checkpoint`.
    """
    config, weights = read_weights(folder)
    model = Phi(config)
    set_weights(model, weights)
    return model


def to_hugging_face(model: Phi, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Whole weights on the CPU under Hugging Face's names, q, k and v apart; every process must call it.

    Where the model computes with rounded weights, it is those.
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        module_name, _, kind = name.rpartition(".")
        if kind == "scales":  # of the grid that weights are rounded to
            continue
        module = model.get_submodule(module_name)
        rounding = getattr(module, "rounding", None) if kind == "weight" else None
        gathered = whole(tensor)
        gathered = (rounding(gathered, module.scales) if rounding else gathered).to("cpu", dtype)
        names = _hugging_face_names(name)
        tensors.update(
            (part, piece.contiguous()) for part, piece in zip(names, gathered.chunk(len(names)), strict=True)
        )
    return tensors


def read_weights(folder: Path) -> tuple[PhiConfig, dict[str, Tensor]]:
    """A `PhiForCausalLM` folder's geometry, and its weights in float32 under our names.

    Raises:
        InvalidCall, InvalidFile: as `edge_phi.checkpoint.open_checkpoint`.
    """
    checkpoint = open_checkpoint(folder)
    with torch.device("meta"):
        names = Phi(checkpoint.config).state_dict()
    weights = {}
    for name in names:
        parts = [torch.from_numpy(checkpoint.tensor(part)) for part in _hugging_face_names(name)]
        weights[name] = parts[0] if len(parts) == 1 else torch.cat(parts)
    return checkpoint.config, weights


@torch.no_grad()
def set_weights(model: Phi, weights: dict[str, Tensor]) -> None:
    """Copy whole weights into a model, each process its part; with them the scales of its grid, if it has such."""
    for name, weight in model.state_dict().items():
        value = weights[name].to(weight.device, weight.dtype)
        if isinstance(weight, DTensor):  # every process has the whole and keeps its part: nothing is sent
            value = distribute_tensor(value, weight.device_mesh, weight.placements, src_data_rank=None)
        weight.copy_(value)


def _hugging_face_names(name: str) -> list[str]:
    if name.startswith("lm_head"):
        return [name]
    name = f"model.{name}"
    if ".qkv." in name:
        return [name.replace(".qkv.", f".self_attn.{part}_proj.") for part in "qkv"]
    return [name.replace(".dense.", ".self_attn.dense.").replace(".fc", ".mlp.fc")]


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
