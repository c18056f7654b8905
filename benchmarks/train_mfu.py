"""How much of a GPU does training keep busy, beside transformers' PhiForCausalLM, and what does each measure gain?

For each geometry, in one process and one after the other:
- `edge_phi.train.loop.train` itself: tokens/s, model FLOPs utilization (MFU) by 6 N + 12 L h T over the nominal and the
  measured peak, and the most memory that tensors held beside what `edge_phi.train.flops` had estimated;
- PhiForCausalLM under torch.compile with fused AdamW in a plain loop that never waits for the device, with float32
  masters under autocast as ours, and with everything in bfloat16;
- our model in steps: eager, then one measure more each time.
A step is forward, loss, backward, clipping and AdamW for the same number of sequences everywhere; a case that is out
of memory is tried again with half the micro-batch and accumulation. Results are written after every case, so that a run
that is stopped has lost nothing. Cases for which there is no time left are named as such.

    python benchmarks/train_mfu.py [--budget-s 570] [--out FOLDER]     on a GPU
    python benchmarks/train_mfu.py --smoke --out FOLDER                the same code with tiny shapes on the CPU
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import gc
import json
import platform
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from revision import REPOSITORY, commit
from torch import Tensor, nn

try:
    import edge_phi.train
except ModuleNotFoundError:  # a checkout that is not installed: its folder train/ is edge_phi.train
    sys.path.insert(0, str(REPOSITORY))
    import edge_phi

    edge_phi.__path__.append(str(REPOSITORY))

from edge_phi import atomic
from edge_phi.train.attention import attention_backend
from edge_phi.train.data.shards import END_OF_TEXT, Shards, TokenArray
from edge_phi.train.distributed import Place
from edge_phi.train.flops import estimate, flops_per_token, measured_flops, nominal_flops
from edge_phi.train.loop import StepMetrics, train
from edge_phi.train.model import Phi
from edge_phi.train.recipe import Recipe, Stage, load_recipe

_MOST_STEPS = 10_000


@dataclass(frozen=True)
class Size:
    """A geometry and how it is fed."""

    recipe: str
    batch: int  # sequences a step
    micro_batch: int
    length: int
    steps: int  # that count; those before warm up
    warm_up: int = 3
    tiny: bool = False  # for --smoke: the recipe with the widths of a toy

    def build_recipe(self) -> Recipe:
        """The published recipe's geometry and optimizer, with this batch and no end."""
        recipe = load_recipe(self.recipe)
        model = recipe.model
        if self.tiny:
            model = {**model, "vocab_size": 512, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
                     "num_attention_heads": 2, "max_position_embeddings": self.length}  # fmt: skip
        return dataclasses.replace(
            recipe,
            model=model,
            stages=(Stage("only", 1.0, peak_rate=1e-4, final_rate=1e-4, warmup=0.01, mixture={"random": 1.0}),),
            steps=_MOST_STEPS,
            stop=0,
            batch=self.batch,
            micro_batch=self.micro_batch,
            length=self.length,
            start_from="",
            grow_from="",
            keep_every=0,
            validate_every=_MOST_STEPS,
            save_every=_MOST_STEPS,
            compile=not self.tiny,  # a C++ compiler takes longer than all the rest of the smoke run
        )


SIZES = (
    Size("phi-1", batch=32, micro_batch=16, length=2048, steps=8),
    Size("phi-1-small", batch=64, micro_batch=32, length=2048, steps=8),
)
SMOKE = (Size("phi-1", batch=4, micro_batch=2, length=32, steps=2, warm_up=2, tiny=True),)


@dataclass(frozen=True)
class Measures:
    """What can be done to make a step of our model faster; the first has none of it."""

    name: str
    compiled: bool = False
    attention: bool = False  # the backend that attention_backend chooses, instead of FlashAttention-2
    fused: bool = False  # AdamW
    free: bool = False  # never waits for the device, collects no garbage
    micro_batch: float = 0.5  # of the size's

    def then(self, name: str, **more: Any) -> Measures:
        """One measure more."""
        return dataclasses.replace(self, name=name, **more)


def ladder() -> list[Measures]:
    """Each with one measure more than the one before."""
    steps = [Measures("eager")]
    for name, more in (
        ("torch.compile, layer by layer", {"compiled": True}),
        ("attention backend", {"attention": True}),
        ("fused AdamW", {"fused": True}),
        ("no host sync, no garbage collection", {"free": True}),
        ("twice the micro-batch", {"micro_batch": 1.0}),
        ("four times the micro-batch", {"micro_batch": 2.0}),
    ):
        steps.append(steps[-1].then(name, **more))
    return steps


class Run:
    """The document that grows case by case, and the time that is left."""

    def __init__(self, out: Path, device: torch.device, budget_s: float) -> None:
        self.out = out
        self.device = device
        self._end = time.monotonic() + budget_s
        self.document: dict[str, Any] = {}
        self.rows: list[dict[str, Any]] = []

    def case(self, size: Size, name: str, seconds: float, measure: Callable[[], dict[str, Any]]) -> None:
        """Measure, if there is time for what takes about `seconds`; record what came, whatever it was."""
        left = self._end - time.monotonic()
        row: dict[str, Any] = {"geometry": size.recipe, "case": name}
        began = time.monotonic()
        if left < seconds:
            row["skipped"] = f"{left:.0f} s left, it takes about {seconds:.0f}"
        else:
            try:
                row |= measure()
            except Exception as error:  # one case that fails must not cost the others
                row["failed"] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300]
        row["wall_s"] = round(time.monotonic() - began, 1)
        free_memory(self.device)
        self.rows.append(row)
        self.write()
        print(json.dumps(row), file=sys.stderr, flush=True)

    def write(self) -> None:
        """Replace both files with what there is so far."""
        document = {**self.document, "rows": self.rows}
        self.out.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(self.out / "train_mfu.json", f"{json.dumps(document, indent=2)}\n".encode())
        atomic.write_bytes(self.out / "train_mfu.md", markdown(document).encode())


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--smoke", action="store_true", help="tiny shapes on the CPU, to see that everything runs")
    arguments.add_argument("--budget-s", type=float, default=570, help="seconds for everything (default: %(default)s)")
    arguments.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/results", help="folder to write to")
    given = arguments.parse_args()
    if not given.smoke and not torch.cuda.is_available():
        sys.exit("train_mfu.py: there is no CUDA device: give --smoke to try it on the CPU")
    device = torch.device("cpu" if given.smoke else "cuda")
    run = Run(given.out, device, given.budget_s)
    run.document = describe(device)
    measure_all(run, SMOKE if given.smoke else SIZES)
    print(markdown({**run.document, "rows": run.rows}), end="")


def describe(device: torch.device) -> dict[str, Any]:
    """What was measured on; the peak is that of a large matrix product in the compute type."""
    import transformers

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "command": shlex.join(["python", "benchmarks/train_mfu.py", *sys.argv[1:]]),
        "commit": commit(),
        "device": name,
        "versions": {
            "python": platform.python_version(), "torch": torch.__version__, "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(), "transformers": transformers.__version__,
        },
        "nominal_flops": nominal_flops(name),
        "measured_flops": measured_flops(device),
    }  # fmt: skip


def measure_all(run: Run, sizes: tuple[Size, ...]) -> None:
    """Every case, the ones that count first."""
    for size in sizes:
        run.case(size, "edge-phi, its loop", 100, partial(our_loop, run, size))
        run.case(size, "transformers, float32 masters, autocast", 110, partial(theirs, run, size, torch.float32))
    for size in sizes:
        run.case(size, "transformers, all bfloat16", 110, partial(theirs, run, size, torch.bfloat16))
        model = build_model(size, run.device)
        for measures in ladder():
            run.case(size, measures.name, 30, partial(our_steps, run, size, model, measures))
        run.case(size, "profile", 30, partial(profile, run, size, model))
        del model
        free_memory(run.device)


def our_loop(run: Run, size: Size) -> dict[str, Any]:
    """The real loop, stopped by its own report after the steps that count."""
    recipe = size.build_recipe()
    seen: list[StepMetrics] = []

    def on_step(metrics: StepMetrics) -> None:
        seen.append(metrics)
        if len(seen) == size.warm_up:
            reset_peak(run.device)
        if len(seen) == size.warm_up + size.steps:
            raise _EnoughError

    named = attention_backend(run.device, head_dim=config_of(recipe).head_dim)
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(_EnoughError):
        train(recipe, random_tokens(recipe), Path(folder), on_step=on_step, place=Place(run.device))
    row = figures(run, recipe, statistics.median(metrics.tokens_per_s for metrics in seen[size.warm_up :]))
    needed = estimate(recipe, config_of(recipe), processes=1, device=run.device.type)
    return {**row, "micro_batch": recipe.micro_batch, "attention": named, "loss": seen[-1].loss,
            "peak_bytes": peak(run.device), "estimated_peak_bytes": needed.peak_bytes}  # fmt: skip


def theirs(run: Run, size: Size, weights: torch.dtype) -> dict[str, Any]:
    """PhiForCausalLM in a plain loop, with PyTorch's own choice of attention."""
    import transformers

    recipe = size.build_recipe()
    default_attention()
    config = transformers.PhiConfig(**config_of(recipe).to_json(), attn_implementation="sdpa")
    torch.manual_seed(0)
    with run.device:
        model = transformers.PhiForCausalLM(config).train().to(weights)
    autocast = torch.autocast(run.device.type, torch.bfloat16, enabled=weights == torch.float32)

    def loss_of(tokens: Tensor, targets: Tensor) -> Tensor:
        with autocast:
            logits = model(input_ids=tokens, use_cache=False).logits
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())

    optimizer = adamw(model, recipe, fused=True)
    compiled = torch.compile(loss_of, dynamic=False, backend=backend(size))

    def step(batch: Tensor, micro_batch: int) -> Tensor:
        return plain_step(model, compiled, optimizer, batch, micro_batch, recipe.clip)

    with no_garbage_collection():
        tokens_per_s, micro_batch = measure(run, size, step, size.micro_batch)
    return {**figures(run, recipe, tokens_per_s), "micro_batch": micro_batch, "peak_bytes": peak(run.device)}


def our_steps(run: Run, size: Size, model: Phi, measures: Measures) -> dict[str, Any]:
    """Our model in the same plain step, with some of the measures."""
    recipe = size.build_recipe()
    default_attention()
    named = "FlashAttention-2"
    if measures.attention:
        named = attention_backend(run.device, head_dim=model.config.head_dim)
    elif run.device.type == "cuda":
        torch.backends.cuda.enable_cudnn_sdp(False)
    loss_of: Callable[[Tensor, Tensor], Tensor] = model
    undo = compiled_by_layer(model, size) if measures.compiled else contextlib.nullcontext()
    optimizer = adamw(model, recipe, fused=measures.fused)

    def step(batch: Tensor, micro_batch: int) -> Tensor:
        loss = plain_step(model, loss_of, optimizer, batch, micro_batch, recipe.clip)
        if not measures.free:
            loss.item()
        return loss

    with undo, no_garbage_collection() if measures.free else contextlib.nullcontext():
        wanted = max(1, int(size.micro_batch * measures.micro_batch))
        tokens_per_s, micro_batch = measure(run, size, step, wanted)
    model.zero_grad()
    row = {**figures(run, recipe, tokens_per_s), "micro_batch": micro_batch, "peak_bytes": peak(run.device)}
    return {**row, "attention": named} if run.device.type == "cuda" else row


def profile(run: Run, size: Size, model: Phi) -> dict[str, Any]:
    """Where one step's time goes: the kernels that take most of it."""
    recipe = size.build_recipe()
    attention_backend(run.device, head_dim=model.config.head_dim)
    optimizer = adamw(model, recipe, fused=True)
    with compiled_by_layer(model, size):
        batch = random_batch(run, size)
        for _ in range(2):
            plain_step(model, model, optimizer, batch, size.micro_batch, recipe.clip)
        with torch.profiler.profile() as profiler:
            plain_step(model, model, optimizer, batch, size.micro_batch, recipe.clip)
            synchronize(run.device)
    model.zero_grad()
    time_of = "self_device_time_total" if run.device.type == "cuda" else "self_cpu_time_total"
    rows = sorted(profiler.key_averages(), key=lambda row: -getattr(row, time_of))
    total = sum(getattr(row, time_of) for row in rows)
    return {
        "kernels": [
            {"name": row.key[:120], "calls": row.count, "share": round(getattr(row, time_of) / total, 4)}
            for row in rows[:25]
        ]
    }


def measure(run: Run, size: Size, step: Callable[[Tensor, int], Tensor], micro_batch: int) -> tuple[float, int]:
    """Tokens/s, and the micro-batch that had room."""
    batch = random_batch(run, size)
    while True:
        try:
            for _ in range(size.warm_up):
                step(batch, micro_batch)
            break
        except torch.OutOfMemoryError:
            if micro_batch == 1:
                raise
        free_memory(run.device, keep_compiled=True)  # outside of except, which would keep the tensors alive
        micro_batch //= 2
    reset_peak(run.device)
    synchronize(run.device)
    began = time.perf_counter()
    for _ in range(size.steps):
        step(batch, micro_batch)
    synchronize(run.device)
    return size.steps * size.batch * size.length / (time.perf_counter() - began), micro_batch


def plain_step(
    model: nn.Module,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    batch: Tensor,
    micro_batch: int,
    clip: float,
) -> Tensor:
    """A training step as one would write it first: returns the last micro-batch's loss."""
    parts = len(batch) // micro_batch
    for rows in batch.split(micro_batch):
        loss = loss_of(rows[:, :-1], rows[:, 1:])
        (loss / parts).backward()
    nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


def adamw(model: nn.Module, recipe: Recipe, *, fused: bool) -> torch.optim.Optimizer:
    betas = (recipe.beta1, recipe.beta2)
    return torch.optim.AdamW(model.parameters(), lr=1e-4, betas=betas, weight_decay=recipe.weight_decay, fused=fused)


def build_model(size: Size, device: torch.device) -> Phi:
    """With the values that PyTorch's modules begin with: drawing ours takes a while, and time does not depend on it."""
    with device:
        model = Phi(config_of(size.build_recipe()))
    model.compute_dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    return model


@contextlib.contextmanager
def compiled_by_layer(model: Phi, size: Size) -> Iterator[None]:
    """Compiled inside, as it was outside."""
    loss = model._loss
    model.compile_by_layer(backend=backend(size))
    try:
        yield
    finally:
        model._loss = loss
        for layer in model.layers:
            layer._compiled_call_impl = None
        torch.compiler.reset()


def backend(size: Size) -> str:
    return "aot_eager" if size.tiny else "inductor"


def config_of(recipe: Recipe) -> Any:
    return recipe.config(vocab_size=recipe.model["vocab_size"], eos_token_id=0)


def random_tokens(recipe: Recipe) -> Shards:
    """Token arrays that no model can learn from; a step takes as long on them as on text."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    random = np.random.default_rng(0)
    size = max(2**22 if recipe.length > 1000 else 2**14, 20 * recipe.length)
    tokens = random.integers(0, recipe.model["vocab_size"], size, dtype=np.uint16)
    arrays = {"random": TokenArray("random", (tokens,))}
    validation = TokenArray("validation", (tokens[: 2 * recipe.length],))
    tokenizer = Tokenizer(WordLevel({END_OF_TEXT: 0}, unk_token=END_OF_TEXT))
    return Shards(tokenizer, arrays, validation, {"documents": {"sha256": "random"}})


def random_batch(run: Run, size: Size) -> Tensor:
    vocabulary = size.build_recipe().model["vocab_size"]
    return torch.randint(0, vocabulary, (size.batch, size.length + 1), device=run.device)


def figures(run: Run, recipe: Recipe, tokens_per_s: float) -> dict[str, Any]:
    per_s = tokens_per_s * flops_per_token(config_of(recipe), recipe.length)
    nominal = run.document["nominal_flops"]
    return {
        "tokens_per_s": tokens_per_s,
        "mfu_nominal": per_s / nominal if nominal else None,
        "mfu_measured": per_s / run.document["measured_flops"],
        "batch": recipe.batch,
        "length": recipe.length,
    }


def default_attention() -> None:
    """PyTorch's own order of attention backends."""
    with contextlib.suppress(ImportError):
        from torch.nn.attention import current_flash_attention_impl, restore_flash_attention_impl

        if current_flash_attention_impl():
            restore_flash_attention_impl()
    torch.backends.cuda.enable_flash_sdp(True)
    torch.backends.cuda.enable_cudnn_sdp(True)


@contextlib.contextmanager
def no_garbage_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def free_memory(device: torch.device, *, keep_compiled: bool = False) -> None:
    if not keep_compiled:
        torch.compiler.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak(device: torch.device) -> int | None:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


class _EnoughError(Exception):
    """The loop has done the steps that count."""


def markdown(document: dict[str, Any]) -> str:
    """A table for each geometry; ratios are to the faster of the two ways to run transformers' model."""
    lines: list[str] = []
    for geometry in dict.fromkeys(row["geometry"] for row in document["rows"]):
        rows = [row for row in document["rows"] if row["geometry"] == geometry and row["case"] != "profile"]
        best = max(
            (row.get("tokens_per_s", 0.0) for row in rows if row["case"].startswith("transformers")), default=0.0
        )
        lines += [f"**{geometry}**", "",
                  "| | micro-batch | tokens/s | to transformers' best | MFU nominal / measured | GB |",
                  "|---|---:|---:|---:|---:|---:|"]  # fmt: skip
        for row in rows:
            if "tokens_per_s" not in row:
                lines.append(f"| {row['case']} | {row.get('failed') or 'skipped: ' + row['skipped']} | | | | |")
                continue
            ratio = f"{row['tokens_per_s'] / best:.2f}" if best else "-"
            nominal = f"{row['mfu_nominal']:.1%}" if row["mfu_nominal"] else "-"
            memory = f"{row['peak_bytes'] / 1e9:.1f}" if row.get("peak_bytes") else "-"
            if memory != "-" and "estimated_peak_bytes" in row:
                memory += f" (estimated {row['estimated_peak_bytes'] / 1e9:.1f})"
            lines.append(
                f"| {row['case']} | {row['micro_batch']} | {row['tokens_per_s']:,.0f} | {ratio} | "
                f"{nominal} / {row['mfu_measured']:.1%} | {memory} |"
            )
        lines.append("")
    attention = next((row["attention"] for row in document["rows"] if "attention" in row), "-")
    peak_of = f"{document['measured_flops'] / 1e12:,.1f}"
    versions = document["versions"]
    note = (
        f"`{document['command']}` on {document['device']}, whose largest matrix product reached {peak_of} TFLOP/s; "
        f"attention: {attention}; PyTorch {versions['torch']}, transformers {versions['transformers']}."
    )
    return "\n".join([*lines, note, ""])


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
