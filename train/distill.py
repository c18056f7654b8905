"""Distillation: a model learns another one's predictions (Hinton et al. 2015, arXiv 1503.02531), at temperature 1.

The teacher says of every position how likely each token is, the text only which one came. Where both models should be
the same, as a quantized one and the one it was, that is the very measure of what is left to learn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .loss import mean_and_gradients

if TYPE_CHECKING:
    from .distributed import Place
    from .model import Phi


class Lesson(NamedTuple):
    """What a teacher says of some tokens; its logits are hidden weight^T + bias."""

    hidden: Tensor  # [tokens, width]
    weight: Tensor  # [vocabulary, width]
    bias: Tensor  # [vocabulary]
    share: float  # of the loss that is the KL divergence


class Teacher:
    """A model that is asked and not trained, whole in every process, in the type that the other computes in."""

    def __init__(self, model: Phi, share: float, place: Place) -> None:
        """`share` of the loss that is the KL divergence from its predictions; takes the model over."""
        self._model = model.eval().requires_grad_(False)
        self._model.compute_dtype = torch.bfloat16 if place.device.type == "cuda" else torch.float32
        for weight in model.parameters():
            weight.data = weight.data.to(model.compute_dtype)  # the rotary angles stay float32
        self._model.to(place.device)
        self._share = share

    @torch.no_grad()
    def lesson(self, tokens: Tensor) -> Lesson:
        """What it says of int64 [batch, length]."""
        head = self._model.lm_head
        return Lesson(self._model.hidden(tokens).flatten(0, 1), head.weight, head.bias, self._share)


def distillation_loss(hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, lesson: Lesson) -> Tensor:
    """Mean over positions of share * KL(teacher || model) + (1 - share) * cross-entropy, in nats: a float32 scalar.

    As `loss.linear_cross_entropy`: products in hidden's type, softmax and sums in float32, chunk by chunk, gradients in
    the forward pass. Differentiable once, by `hidden`, `weight` and `bias`.

    Args:
        hidden: [tokens, width].
        weight: [vocabulary, width], any type.
        bias: [vocabulary].
        targets: int64 [tokens].
        lesson: of the same tokens and vocabulary.
    """
    return _Loss.apply(hidden, weight, bias, targets, *lesson, torch.is_grad_enabled())  # type: ignore[no-any-return, no-untyped-call]


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor,
        taught_hidden: Tensor, taught_weight: Tensor, taught_bias: Tensor, share: float, learns: bool,
    ) -> Tensor:  # fmt: skip
        def of_chunk(logits: Tensor, rows: slice) -> tuple[Tensor, Tensor | None]:
            target = targets[rows, None]
            ours = logits.log_softmax(1, dtype=torch.float32)
            taught = torch.mm(taught_hidden[rows], taught_weight.T).add_(taught_bias)
            wanted = taught.log_softmax(1, dtype=torch.float32)
            loss = -(1 - share) * ours.gather(1, target).sum()
            probabilities = wanted.exp()
            loss += share * (probabilities * wanted.sub_(ours)).sum()
            if not learns:
                return loss, None
            # d loss / d logits = softmax - share * teacher's - (1 - share) * one-hot
            grad = ours.exp_().sub_(probabilities, alpha=share)
            if share < 1:
                grad.scatter_add_(1, target, grad.new_full(target.shape, share - 1))
            return loss, grad.to(logits.dtype)

        loss, gradients = mean_and_gradients(hidden, weight, bias, of_chunk)
        ctx.save_for_backward(*gradients)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor | None, ...]:
        scale = grad_loss / len(ctx.saved_tensors[0])
        return (*(grad * scale for grad in ctx.saved_tensors), *[None] * 6)
