"""What `edge-phi train` does: data, model, training, checkpoint, curves; in every process that torchrun started."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from edge_phi import __version__
from edge_phi.atomic import atomic_folder
from edge_phi.checkpoint import PhiConfig, open_checkpoint, weights_files
from edge_phi.cores import usable_cores
from edge_phi.errors import EdgePhiError, InvalidCall, MissingExtra
from edge_phi.lineage import sha256_of

from .attention import attention_backend
from .budget import Budget
from .curves import plot_loss
from .data.shards import END_OF_TEXT, TOKENIZER_FILE, Shards, read_shards, read_tokenizer
from .distill import Teacher
from .distributed import Place, joined
from .flops import available_bytes, check_memory
from .grow import grow
from .loop import STATE_FOLDER, StepMetrics, read_metrics, train
from .model import Phi
from .recipe import Recipe
from .rounded_start import start_rounded
from .state import has_state
from .state_dict import load_checkpoint, read_weights, save_checkpoint, to_hugging_face

if TYPE_CHECKING:
    from .data.pipeline import Origin

CHECKPOINT_FOLDER = "checkpoint"
_KEPT_FOLDER = "checkpoints"


def run(
    recipe: Recipe,
    folder: Path,
    shards: Path | None,
    *,
    budget: Budget | None = None,
    on_step: Callable[[StepMetrics], None],
    say: Callable[[str], None],
) -> Path | None:
    """Train a recipe and return its checkpoint folder, in the first process; goes on where an earlier call stopped.

    Args:
        recipe: what to do.
        folder: of the run.
        shards: a folder of token shards; None makes them from the recipe's own sources.
        budget: the time that there is; the recipe's number of steps is fitted to it.
        on_step: told every step's figures, in the first process.
        say: told what is being done, in the first process.

    Raises:
        InvalidCall: the recipe does not fit the processes, the data or the checkpoint it starts from.
        EdgePhiError: not enough memory, said before any is taken; and as `loop.train`.
        Interrupted: as `loop.train`.
    """
    with joined() as place:
        _check_division(recipe, place)
        if place.device.type == "cpu":
            torch.set_num_threads(max(1, usable_cores() // _local_processes()))
        if place.first:
            folder.mkdir(parents=True, exist_ok=True)
        else:
            say = _nothing
        data = _data(recipe, folder, shards, place, say)
        config = recipe.config(
            vocab_size=data.tokenizer.get_vocab_size(), eos_token_id=data.tokenizer.token_to_id(END_OF_TEXT)
        )
        _check_memory(recipe, config, place)
        if recipe.compile and place.device.type == "cpu" and not (shutil.which("g++") or shutil.which("clang++")):
            raise InvalidCall("compile=true needs g++ or clang++ on a CPU: install one, or leave it off")
        initial = None if has_state(folder / STATE_FOLDER) else _initial(recipe, config, data, say)
        teacher = _teacher(recipe, data, place) if recipe.distill else None
        say(f"{config.parameters / 1e6:,.1f} M parameters; {_where(place, config)}")

        began = time.time()
        keeper = _Keeper(recipe, folder, data, began, place)
        with _tensorboard(recipe, folder, place) as board:

            def report(metrics: StepMetrics) -> None:
                board(metrics)
                on_step(metrics)

            model = train(
                recipe,
                data,
                folder,
                on_step=report,
                on_keep=keeper.keep,
                place=place,
                initial=initial,
                teacher=teacher,
                budget=budget,
            )
        keeper.finish(model)
        if place.first:
            title = f"{recipe.name}: {config.parameters / 1e6:,.1f} M parameters"
            plot_loss(read_metrics(folder), folder / "loss.png", title=title)
        place.wait()
    return folder / CHECKPOINT_FOLDER if place.first else None


class _Keeper:
    """Writes checkpoints: one at the end, or one every `keep_every` steps and at the end the best of them."""

    def __init__(self, recipe: Recipe, folder: Path, data: Shards, began: float, place: Place) -> None:
        self._recipe = recipe
        self._folder = folder
        self._data = data
        self._began = began
        self._place = place

    def keep(self, model: Phi, metrics: StepMetrics) -> None:
        self._write(self._kept(metrics.step), model, asdict(metrics))

    def finish(self, model: Phi) -> None:
        result = self._folder / CHECKPOINT_FOLDER
        rows = read_metrics(self._folder)
        kept = [row for row in rows if self._kept(row["step"]).is_dir() and row["validation_loss"] is not None]
        if not kept:
            self._write(result, model, rows[-1])
        elif self._place.first:
            best = min(kept, key=lambda row: float(row["validation_loss"]))
            with atomic_folder(result) as partial:
                shutil.copytree(self._kept(best["step"]), partial, dirs_exist_ok=True)
        self._place.wait()

    def _kept(self, step: int) -> Path:
        return self._folder / _KEPT_FOLDER / f"step-{step:08}"

    def _write(self, folder: Path, model: Phi, row: dict[str, Any]) -> None:
        tensors = to_hugging_face(model, getattr(torch, self._recipe.weights))
        if self._place.first:
            recipe = replace(self._recipe, steps=row["steps"])  # as they were laid out in the end
            lineage = _lineage(recipe, self._data, row, self._began, self._place)
            save_checkpoint(folder, model.config, tensors, self._data.tokenizer, lineage=lineage)


def _data(recipe: Recipe, folder: Path, shards: Path | None, place: Place, say: Callable[[str], None]) -> Shards:
    """Shards that are given, or made by the first process while the others wait."""
    if shards:
        return read_shards(shards)
    if not recipe.data:
        raise InvalidCall(
            f"recipe {recipe.name} has no sources of its own: give --data FOLDER of token shards, which "
            "'edge-phi data pack' makes"
        )
    if place.first:
        _make(recipe, folder, say)
    place.wait()
    return read_shards(folder / "data")


def _make(recipe: Recipe, folder: Path, say: Callable[[str], None]) -> None:
    """The recipe's shards from its own sources, if they are not there."""
    # Who brings token shards needs nothing that makes them: datatrove and what it imports stay out.
    from .data.funnel import table
    from .data.pipeline import build, is_made, no_more_than_seen

    recipe, origin = no_more_than_seen(recipe), _origin(say)
    if is_made(folder / "data", recipe, origin):
        return
    if has_state(folder / STATE_FOLDER):
        raise InvalidCall(f"{folder}: holds a run with other settings: give another --out, or remove it to begin anew")
    stages = build(recipe, origin, folder / "data", folder / "data-steps", workers=usable_cores(), say=say)
    for line in table(stages):
        say(line)


def _origin(say: Callable[[str], None]) -> Origin:
    from .data.pipeline import Origin

    root = Path(os.environ["EDGE_PHI_DATA"]) if "EDGE_PHI_DATA" in os.environ else None
    benchmarks = root / "eval" if root and (root / "eval").is_dir() else None
    if root and benchmarks is None:
        say(f"{root}: holds no benchmarks in eval/: overlap with them is not looked for")
    return Origin(("standard_library", *([str(root / "corpus")] if root else [])), benchmarks=benchmarks)


def _initial(recipe: Recipe, config: PhiConfig, data: Shards, say: Callable[[str], None]) -> dict[str, Tensor] | None:
    """Weights to begin with, where the recipe names a checkpoint."""
    if not (recipe.start_from or recipe.grow_from):
        return None
    folder = Path(recipe.start_from or recipe.grow_from)
    _check_tokenizer(folder, data)
    say(f"{'starting from' if recipe.start_from else 'growing'} {folder}")
    for note in open_checkpoint(folder).notes:
        say(note)
    if recipe.grow_from:
        return grow(folder, config, seed=recipe.seed)
    theirs, weights = read_weights(folder)
    for key, wanted in asdict(config).items():
        if key != "eos_token_id" and getattr(theirs, key) != wanted:
            raise InvalidCall(
                f"{folder}: its {key} is {getattr(theirs, key)}, recipe {recipe.name} has {wanted}: give a checkpoint "
                "of this geometry, or grow_from for a smaller one"
            )
    if recipe.round_from:
        say(f"with the rounding of {recipe.round_from}")
        return start_rounded(Path(recipe.round_from), folder, weights)
    return weights


def _teacher(recipe: Recipe, data: Shards, place: Place) -> Teacher:
    folder = Path(recipe.teacher or recipe.start_from)
    _check_tokenizer(folder, data)
    return Teacher(load_checkpoint(folder), recipe.distill, place)


def _check_tokenizer(folder: Path, data: Shards) -> None:
    if read_tokenizer(folder / TOKENIZER_FILE).get_vocab() != data.tokenizer.get_vocab():
        raise InvalidCall(
            f"{folder}: its tokenizer is not the one that the tokens were made with: pack the text again with "
            f"--tokenizer {folder / TOKENIZER_FILE}"
        )


def _check_division(recipe: Recipe, place: Place) -> None:
    if recipe.batch % place.processes:
        raise InvalidCall(f"batch {recipe.batch} cannot be divided over {place.processes} processes: give a multiple")
    share = recipe.batch // place.processes
    if recipe.micro_batch and share > recipe.micro_batch and share % recipe.micro_batch:
        raise InvalidCall(
            f"micro_batch {recipe.micro_batch} does not divide a process's {share} sequences: give a divisor"
        )


def _check_memory(recipe: Recipe, config: PhiConfig, place: Place) -> None:
    available = available_bytes(place.device.type)
    if available and place.device.type == "cpu":  # which its processes share, while each has a GPU of its own
        available //= _local_processes()
    shards = place.mesh.size(-1) if place.mesh else 1
    check_memory(
        recipe,
        config,
        processes=place.processes,
        available_bytes=available,
        device=place.device.type,
        shards=shards,
    )


def _local_processes() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _where(place: Place, config: PhiConfig) -> str:
    processes = f"{place.processes} processes" if place.processes > 1 else "one process"
    name = torch.cuda.get_device_name(place.device) if place.device.type == "cuda" else "CPU"
    return f"{processes} on {name}, {attention_backend(place.device, head_dim=config.head_dim)}"


@contextlib.contextmanager
def _tensorboard(recipe: Recipe, folder: Path, place: Place) -> Iterator[Callable[[StepMetrics], None]]:
    """A writer of TensorBoard's files, or nothing where they are not wanted."""
    if not recipe.tensorboard or not place.first:
        yield _nothing
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtra("tensorboard=true needs tensorboard: pip install 'edge-phi[tensorboard]'") from error
    try:
        writer = SummaryWriter(str(folder / "tensorboard"))  # type: ignore[no-untyped-call]
    except OSError as error:
        raise EdgePhiError(f"{folder / 'tensorboard'}: cannot be written ({error.strerror})") from error

    def write(metrics: StepMetrics) -> None:
        for name, value in asdict(metrics).items():
            if isinstance(value, float):
                writer.add_scalar(name, value, metrics.step)  # type: ignore[no-untyped-call]

    try:
        yield write
    finally:
        writer.close()  # type: ignore[no-untyped-call]


def _lineage(recipe: Recipe, data: Shards, row: dict[str, Any], began: float, place: Place) -> dict[str, Any]:
    lineage = {
        "made_by": f"edge-phi {__version__}",
        "recipe": asdict(recipe)
        | {key: Path(getattr(recipe, key)).name for key in ("start_from", "grow_from", "round_from", "teacher")},
        "data": data.manifest,
        "result": {key: row[key] for key in ("step", "tokens", "loss", "validation_loss")},
        "versions": {"python": platform.python_version(), "torch": torch.__version__.partition("+")[0]},
        "machine": {
            "processor": platform.machine(),
            "device": torch.cuda.get_device_name(place.device) if place.device.type == "cuda" else "cpu",
            "processes": place.processes,
            "threads": torch.get_num_threads(),
        },
        "hours": round((time.time() - began) / 3600, 3),
    }
    for key, source in (("started_from", recipe.start_from or recipe.grow_from), ("teacher", recipe.teacher)):
        if source:
            files = {file: sha256_of(Path(source) / file) for file in weights_files(Path(source))}
            lineage[key] = {"checkpoint": Path(source).name, "files": files}
    if recipe.round_from:
        file = Path(recipe.round_from)
        lineage["rounded_from"] = {"files": {file.name: sha256_of(file)}}
    return lineage


def _nothing(_: object) -> None:
    pass
