"""A run's weights and optimizer state on disk, so that a stopped run goes on where it was. Never pickle."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from edge_phi.atomic import atomic_folder
from edge_phi.errors import InvalidCall, InvalidFile

from .model import Phi


def save_state(folder: Path, model: Phi, optimizers: list[torch.optim.Optimizer], step: int, fingerprint: str) -> None:
    """Replace the state in `folder`, whole or not at all.

    Raises:
        EdgePhiError: the folder cannot be written to.
    """
    from safetensors.torch import save_file

    tensors = {f"model.{name}": weight.contiguous() for name, weight in model.state_dict().items()}
    for index, optimizer in enumerate(optimizers):
        for position, weight in enumerate(_weights(optimizer)):
            for key, value in optimizer.state[weight].items():
                tensors[f"optimizer.{index}.{position}.{key}"] = value.contiguous()
    with atomic_folder(folder) as partial:
        save_file(tensors, partial / "state.safetensors")
        (partial / "state.json").write_text(json.dumps({"step": step, "fingerprint": fingerprint}), encoding="utf-8")


def load_state(folder: Path, model: Phi, optimizers: list[torch.optim.Optimizer], fingerprint: str) -> int:
    """Restore what `save_state` wrote and return the step to go on with; 0 if there is none.

    Raises:
        InvalidCall: the state is that of a run on other data.
        InvalidFile: the state is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not (folder / "state.json").is_file():
        return 0
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        if state["fingerprint"] != fingerprint:
            raise InvalidCall(
                f"{folder}: is of a run with another recipe or other data: give another --out, or remove it"
            )
        tensors = load_file(folder / "state.safetensors")
        model.load_state_dict({name: tensors[f"model.{name}"] for name in model.state_dict()})
        for index, optimizer in enumerate(optimizers):
            weights = _weights(optimizer)
            for name, tensor in tensors.items():
                if name.startswith(f"optimizer.{index}."):
                    _, _, position, key = name.split(".", 3)
                    optimizer.state[weights[int(position)]][key] = tensor
        return int(state["step"])
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise InvalidFile(f"{folder}: damaged state ({error}): remove it to begin anew") from error


def _weights(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [weight for group in optimizer.param_groups for weight in group["params"]]
