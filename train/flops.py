"""What a training step computes and holds in memory, and what a device can: before anything is allocated.

Memory is counted tensor by tensor as train/model.py, loss.py, optim.py and distributed.py make them: what autograd
saves for the backward pass follows from each operation of a layer. A test counts the saved tensors of real models.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_phi.checkpoint import PhiConfig
from edge_phi.errors import EdgePhiError

from .hardware import GPUS_PER_MACHINE, available_memory, find_gpu
from .recipe import Recipe

if TYPE_CHECKING:
    import torch

# Tokens whose logits train/loss.py computes at once.
LOSS_ROWS = {"cuda": 8192, "cpu": 512}

# Memory beside the tensors. On CUDA: the context with its kernels (0.6 GB) and what the caching allocator loses to
# fragmentation, a twentieth by assumption. On a CPU: Python with PyTorch's libraries, and freed memory not given back.
_RUNTIME_BYTES = {"cuda": 600_000_000, "cpu": 500_000_000}
_FRAGMENTATION = 0.05

# Float32 copies of a matrix that quantize_aware.round_to_grid holds at once; the embedding is the largest of all.
_ROUNDING_COPIES = 4


@dataclass(frozen=True)
class Estimate:
    """Memory of one process, by what holds it, and what the process does with it."""

    device: str
    processes: int
    shards: int  # processes that share one copy of weights, gradients and optimizer state
    micro_batch: int  # sequences that go through the model at once
    accumulated: int  # micro-batches in a step
    flops_per_token: float
    weights_bytes: int  # float32 masters
    optimizer_bytes: int  # float32 moments
    gradients_bytes: int
    compute_weights_bytes: int  # copies in the type that products are computed in
    activations_bytes: int  # saved for the backward pass
    teacher_bytes: int  # weights of the model whose predictions are learnt, and a chunk of its logits
    rounding_bytes: int  # weights rounded for the products, and what rounding the largest matrix takes
    loss_bytes: int  # logits and the gradients that the loss makes of them
    backward_bytes: int  # what a layer's backward pass needs for itself
    gather_bytes: int  # buffer in which a layer's weights arrive from the other processes
    reduce_bytes: int  # buffer in which the largest group of gradients goes to them, at the end of the backward pass
    runtime_bytes: int  # beside the tensors: see above

    @property
    def peak_bytes(self) -> int:
        """The most that tensors hold at once: what `torch.cuda.max_memory_allocated` reports."""
        kept = self.weights_bytes + self.optimizer_bytes + self.teacher_bytes + self.rounding_bytes
        forward = self.compute_weights_bytes + self.activations_bytes + self.loss_bytes + self.gather_bytes
        backward = self.gradients_bytes + self.backward_bytes + self.reduce_bytes
        # Gradients come while activations go. Only where they are accumulated are they there before.
        if self.accumulated > 1:
            forward += self.gradients_bytes
        return kept + max(forward, backward)

    @property
    def needed_bytes(self) -> int:
        """What must be free: tensors, fragmentation, and the runtime beside them."""
        return round(self.peak_bytes * (1 + _FRAGMENTATION)) + self.runtime_bytes


def parameters(config: PhiConfig) -> int:
    """Number of weights."""
    return config.parameters


def matmul_parameters(config: PhiConfig) -> int:
    """Weights that every token is multiplied by: the matrices of the layers and the head, without the embedding."""
    return _layer_matrices(config) + config.vocab_size * config.hidden_size


def flops_per_token(config: PhiConfig, length: int) -> float:
    """Floating-point operations of forward and backward pass for one token of a sequence of `length`.

    6 N + 12 L h T: N matmul parameters, L layers, h width, T length (Chowdhery et al. 2022, arXiv 2204.02311, appendix
    B). Attention counts in full, although half of it is masked: the convention of the figures that others publish.
    """
    return 6.0 * matmul_parameters(config) + 12.0 * config.num_hidden_layers * config.hidden_size * length


def nominal_flops(device_name: str) -> float | None:
    """FLOP/s in dense bfloat16 by the maker's data sheet; None for a GPU that is not known."""
    gpu = find_gpu(device_name)
    return gpu.flops_per_s if gpu else None


def measured_flops(device: torch.device) -> float:
    """FLOP/s of a large matrix product on this device: what MFU can reach, where the nominal figure is a promise.

    bfloat16 on CUDA, float32 on a CPU; the median of several products.
    """
    import torch

    cuda = device.type == "cuda"
    size = 8192 if cuda else 1024
    left, right = (
        torch.randn(size, size, device=device, dtype=torch.bfloat16 if cuda else torch.float32) for _ in "12"
    )
    seconds = []
    for _ in range(13 if cuda else 5):
        if cuda:
            torch.cuda.synchronize(device)
        began = time.perf_counter()
        left @ right
        if cuda:
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / statistics.median(seconds[len(seconds) // 4 :])  # the first ones wake the device


def estimate(recipe: Recipe, config: PhiConfig, *, processes: int, device: str, shards: int | None = None) -> Estimate:
    """What each process holds in memory while it trains.

    Args:
        recipe: its micro_batch, or its share of the batch if that is 0, goes through the model at once.
        config: the model's geometry.
        processes: that train together, one a GPU.
        device: cuda computes in bfloat16, cpu in float32.
        shards: processes that share one copy of the weights; all if not given, those of one machine with HSDP.
    """
    share = max(1, math.ceil(recipe.batch / processes))
    micro_batch = min(recipe.micro_batch or share, share)
    accumulated = math.ceil(share / micro_batch)
    tokens = micro_batch * recipe.length
    shards = shards or processes
    compute = 2 if device == "cuda" else 4
    count, matrices = config.parameters, _layer_matrices(config)
    head = config.vocab_size * config.hidden_size
    # Muon keeps one moment of each of the layers' matrices, AdamW two of everything.
    moments = 2 * count - matrices if recipe.optimizer == "muon" else 2 * count
    if shards > 1:
        # Gathered weights stay from forward to backward pass. Gradients are summed over processes with the last
        # micro-batch; until then each process keeps its own, whole.
        compute_weights = compute * count
        gradients = 4 * (count if accumulated > 1 else count // shards)
        gather = compute * matrices // config.num_hidden_layers
        reduce = 4 * max(matrices // config.num_hidden_layers, 2 * head)  # embedding and head are one group
    else:
        # Each projection's cast weights are saved for its backward pass; in float32 there is nothing to cast.
        compute_weights = 2 * matrices if compute == 2 else 0
        gradients = 4 * count
        gather = reduce = 0
    return Estimate(
        device=device,
        processes=processes,
        shards=shards,
        micro_batch=micro_batch,
        accumulated=accumulated,
        # A teacher goes forward only: a third of what the model itself takes.
        flops_per_token=flops_per_token(config, recipe.length) * (4 / 3 if recipe.distill else 1),
        weights_bytes=4 * count // shards,
        optimizer_bytes=4 * moments // shards,
        gradients_bytes=gradients,
        compute_weights_bytes=compute_weights,
        activations_bytes=tokens * activation_bytes_per_token(
            config, length=recipe.length, device=device, compiled=recipe.compile, dropout=recipe.dropout
        ),
        teacher_bytes=compute * count + 8 * min(tokens, LOSS_ROWS[device]) * config.vocab_size if recipe.distill else 0,
        rounding_bytes=(4 * matrices if compute == 4 else 0) + _ROUNDING_COPIES * 4 * head if recipe.quantize else 0,
        loss_bytes=_loss_bytes(
            config, tokens, device, compiled=recipe.compile, cast=compute == 2 and shards == 1
        ),
        backward_bytes=tokens * (compute * (2 * config.intermediate_size + 6 * config.hidden_size)),
        gather_bytes=gather,
        reduce_bytes=reduce,
        runtime_bytes=_RUNTIME_BYTES[device],
    )  # fmt: skip


def activation_bytes_per_token(
    config: PhiConfig, *, length: int, device: str, compiled: bool, dropout: float = 0.0
) -> int:
    """Bytes that autograd saves for the backward pass for each token of a micro-batch, loss included.

    With h the width, i the MLP's, c the bytes of the compute type, a layer saves: LayerNorm's input (in float32, unless
    compiled: then as it came), mean and deviation; its output, c h, for both projections that read it; their output
    q, k, v, 3 c h, of which v is a view; rotated q and k, 2 c h; attention's output, c h, and its float32 log-sum-exp
    for each head; the MLP's inner state before and after gelu, 2 c i.
    """
    width, inner, heads = config.hidden_size, config.intermediate_size, config.num_attention_heads
    compute = 2 if device == "cuda" else 4
    norm = (compute if compiled else 4) * width + 8
    layer = norm + 7 * compute * width + 4 * heads + 2 * compute * inner
    outside = norm + compute * width + 16  # the last norm, the gradient that the loss returns, tokens and targets
    if dropout:
        mask = 1 if device == "cuda" else compute  # for each element: bool, or the scale that is multiplied with
        layer += 2 * mask * width
        outside += mask * width
        if device == "cpu":  # attention is not fused there: probabilities, their mask and their product; v is copied
            layer += 3 * compute * heads * length - 2 * compute * width
    return config.num_hidden_layers * layer + outside


def available_bytes(device: str) -> int | None:
    """Memory this process may still take on "cpu" or its current "cuda" device; None if the system does not say."""
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    return available_memory()


def would_fit(needed: Estimate, available_bytes: int) -> bool:
    """Whether so much free memory is enough for each process."""
    return needed.needed_bytes <= available_bytes


def largest_micro_batch(
    recipe: Recipe,
    config: PhiConfig,
    *,
    processes: int,
    available_bytes: int,
    device: str,
    shards: int | None = None,
) -> int | None:
    """The largest micro-batch that fits and divides a process's share of the batch; None if one sequence does not."""
    share = max(1, math.ceil(recipe.batch / processes))
    for micro_batch in sorted((size for size in range(1, share + 1) if share % size == 0), reverse=True):
        trial = dataclasses.replace(recipe, micro_batch=micro_batch)
        if would_fit(estimate(trial, config, processes=processes, device=device, shards=shards), available_bytes):
            return micro_batch
    return None


def fewest_processes(recipe: Recipe, config: PhiConfig, *, available_bytes: int, device: str) -> int | None:
    """How many processes of one machine it takes at least, up to 8, for some micro-batch to fit; None if more."""
    for processes in range(1, GPUS_PER_MACHINE + 1):
        if recipe.batch % processes == 0 and largest_micro_batch(
            recipe, config, processes=processes, available_bytes=available_bytes, device=device
        ):
            return processes
    return None


def check_memory(
    recipe: Recipe,
    config: PhiConfig,
    *,
    processes: int,
    available_bytes: int | None,
    device: str,
    shards: int | None = None,
) -> None:
    """Say, before anything is allocated, that a recipe cannot fit, and what would.

    Args:
        recipe: what is asked for.
        config: the model's geometry.
        processes: that train together.
        available_bytes: free memory for each process; None, nothing is known, fits everything.
        device: where its tensors will be.
        shards: see `estimate`.

    Raises:
        EdgePhiError: it does not fit.
    """
    needed = estimate(recipe, config, processes=processes, device=device, shards=shards)
    if available_bytes is None or would_fit(needed, available_bytes):
        return
    advice = what_would_fit(
        recipe, config, processes=processes, available_bytes=available_bytes, device=device, shards=shards
    )
    on = "one process" if processes == 1 else f"each of {processes} processes"
    raise EdgePhiError(
        f"recipe {recipe.name} needs {needed.needed_bytes / 1e9:.1f} GB on {on}, where {available_bytes / 1e9:.1f} GB "
        f"are free: {advice}"
    )


def what_would_fit(
    recipe: Recipe,
    config: PhiConfig,
    *,
    processes: int,
    available_bytes: int,
    device: str,
    shards: int | None = None,
) -> str:
    """What to change so that a recipe fits, in words."""
    micro_batch = largest_micro_batch(
        recipe, config, processes=processes, available_bytes=available_bytes, device=device, shards=shards
    )
    if micro_batch:
        return f"--micro-batch={micro_batch} would fit"
    more = None
    if device == "cuda":
        more = fewest_processes(recipe, config, available_bytes=available_bytes, device=device)
    if more:
        trial = largest_micro_batch(recipe, config, processes=more, available_bytes=available_bytes, device=device)
        return f"{more} GPUs of this size with --micro-batch={trial} would fit"
    shortest = dataclasses.replace(recipe, micro_batch=1, length=1)
    if would_fit(estimate(shortest, config, processes=processes, device=device, shards=shards), available_bytes):
        return "not even --micro-batch=1 would fit: give a smaller --length"
    return "the model itself is too large: take a device with more memory"


def _layer_matrices(config: PhiConfig) -> int:
    width = config.hidden_size
    return config.num_hidden_layers * (4 * width * width + 2 * width * config.intermediate_size)


def _loss_bytes(config: PhiConfig, tokens: int, device: str, *, compiled: bool, cast: bool) -> int:
    """A chunk's logits, log-probabilities and their gradient; the head's gradient, and its weights if they are cast.

    In bytes for each logit, which takes 4 in float32 and 2 in bfloat16. Eager PyTorch casts logits before log-softmax,
    the compiler does not.
    """
    compute = 2 if device == "cuda" else 4
    head = config.vocab_size * config.hidden_size
    rows = min(tokens, LOSS_ROWS[device])
    copies = 10 if device == "cuda" and not compiled else 8
    return copies * rows * config.vocab_size + (4 + compute) * head + (compute * head if cast else 0)
