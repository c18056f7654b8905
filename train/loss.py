"""Cross-entropy of a linear head without its logits: chunk by chunk, gradients in the forward pass.

A batch's logits are the largest tensor of a training step (4,096 tokens of a vocabulary of 51,200: 839 MB in float32),
and log-softmax, its gradient and the cast to float32 each make another. Here a chunk's logits become its loss and its
gradients at once, and are forgotten: less memory, and on a CPU less time, for a chunk stays in the cache (Hsu et al.
2024, arXiv 2410.10989, section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# Rows of a chunk: on a CPU what is still near in the cache, on a GPU enough to fill it.
_CPU_ROWS = 512
_GPU_ROWS = 8192


def linear_cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Mean of -log softmax(hidden weight^T + bias)[target] in nats: a float32 scalar.

    Products are computed in hidden's type, softmax and sums in float32. Differentiable once.

    Args:
        hidden: [tokens, width].
        weight: [vocabulary, width], any type.
        bias: [vocabulary].
        targets: int64 [tokens].
    """
    if torch.is_grad_enabled():
        return _Loss.apply(hidden, weight, bias, targets)  # type: ignore[no-any-return, no-untyped-call]
    weight, bias = weight.to(hidden.dtype), bias.to(hidden.dtype)
    total = hidden.new_zeros((), dtype=torch.float32)
    for rows in _chunks(hidden):
        logits = torch.addmm(bias, hidden[rows], weight.T).float()
        total += F.cross_entropy(logits, targets[rows], reduction="sum")
    return total / len(hidden)


def mean_and_gradients(
    hidden: Tensor, weight: Tensor, bias: Tensor, of_chunk: Callable[[Tensor, slice], tuple[Tensor, Tensor | None]]
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """A head's mean loss over all tokens, float32, and the gradients of the sum by `hidden`, `weight`, `bias`.

    Args:
        hidden: [tokens, width].
        weight: [vocabulary, width], any type.
        bias: [vocabulary].
        of_chunk: is given some rows' logits, in hidden's type, and which rows they are; returns the sum of their
            losses, float32, and its gradient by the logits, in hidden's type, or None where none is wanted.
    """
    compute_weight, compute_bias = weight.to(hidden.dtype), bias.to(hidden.dtype)
    grad_hidden = torch.empty_like(hidden)
    grad_weight = torch.zeros_like(weight, dtype=torch.float32)
    grad_bias = torch.zeros_like(bias, dtype=torch.float32)
    total = hidden.new_zeros((), dtype=torch.float32)
    for rows in _chunks(hidden):
        chunk = hidden[rows]
        loss, grad = of_chunk(torch.mm(chunk, compute_weight.T).add_(compute_bias), rows)
        total += loss
        if grad is not None:
            grad_bias += grad.sum(0, dtype=torch.float32)
            grad_hidden[rows] = grad @ compute_weight
            grad_weight += grad.T @ chunk
        del grad  # before the next chunk's
    return total / len(hidden), (grad_hidden, grad_weight.to(weight.dtype), grad_bias.to(bias.dtype))


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
        def of_chunk(logits: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
            target = targets[rows, None]
            log_probabilities = logits.log_softmax(1, dtype=torch.float32)
            at_target = log_probabilities.gather(1, target)
            # d loss / d logits = softmax - one-hot, the difference in float32
            grad = log_probabilities.exp_().to(logits.dtype)
            grad.scatter_(1, target, at_target.expm1().to(logits.dtype))
            return -at_target.sum(), grad

        loss, gradients = mean_and_gradients(hidden, weight, bias, of_chunk)
        ctx.save_for_backward(*gradients)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor | None, ...]:
        scale = grad_loss / len(ctx.saved_tensors[0])
        return (*(grad * scale for grad in ctx.saved_tensors), None)


def _chunks(hidden: Tensor) -> list[slice]:
    """Slices of rows to make logits of at once."""
    rows = _CPU_ROWS if hidden.device.type == "cpu" else _GPU_ROWS
    return [slice(start, min(start + rows, len(hidden))) for start in range(0, len(hidden), rows)]
