"""`edge-phi train`: a recipe in, a checkpoint folder, its figures and its loss curve out."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_phi.errors import MissingExtra

from .recipe import Recipe, load_recipe, read_overrides

if TYPE_CHECKING:
    from .loop import StepMetrics


app = typer.Typer(add_completion=False)


@app.command("train", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or a .toml file of your own.")],
    out: Annotated[Path | None, typer.Option(help="Where the run is kept; runs/RECIPE if not given.")] = None,
    data: Annotated[Path | None, typer.Option(help="A folder of token shards, as 'edge-phi data pack' makes.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Be over in so many minutes: the number of steps is fitted to the machine.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would take.")] = False,
    gpus: Annotated[int, typer.Option(help="For --dry-run: how many.")] = 1,
    gpu: Annotated[str, typer.Option(help="For --dry-run: which kind.")] = "H100",
    price: Annotated[float | None, typer.Option(help="For --dry-run: per GPU and hour, in dollars.")] = None,
    mfu: Annotated[float | None, typer.Option(help="For --dry-run: share of the nominal peak that is reached.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For --dry-run: JSON.")] = False,
) -> None:
    """Train a model from a recipe; --KEY=VALUE overrides any of its values, --steps=50 for one.

    A run that was stopped goes on where its last state was saved. Without --data, text beside the standard library is
    taken from $EDGE_PHI_DATA/corpus, and what overlaps with the benchmarks in $EDGE_PHI_DATA/eval is left out. Under
    torchrun, every process trains its part: torchrun --nproc-per-node 8 -m edge_phi train RECIPE.
    """
    settings = load_recipe(recipe, read_overrides(context.args))
    if dry_run:
        from .dry_run import print_dry_run

        print_dry_run(settings, gpus=gpus, gpu=gpu, price=price, mfu=mfu, as_json=as_json)
        return
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # warnings of PyTorch to its own developers
    try:
        from .budget import Budget
        from .loop import Interrupted
        from .run import run
    except ImportError as error:
        raise MissingExtra(
            f"training needs {error.name}: pip install 'edge-phi[train]' (PyTorch: some 200 MB, or 3 GB with CUDA)"
        ) from error
    try:
        budget = None if minutes is None else Budget(minutes)
        with _Progress(settings) as progress:
            folder = out or Path("runs") / settings.name
            checkpoint = run(settings, folder, data, budget=budget, on_step=progress.show, say=_say)
        if checkpoint:
            print(checkpoint)
    except Interrupted as interruption:
        _say(f"{interruption}, its state is saved: the same command goes on from there")
        if interruption.signal_number == signal.SIGINT:
            raise typer.Exit(130) from interruption


class _Progress:
    """A bar where there is a terminal, else a line every quarter of a minute."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._last_line = 0.0
        self._began: tuple[float, int] | None = None
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> _Progress:
        return self

    def show(self, metrics: StepMetrics) -> None:
        if sys.stderr.isatty() and self._bar is None:
            self._start_bar()
        if metrics.skipped:
            _say(f"step {metrics.step}: not finite, skipped: {', '.join(metrics.skipped)}")
        figures = f"{metrics.stage} loss {metrics.loss:.3f}  {metrics.tokens_per_s:,.0f} tokens/s  MFU {_mfu(metrics)}"
        last = self._recipe.stop or metrics.steps
        if self._bar:
            self._bar.update(self._task, completed=metrics.step, total=last, figures=figures)
            return
        self._began = self._began or (time.monotonic(), metrics.step)
        done = metrics.step == last
        if done or metrics.validation_loss is not None or time.monotonic() - self._last_line > 15:
            self._last_line = time.monotonic()
            held_out = f"  held-out {metrics.validation_loss:.3f}" if metrics.validation_loss is not None else ""
            _say(f"step {metrics.step}/{last}  {figures}{held_out}{self._remaining(metrics.step, last)}")

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def _start_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(), TextColumn("{task.fields[figures]}"), console=Console(stderr=True),
        )  # fmt: skip
        self._task = self._bar.add_task(self._recipe.name, total=self._recipe.last_step, figures="")
        self._bar.start()

    def _remaining(self, step: int, last: int) -> str:
        began, first = self._began or (0.0, step)
        if step in (first, last):
            return ""
        seconds = (time.monotonic() - began) / (step - first) * (last - step)
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"  {hours}:{minutes:02} h left"


def _mfu(metrics: StepMetrics) -> str:
    """Of the nominal peak, where there is one, and of the measured."""
    measured = f"{metrics.mfu_measured:.0%} of measured peak"
    return f"{metrics.mfu_nominal:.1%}, {measured}" if metrics.mfu_nominal else measured


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
