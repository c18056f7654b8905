"""`edge-phi train RECIPE --dry-run`: what a run would take, from arithmetic alone; needs no PyTorch and no GPU."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from edge_phi.errors import InvalidCall

from .flops import Estimate, estimate, matmul_parameters, what_would_fit, would_fit
from .hardware import GPUS, GPUS_PER_MACHINE, PRICES_OF, find_gpu
from .recipe import Recipe

# Model FLOPs utilization, of the nominal dense bfloat16 peak, where --mfu gives none: an assumption. phi-1's own run
# had 54 % on A100 (770 GPU-hours for 51 B tokens, arXiv 2306.11644, figure 2.1).
ASSUMED_MFU = 0.50


@dataclass(frozen=True)
class DryRun:
    """What a run would take, and on what assumptions."""

    recipe: str
    gpu: str
    gpus: int
    gpu_memory_bytes: int
    nominal_flops_per_s: float  # of one GPU, dense bfloat16
    parameters: int
    matmul_parameters: int
    flops_per_token: float
    length: int
    batch: int
    steps: int
    tokens: int
    tokens_of_arrays: dict[str, float]  # array -> how many of the tokens are drawn from it
    memory: Estimate  # of one GPU
    peak_bytes: int  # tensors of one GPU
    needed_bytes: int  # and what is needed beside them
    fits: bool
    advice: str  # what would fit, if it does not
    mfu: float
    mfu_assumed: bool
    hours: float
    gpu_hours: float
    dollars_per_gpu_hour: float
    price_assumed: bool
    dollars: float


def plan_run(
    recipe: Recipe, *, gpus: int = 1, gpu: str = "H100", price: float | None = None, mfu: float | None = None
) -> DryRun:
    """Work out what a recipe would take.

    Args:
        recipe: what to train.
        gpus: how many; above 8 they are machines of 8.
        gpu: which kind, see `hardware.GPUS`.
        price: dollars per GPU and hour; a typical one is assumed if not given.
        mfu: share of the nominal peak that is reached, 0 to 1; `ASSUMED_MFU` if not given.

    Raises:
        InvalidCall: an unknown GPU, a number out of range, or a batch that the GPUs cannot share equally.
    """
    kind = find_gpu(gpu)
    if kind is None:
        raise InvalidCall(f"--gpu={gpu} is not known: known are {', '.join(known.name for known in GPUS)}")
    if gpus < 1 or recipe.batch % gpus:
        raise InvalidCall(f"--gpus={gpus}: the batch of {recipe.batch} sequences must divide by it")
    share = recipe.batch // gpus
    if recipe.micro_batch and share > recipe.micro_batch and share % recipe.micro_batch:
        raise InvalidCall(f"micro_batch {recipe.micro_batch} does not divide a GPU's {share} sequences: give a divisor")
    if gpus > GPUS_PER_MACHINE and gpus % GPUS_PER_MACHINE:
        raise InvalidCall(f"--gpus={gpus}: more than {GPUS_PER_MACHINE} must be whole machines of {GPUS_PER_MACHINE}")
    if price is not None and not 0 <= price < float("inf"):
        raise InvalidCall(f"--price={price}: it must be 0 or more")
    if mfu is not None and not 0 < mfu <= 1:
        raise InvalidCall(f"--mfu={mfu}: it is a share of the peak, more than 0 and at most 1")
    config = recipe.config(vocab_size=recipe.model.get("vocab_size", recipe.vocabulary), eos_token_id=0)
    shards = min(gpus, GPUS_PER_MACHINE)
    memory = estimate(recipe, config, processes=gpus, device="cuda", shards=shards)
    fits = would_fit(memory, kind.memory_bytes)
    tokens = recipe.last_step * recipe.batch * recipe.length
    reached = mfu or ASSUMED_MFU
    gpu_hours = tokens * memory.flops_per_token / (kind.flops_per_s * reached) / 3600
    rate = kind.dollars_per_hour if price is None else price
    return DryRun(
        recipe=recipe.name,
        gpu=kind.name,
        gpus=gpus,
        gpu_memory_bytes=kind.memory_bytes,
        nominal_flops_per_s=kind.flops_per_s,
        parameters=config.parameters,
        matmul_parameters=matmul_parameters(config),
        flops_per_token=memory.flops_per_token,
        length=recipe.length,
        batch=recipe.batch,
        steps=recipe.last_step,
        tokens=tokens,
        tokens_of_arrays=_tokens_of_arrays(recipe),
        memory=memory,
        peak_bytes=memory.peak_bytes,
        needed_bytes=memory.needed_bytes,
        fits=fits,
        advice="" if fits else what_would_fit(
            recipe, config, processes=gpus, available_bytes=kind.memory_bytes, device="cuda", shards=shards
        ),
        mfu=reached,
        mfu_assumed=mfu is None,
        hours=gpu_hours / gpus,
        gpu_hours=gpu_hours,
        dollars_per_gpu_hour=rate,
        price_assumed=price is None,
        dollars=gpu_hours * rate,
    )  # fmt: skip


def print_dry_run(
    recipe: Recipe,
    *,
    gpus: int = 1,
    gpu: str = "H100",
    price: float | None = None,
    mfu: float | None = None,
    as_json: bool = False,
) -> None:
    """Print what `plan_run` says, as a table or as JSON, on stdout."""
    planned = plan_run(recipe, gpus=gpus, gpu=gpu, price=price, mfu=mfu)
    if as_json:
        print(json.dumps(dataclasses.asdict(planned), indent=2))
        return
    rows = [row for row in _rows(planned) if row]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    print(f"{planned.recipe} on {gpus} x {planned.gpu}")
    for row in _rows(planned):
        print(f"  {row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]}".rstrip() if row else "")


_Row = tuple[str, str, str]


def _rows(planned: DryRun) -> list[_Row | None]:
    """Lines of the table: what, how much, how it comes about; None is an empty line."""
    memory = planned.memory
    sources = ", ".join(f"{_tokens(count)} {name}" for name, count in planned.tokens_of_arrays.items())
    summed = "float32, summed over micro-batches" if memory.accumulated > 1 else "float32, come while activations go"
    peak = f"of {planned.nominal_flops_per_s / 1e12:,.0f} TFLOP/s, dense bfloat16"
    price = f"at ${planned.dollars_per_gpu_hour:.2f} per GPU and hour"
    return [
        ("parameters", f"{planned.parameters / 1e6:,.1f} M", f"{planned.matmul_parameters / 1e6:,.1f} M in products"),
        ("FLOPs per token", f"{planned.flops_per_token:.3e}", f"6 N + 12 L h T at length {planned.length}"),
        ("tokens", _tokens(planned.tokens), f"{planned.steps:,} steps of {planned.batch} x {planned.length}"),
        ("", "", sources),
        ("a step", f"{memory.accumulated} x {memory.micro_batch}", "micro-batches x sequences on each GPU"),
        None,
        ("memory of a GPU", "GB", ""),
        ("  weights", _gb(memory.weights_bytes), "float32" + _shared(memory)),
        ("  optimizer", _gb(memory.optimizer_bytes), "float32" + _shared(memory)),
        ("  gradients", _gb(memory.gradients_bytes), summed),
        ("  bfloat16 weights", _gb(memory.compute_weights_bytes), ""),
        ("  activations", _gb(memory.activations_bytes), f"of {memory.micro_batch} sequences"),
        *([("  teacher", _gb(memory.teacher_bytes), "bfloat16")] if memory.teacher_bytes else []),
        *([("  rounding", _gb(memory.rounding_bytes), "of the largest matrix")] if memory.rounding_bytes else []),
        ("  loss", _gb(memory.loss_bytes), "a chunk of logits, the head's gradient"),
        ("  communication", _gb(max(memory.gather_bytes, memory.reduce_bytes)), ""),
        ("  most at once", _gb(planned.peak_bytes), ""),
        ("  needed", _gb(planned.needed_bytes), "with fragmentation and the runtime, by assumption"),
        ("  there", _gb(planned.gpu_memory_bytes), "fits" if planned.fits else f"does not fit: {planned.advice}"),
        None,
        ("MFU", f"{100 * planned.mfu:.3g} %", peak + (", assumed, --mfu gives yours" if planned.mfu_assumed else "")),
        ("time", _duration(planned.hours), "of training steps; starting, validating and saving come on top"),
        ("GPU-hours", f"{planned.gpu_hours:,.1f}", ""),
        ("cost", f"${planned.dollars:,.0f}",
         price + (f", assumed ({PRICES_OF}), --price gives yours" if planned.price_assumed else "")),
    ]  # fmt: skip


def _tokens_of_arrays(recipe: Recipe) -> dict[str, float]:
    """Expected tokens of the run from each array, if all of them are there."""
    tokens: dict[str, float] = {}
    first = 0.0
    for stage in recipe.stages:
        last = first + stage.share * recipe.steps
        steps = max(0.0, min(last, recipe.last_step) - first)
        for name, weight in stage.mixture.items():
            drawn = steps * recipe.batch * recipe.length * weight / sum(stage.mixture.values())
            tokens[name] = tokens.get(name, 0.0) + drawn
        first = last
    return tokens


def _tokens(count: float) -> str:
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6)):
        if count >= size:
            return f"{count / size:,.2f} {unit}"
    return f"{count:,.0f}"


def _gb(count: int) -> str:
    return f"{count / 1e9:,.2f}"


def _shared(memory: Estimate) -> str:
    return f", shared by {memory.shards}" if memory.shards > 1 else ""


def _duration(hours: float) -> str:
    return f"{hours / 24:,.1f} days" if hours >= 48 else f"{hours:,.1f} h" if hours >= 1 else f"{hours * 60:,.2f} min"
