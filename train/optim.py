"""AdamW for everything, or Muon for the matrices inside the layers and AdamW for the rest.

phi-1 was trained with AdamW. Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) replaces a matrix's momentum
by the nearest orthogonal matrix, which learns more from each token when tokens are what a machine has least of. Scaled
as Moonlight does (arXiv 2502.16982, section 2.2), its updates have AdamW's usual size, so both share one rate.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

# Coefficients of the quintic Newton-Schulz iteration, as tuned in Muon's reference description.
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_NEWTON_SCHULZ_STEPS = 5


def build_optimizers(
    model: nn.Module, *, name: str, weight_decay: float, betas: tuple[float, float], eps: float = 1e-8
) -> list[torch.optim.Optimizer]:
    """Optimizers for all weights; the learning rate is set by the loop before each step.

    Args:
        model: a `Phi`.
        name: "adamw" or "muon".
        weight_decay: applied to matrices, not to biases, norms and embeddings.
        betas: AdamW's.
        eps: AdamW's.
    """
    matrices: list[Tensor] = []
    qkv: list[Tensor] = []
    others: list[Tensor] = []
    for parameter_name, weight in model.named_parameters():
        if weight.dim() != 2 or not parameter_name.startswith("layers."):
            others.append(weight)
        else:
            (qkv if parameter_name.endswith("qkv.weight") else matrices).append(weight)
    adamw = [{"params": others, "weight_decay": 0.0}]
    if name == "muon":
        return [
            Muon([{"params": matrices}, {"params": qkv, "parts": 3}], weight_decay=weight_decay),
            torch.optim.AdamW(adamw, lr=0.0, betas=betas, eps=eps, fused=True),
        ]
    adamw.append({"params": matrices + qkv, "weight_decay": weight_decay})
    return [torch.optim.AdamW(adamw, lr=0.0, betas=betas, eps=eps, fused=True)]


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalized; for matrices only.

    A group's `parts` says how many matrices one weight holds, one below the other: q, k and v are three, for a common
    orthogonal matrix would trade the directions of one for those of another.

    PyTorch's own `torch.optim.Muon` iterates in bfloat16, which is four times slower than float32 on CPUs without
    bfloat16 instructions.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, weight_decay: float, momentum: float = 0.95) -> None:
        super().__init__(groups, {"lr": 0.0, "weight_decay": weight_decay, "momentum": momentum, "parts": 1})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient; none, where `found_inf` is a float32 scalar of 1.

        `found_inf` is PyTorch's own name for it: its fused optimizers read the same attribute. It stays on the device.
        """
        found_inf: Tensor | None = getattr(self, "found_inf", None)
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                here, velocity, gradient = _local(weight), _local(state["momentum"]), _local(weight.grad)
                rate: float | Tensor = group["lr"]
                if found_inf is not None:
                    gradient = torch.where(found_inf > 0, velocity, gradient)  # moves the momentum nowhere
                    rate = rate * (1 - found_inf)
                velocity.lerp_(gradient, 1 - group["momentum"])
                nesterov = gradient.lerp(velocity, group["momentum"])
                rows, columns = weight.shape[0] // group["parts"], weight.shape[1]
                update = _orthogonal_part(nesterov, weight, group["parts"]) * (0.2 * max(rows, columns) ** 0.5)
                here.mul_(1 - rate * group["weight_decay"]).sub_(update * rate)


def _orthogonal_part(nesterov: Tensor, weight: Tensor, parts: int) -> Tensor:
    """`orthogonalize`, of the whole matrix where each process has some rows: each gathers and computes all of it."""
    if not isinstance(weight, DTensor):
        return _orthogonalize_each(nesterov, parts)
    mesh, placements = weight.device_mesh, weight.placements
    full = DTensor.from_local(nesterov, mesh, placements, shape=weight.shape, stride=weight.stride()).full_tensor()
    return distribute_tensor(_orthogonalize_each(full, parts), mesh, placements, src_data_rank=None).to_local()


def _orthogonalize_each(stacked: Tensor, parts: int) -> Tensor:
    return orthogonalize(stacked.view(parts, -1, stacked.shape[1])).reshape(stacked.shape)


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def orthogonalize(matrices: Tensor) -> Tensor:
    """Roughly U V^T of each matrix's singular value decomposition: float32 [..., rows, columns], same shape.

    Iterates in bfloat16 on GPUs, where its products are an order of magnitude faster, and exact enough for a direction.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    wide: Tensor = matrices.mT if tall else matrices
    wide = wide / (torch.linalg.matrix_norm(wide, keepdim=True) + 1e-7)  # singular values must be at most 1
    if wide.device.type == "cuda":
        wide = wide.bfloat16()
    a, b, c = _NEWTON_SCHULZ
    for _ in range(_NEWTON_SCHULZ_STEPS):
        gram = wide @ wide.mT
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return (wide.mT if tall else wide).to(matrices.dtype)
