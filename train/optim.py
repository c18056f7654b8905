"""AdamW for everything, or Muon for the matrices inside the layers and AdamW for the rest.

phi-1 was trained with AdamW. Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) replaces a matrix's momentum
by the nearest orthogonal matrix, which learns more from each token when tokens are what a machine has least of. Scaled
as Moonlight does (arXiv 2502.16982, section 2.2), its updates have AdamW's usual size, so both share one rate.
"""

from __future__ import annotations

from collections.abc import Iterable

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
    others: list[Tensor] = []
    for parameter_name, weight in model.named_parameters():
        inside = weight.dim() == 2 and parameter_name.startswith("layers.")
        (matrices if inside else others).append(weight)
    adamw = [{"params": others, "weight_decay": 0.0}]
    if name == "muon":
        return [
            Muon(matrices, weight_decay=weight_decay),
            torch.optim.AdamW(adamw, lr=0.0, betas=betas, eps=eps, fused=True),
        ]
    adamw.append({"params": matrices, "weight_decay": weight_decay})
    return [torch.optim.AdamW(adamw, lr=0.0, betas=betas, eps=eps, fused=True)]


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalized; for matrices only.

    PyTorch's own `torch.optim.Muon` iterates in bfloat16, which is four times slower than float32 on CPUs without
    bfloat16 instructions.
    """

    def __init__(self, matrices: Iterable[Tensor], *, weight_decay: float, momentum: float = 0.95) -> None:
        super().__init__(matrices, {"lr": 0.0, "weight_decay": weight_decay, "momentum": momentum})

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
                update = _orthogonal_part(nesterov, weight) * (0.2 * max(weight.shape) ** 0.5)
                here.mul_(1 - rate * group["weight_decay"]).sub_(update * rate)


def _orthogonal_part(nesterov: Tensor, weight: Tensor) -> Tensor:
    """`orthogonalize`, of the whole matrix where each process has a part of it: each gathers and computes all of it."""
    if not isinstance(weight, DTensor):
        return orthogonalize(nesterov)
    mesh, placements = weight.device_mesh, weight.placements
    full = DTensor.from_local(nesterov, mesh, placements, shape=weight.shape, stride=weight.stride()).full_tensor()
    return distribute_tensor(orthogonalize(full), mesh, placements, src_data_rank=None).to_local()


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def orthogonalize(matrix: Tensor) -> Tensor:
    """Roughly U V^T of the matrix's singular value decomposition: float32, same shape."""
    wide: Tensor = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    wide = wide / (wide.norm() + 1e-7)  # the iteration needs singular values of at most 1
    a, b, c = _NEWTON_SCHULZ
    for _ in range(_NEWTON_SCHULZ_STEPS):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return wide.T if matrix.shape[0] > matrix.shape[1] else wide
