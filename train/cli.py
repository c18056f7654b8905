"""`edge-phi train`: a recipe in, a checkpoint folder, its figures and its loss curve out."""

from __future__ import annotations

import os
import platform
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_phi import __version__
from edge_phi.cores import usable_cores
from edge_phi.errors import InvalidCall, MissingExtra

if TYPE_CHECKING:
    from .data.prepare import PreparedData
    from .loop import StepMetrics
    from .recipe import Recipe


app = typer.Typer(add_completion=False)


@app.command("train", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or a .toml file of your own.")],
    out: Annotated[Path | None, typer.Option(help="Where the run is kept; runs/RECIPE if not given.")] = None,
) -> None:
    """Train a model from a recipe; --KEY=VALUE overrides any of its values, --steps=50 for one.

    A run that was stopped goes on where its last state was saved. Text beside the standard library is taken from
    $EDGE_PHI_DATA/corpus, and what overlaps with the benchmarks in $EDGE_PHI_DATA/eval is left out.
    """
    try:
        import torch

        from .curves import plot_loss
        from .data.prepare import prepare
        from .loop import STATE_FOLDER, read_metrics
        from .loop import train as run
        from .recipe import load_recipe
        from .state_dict import save_checkpoint
    except ImportError as error:
        raise MissingExtra(
            f"training needs {error.name}: pip install 'edge-phi[train]' (PyTorch: some 200 MB, or 3 GB with CUDA)"
        ) from error

    settings = load_recipe(recipe, _overrides(context.args))
    folder = out or Path("runs") / settings.name
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(usable_cores())
    data_root = Path(os.environ["EDGE_PHI_DATA"]) if "EDGE_PHI_DATA" in os.environ else None
    benchmarks = data_root / "eval" if data_root and (data_root / "eval").is_dir() else None
    if data_root and benchmarks is None:
        _say(f"{data_root}: holds no benchmarks in eval/: overlap with them is not looked for")
    data = prepare(
        settings,
        folder / "data",
        corpus=data_root and data_root / "corpus",
        benchmarks=benchmarks,
        keep=(folder / STATE_FOLDER).exists(),
        say=_say,
    )
    began = time.time()
    with _Progress(settings) as progress:
        model = run(settings, data, folder, on_step=progress.show)
    steps = read_metrics(folder)
    save_checkpoint(
        folder / "checkpoint",
        model,
        data.tokenizer,
        dtype=getattr(torch, settings.weights),
        lineage=_lineage(settings, data, steps, began),
    )
    plot_loss(steps, folder / "loss.png", title=f"{settings.name}: {model.config.parameters / 1e6:.1f} M parameters")
    print(folder / "checkpoint")


class _Progress:
    """A bar where there is a terminal, else a line every quarter of a minute."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._last_line = 0.0
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> _Progress:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = ("{task.description}", BarColumn(), "{task.completed}/{task.total}")
            self._bar = Progress(
                TextColumn(columns[0]), columns[1], TextColumn(columns[2]), TimeRemainingColumn(),
                TextColumn("{task.fields[figures]}"), console=Console(stderr=True),
            )  # fmt: skip
            self._task = self._bar.add_task(self._recipe.name, total=self._recipe.steps, figures="")
            self._bar.start()
        return self

    def show(self, metrics: StepMetrics) -> None:
        figures = f"{metrics.stage} loss {metrics.loss:.3f}  {metrics.tokens_per_s:,.0f} tokens/s"
        if self._bar:
            self._bar.update(self._task, completed=metrics.step, figures=figures)
            return
        done = metrics.step == self._recipe.steps
        if done or metrics.validation_loss is not None or time.monotonic() - self._last_line > 15:
            self._last_line = time.monotonic()
            held_out = f"  held-out {metrics.validation_loss:.3f}" if metrics.validation_loss is not None else ""
            print(f"step {metrics.step}/{self._recipe.steps}  {figures}{held_out}", file=sys.stderr, flush=True)

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _overrides(arguments: list[str]) -> dict[str, str]:
    overrides = {}
    for argument in arguments:
        key, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or not equals:
            raise InvalidCall(f"cannot read {argument!r}: write overrides as --key=value")
        overrides[key] = value
    return overrides


def _lineage(recipe: Recipe, data: PreparedData, steps: list[dict[str, Any]], began: float) -> dict[str, Any]:
    import torch

    return {
        "made_by": f"edge-phi {__version__}",
        "recipe": asdict(recipe),
        "data": data.manifest,
        "result": {key: steps[-1][key] for key in ("step", "tokens", "loss", "validation_loss")},
        "versions": {"python": platform.python_version(), "torch": torch.__version__.partition("+")[0]},
        "machine": {"processor": platform.machine(), "threads": torch.get_num_threads()},
        "hours": round((time.time() - began) / 3600, 3),
    }
