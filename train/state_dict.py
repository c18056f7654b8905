"""Our weights as Hugging Face's `PhiForCausalLM` folder, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edge_phi.atomic import atomic_folder
from edge_phi.checkpoint import CONFIG_FILE, LINEAGE_FILE, TOKENIZER_FILE, WEIGHTS_FILE, open_checkpoint

from .data.pack import END_OF_TEXT
from .model import Phi


def save_checkpoint(folder: Path, model: Phi, tokenizer: Any, *, dtype: torch.dtype, lineage: dict[str, Any]) -> None:
    """Write a folder that transformers loads: config, safetensors in `dtype`, tokenizer, lineage. Whole or not at all.

    Raises:
        EdgePhiError: the folder cannot be written to.
    """
    from safetensors.torch import save_file

    tensors = {name: tensor.to(dtype).contiguous() for name, tensor in to_hugging_face(model).items()}
    with atomic_folder(folder) as partial:
        _write_json(
            partial / CONFIG_FILE,
            {**model.config.to_json(), "torch_dtype": str(dtype).removeprefix("torch.")},
        )
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
                "model_max_length": model.config.max_position_embeddings,
            },
        )
        end = model.config.eos_token_id
        _write_json(partial / "generation_config.json", {"bos_token_id": end, "eos_token_id": end})
        _write_json(partial / LINEAGE_FILE, lineage)


def load_checkpoint(folder: Path) -> Phi:
    """A float32 model from a `PhiForCausalLM` folder.

    Raises:
        InvalidCall, InvalidFile: as `edge_phi.checkpoint.open_checkpoint`.
    """
    checkpoint = open_checkpoint(folder)
    model = Phi(checkpoint.config)
    state: dict[str, Tensor] = {}
    for name in model.state_dict():
        parts = [torch.from_numpy(checkpoint.tensor(part)) for part in _hugging_face_names(name)]
        state[name] = parts[0] if len(parts) == 1 else torch.cat(parts)
    model.load_state_dict(state)
    return model


def to_hugging_face(model: Phi) -> dict[str, Tensor]:
    """Weights under Hugging Face's names; q, k and v apart."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        names = _hugging_face_names(name)
        tensors.update(zip(names, tensor.chunk(len(names)), strict=True))
    return tensors


def _hugging_face_names(name: str) -> list[str]:
    if name.startswith("lm_head"):
        return [name]
    name = f"model.{name}"
    if ".qkv." in name:
        return [name.replace(".qkv.", f".self_attn.{part}_proj.") for part in "qkv"]
    return [name.replace(".dense.", ".self_attn.dense.").replace(".fc", ".mlp.fc")]


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
