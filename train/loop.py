"""The training loop: batch, loss, gradients, step; the same on a laptop's CPU, one GPU or many machines.

The device is never waited for: a step's figures are read while the next one runs, a step whose loss or gradient is not
finite is left out on the device itself, and Python's garbage collection keeps to the pauses that validation makes.
"""

from __future__ import annotations

import contextlib
import gc
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edge_phi.atomic import write_bytes
from edge_phi.errors import EdgePhiError, InvalidCall

from .batches import Plan, layout_until, learning_rate, plan_batches, stage_at
from .budget import Budget
from .data.shards import END_OF_TEXT, Shards, TokenArray
from .distill import Teacher
from .distributed import Place, free_gathered, reduce_gradients, shard, whole
from .flops import estimate, measured_flops, nominal_flops
from .model import Phi
from .optim import build_optimizers
from .quantize_aware import make_quantize_aware
from .recipe import Recipe
from .state import StateSaver, load_state, steps_of_state
from .state_dict import set_weights

METRICS_FILE = "metrics.jsonl"
STATE_FOLDER = "state"
_VALIDATION_SEQUENCES = 16
_MOST_SKIPPED = 5  # steps in a row without a finite gradient
# Changing these in a run that goes on changes how it is computed or watched, not what it learns.
_FREE_TO_CHANGE = {
    "steps",  # as far as `layout_until` says
    "stop",
    "micro_batch",
    "compile",
    "weights",
    "validate_every",
    "save_every",
    "keep_every",
    "tensorboard",
}


@dataclass(frozen=True)
class StepMetrics:
    """What one step did."""

    step: int  # counted from 1
    steps: int  # of the whole schedule, as it is laid out now
    stage: str
    loss: float  # mean over the batch, nats per token: cross-entropy, or where there is a teacher its loss
    validation_loss: float | None  # the same on held-out code, where it was measured
    learning_rate: float
    gradient_norm: float
    skipped: list[str] | None  # the sequences, where loss or gradient was not finite and nothing was learnt
    tokens: int  # seen so far
    tokens_per_s: float
    mfu_nominal: float | None  # share of the peak that the GPU's data sheet gives for dense bfloat16
    mfu_measured: float  # share of what a large matrix product reached on this device before the run


class Interrupted(Exception):
    """SIGTERM or SIGINT came; the state is saved."""

    def __init__(self, signal_number: int, step: int) -> None:
        super().__init__(f"stopped after step {step}")
        self.signal_number = signal_number
        self.step = step


def train(
    recipe: Recipe,
    data: Shards,
    out: Path,
    *,
    on_step: Callable[[StepMetrics], None],
    on_keep: Callable[[Phi, StepMetrics], None] = lambda model, metrics: None,
    place: Place | None = None,
    initial: dict[str, Tensor] | None = None,
    teacher: Teacher | None = None,
    budget: Budget | None = None,
) -> Phi:
    """Train to the recipe's last step and return the model; goes on from `out`'s state where there is one.

    Args:
        recipe: what to do.
        data: token arrays by the names that the recipe's mixtures use.
        out: the run's folder; gets metrics.jsonl and the state.
        on_step: told every step's figures, in the first process.
        on_keep: given the model and its figures every `keep_every` steps, in every process.
        place: of this process; alone on the CPU if None.
        initial: whole weights to begin with, under the model's names; drawn from the seed if None.
        teacher: whose predictions are learnt, as far as the recipe says.
        budget: the time that there is; the recipe's number of steps is fitted to it, on one process.

    Raises:
        InvalidCall, InvalidFile: data too small, a state that does not fit the recipe, or a recipe that does not fit
            the budget.
        EdgePhiError: the disk is full or not writable, or several steps in a row had no finite gradient.
        Interrupted: a signal came.
    """
    place = place or Place(torch.device("cpu"))
    if budget:
        if place.processes > 1:
            raise InvalidCall("--minutes is for one process: give --steps")
        recipe = replace(recipe, steps=steps_of_state(out / STATE_FOLDER) or recipe.steps)
        budget.check(recipe)
    model = build_model(recipe, data, place, initial)
    optimizers = build_optimizers(
        model,
        name=recipe.optimizer,
        weight_decay=recipe.weight_decay,
        betas=(recipe.beta1, recipe.beta2),
        eps=recipe.eps,
    )
    plan = plan_batches(recipe, data.arrays)
    start = load_state(out / STATE_FOLDER, model, optimizers, lambda done: _fingerprint(recipe, data, done))
    saver = StateSaver(out / STATE_FOLDER, place)
    recorder = _Recorder(recipe, plan, model, teacher, out / METRICS_FILE, place, on_step)
    if place.first:
        _keep_first(out / METRICS_FILE, start)

    with _interruptions() as interruption, _no_garbage_collection():
        step = start
        while step < recipe.last_step:
            figures = _step(recipe, plan, step, model, teacher, optimizers, place, interruption.signal_number)
            done = step + 1
            last = done == recipe.last_step
            keep = recipe.keep_every > 0 and done % recipe.keep_every == 0
            validate = last or keep or done % recipe.validate_every == 0
            save = last or done % recipe.save_every == 0
            recorder.add(step, figures)
            stop = not last and (recorder.interrupted or (place.processes == 1 and interruption.signal_number > 0))
            if validate or save or stop or (budget and budget.due(done, start)):
                metrics = recorder.finish(data.validation if validate else None)
                if keep:
                    on_keep(model, metrics)
                if save or stop:
                    about = _fingerprint(recipe, data, done)
                    saver.start(model, optimizers, done, steps=recipe.steps, fingerprint=about)
                if stop:
                    saver.wait()
                    raise Interrupted(interruption.signal_number or signal.SIGTERM, done)
                if budget and not last:
                    recipe = budget.fitted(recipe, done, start)
                    plan = plan_batches(recipe, data.arrays)
                    recorder.lay_out(recipe, plan)
                gc.collect()
                recorder.restart_clock()
            step = done
        saver.wait()
    return model


def build_model(recipe: Recipe, data: Shards, place: Place, initial: dict[str, Tensor] | None = None) -> Phi:
    """A model on its device, divided over the processes, with its first weights.

    Parameters are float32; products are computed in bfloat16 on a GPU and in float32 on a CPU.
    """
    config = recipe.config(
        vocab_size=data.tokenizer.get_vocab_size(), eos_token_id=data.tokenizer.token_to_id(END_OF_TEXT)
    )
    with torch.device("meta"):
        model = Phi(config, dropout=recipe.dropout)
    if recipe.quantize:
        make_quantize_aware(model, given_scales=bool(recipe.round_from))
    model.compute_dtype = torch.bfloat16 if place.device.type == "cuda" else torch.float32
    if recipe.compile and place.mesh:  # gathering the weights stays outside
        model.compile_by_layer()
    elif recipe.compile:
        model.compile()
    shard(model, place)
    model.to_empty(device=place.device)
    model.initialize(recipe.seed)
    if initial is not None:
        set_weights(model, initial)
    return model


@torch.no_grad()
def validation_loss(
    model: Phi, tokens: TokenArray, length: int, *, micro_batch: int = 1, teacher: Teacher | None = None
) -> float:
    """Mean loss in nats per token over the first sequences of held-out tokens; every process computes all."""
    rows = [
        part[start : start + length + 1] for part in tokens.parts for start in range(0, len(part) - length, length)
    ][:_VALIDATION_SEQUENCES]
    if not rows:
        return float("nan")
    device = model.cos.device
    model.eval()
    losses = []
    for first in range(0, len(rows), micro_batch):
        batch = torch.from_numpy(np.stack(rows[first : first + micro_batch]).astype(np.int64)).to(device)
        losses.append(_loss(model, teacher, batch).float() * len(batch))
    model.train()
    free_gathered(model)
    return float(torch.stack(losses).sum()) / len(rows)


def read_metrics(out: Path) -> list[dict[str, Any]]:
    """All steps' figures of a run."""
    return [json.loads(line) for line in (out / METRICS_FILE).read_text(encoding="utf-8").splitlines()]


def _loss(model: Phi, teacher: Teacher | None, rows: Tensor) -> Tensor:
    lesson = [teacher.lesson(rows[:, :-1])] if teacher else []
    loss: Tensor = model(rows[:, :-1], rows[:, 1:], *lesson)
    return loss


def _step(
    recipe: Recipe,
    plan: Plan,
    step: int,
    model: Phi,
    teacher: Teacher | None,
    optimizers: list[torch.optim.Optimizer],
    place: Place,
    signal_number: int,
) -> Tensor:
    """Queue one step and return, on the device, its loss, its gradient norm, and the sum of all processes' signals."""
    share = recipe.batch // place.processes
    micro_batch = min(recipe.micro_batch or share, share)
    batch = torch.from_numpy(
        plan.batch(step, rank=place.rank, processes=place.processes, vocab_size=model.config.vocab_size)
    )
    if place.device.type == "cuda":
        batch = batch.pin_memory().to(place.device, non_blocking=True)
    if recipe.dropout:
        torch.manual_seed(hash((recipe.seed, step, place.rank)))
    figures = torch.zeros(3, device=place.device)
    figures[2] = signal_number
    for first in range(0, share, micro_batch):
        rows = batch[first : first + micro_batch]
        reduce_gradients(model, reduce=first + micro_batch >= share)
        loss = _loss(model, teacher, rows) * (len(rows) / share)
        loss.backward()  # type: ignore[no-untyped-call]
        figures[0] += loss.detach() / place.processes
    place.sum(figures)
    norm = whole(torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip))
    figures[1] = norm
    not_finite = (~torch.isfinite(figures[0] + norm)).float()
    for optimizer in optimizers:
        optimizer.found_inf = not_finite  # type: ignore[attr-defined]  # what torch.amp.GradScaler tells them too
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        optimizer.step()
        optimizer.zero_grad()
    return figures


class _Recorder:
    """Turns steps' figures into metrics, one step behind the device."""

    def __init__(
        self,
        recipe: Recipe,
        plan: Plan,
        model: Phi,
        teacher: Teacher | None,
        path: Path,
        place: Place,
        on_step: Callable[[StepMetrics], None],
    ) -> None:
        self.interrupted = False  # whether a signal came to any of the processes, the same in all of them
        self._recipe = recipe
        self._plan = plan
        self._model = model
        self._teacher = teacher
        self._path = path
        self._place = place
        self._on_step = on_step
        # With what tells when it was done: on the CPU it is done before it is added.
        self._pending: tuple[int, Tensor, torch.cuda.Event | float] | None = None
        self._skipped_in_a_row = 0
        flops = estimate(recipe, model.config, processes=place.processes, device=place.device.type)
        self._flops_per_token = flops.flops_per_token / place.processes
        on_gpu = place.device.type == "cuda"
        self._nominal = nominal_flops(torch.cuda.get_device_name(place.device)) if on_gpu else None
        self._measured = measured_flops(place.device)
        self._since = time.perf_counter()

    def add(self, step: int, figures: Tensor) -> None:
        """Take a step that is queued, and report the one before it."""
        done: torch.cuda.Event | float = time.perf_counter()
        if figures.device.type == "cuda":
            figures = figures.to("cpu", non_blocking=True)
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record()
        before, self._pending = self._pending, (step, figures, done)
        if before:
            self._report(*before)

    def finish(self, validation: TokenArray | None = None) -> StepMetrics:
        """Wait for the step that is pending and report it, with the loss on `validation`."""
        assert self._pending is not None
        pending, self._pending = self._pending, None
        return self._report(*pending, validation=validation)

    def lay_out(self, recipe: Recipe, plan: Plan) -> None:
        """Go on with a schedule of another length, in which the steps up to the pending one are the same."""
        self._recipe, self._plan = recipe, plan

    def restart_clock(self) -> None:
        """Leave out of the next step's time what was between the steps."""
        self._since = time.perf_counter()

    def _report(
        self, step: int, figures: Tensor, done: torch.cuda.Event | float, validation: TokenArray | None = None
    ) -> StepMetrics:
        if isinstance(done, torch.cuda.Event):
            done.synchronize()
            done = time.perf_counter()
        loss, norm, signals = figures.tolist()
        seconds, self._since = done - self._since, done
        recipe = self._recipe
        held_out = None
        if validation:
            held_out = validation_loss(
                self._model,
                validation,
                recipe.length,
                micro_batch=self._validation_batch(),
                teacher=self._teacher,
            )
        self.interrupted = signals > 0
        skipped = None if np.isfinite(loss) and np.isfinite(norm) else self._plan.names(step)
        self._skipped_in_a_row = self._skipped_in_a_row + 1 if skipped else 0
        tokens_per_s = recipe.batch * recipe.length / seconds
        metrics = StepMetrics(
            step=step + 1,
            steps=recipe.steps,
            stage=recipe.stages[stage_at(recipe, step)].name,
            loss=loss,
            validation_loss=held_out,
            learning_rate=learning_rate(recipe, step),
            gradient_norm=norm,
            skipped=skipped,
            tokens=(step + 1) * recipe.batch * recipe.length,
            tokens_per_s=tokens_per_s,
            mfu_nominal=self._nominal and tokens_per_s * self._flops_per_token / self._nominal,
            mfu_measured=tokens_per_s * self._flops_per_token / self._measured,
        )
        if self._place.first:
            with self._path.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(asdict(metrics)) + "\n")
            self._on_step(metrics)
        if self._skipped_in_a_row >= _MOST_SKIPPED:
            raise EdgePhiError(
                f"step {step + 1}: loss {loss}, gradient norm {norm}, the {_MOST_SKIPPED}th step in a row that is not "
                f"finite: lower the peak rate, or look at its sequences: {', '.join(skipped or [])}"
            )
        return metrics

    def _validation_batch(self) -> int:
        return min(self._recipe.micro_batch or 1, _VALIDATION_SEQUENCES)


@dataclass
class _Interruption:
    signal_number: int = 0


@contextlib.contextmanager
def _interruptions() -> Iterator[_Interruption]:
    """Note SIGTERM and SIGINT instead of being ended by them.

    More of the same change nothing, for a scheduler and torchrun may each send one; but who presses Ctrl-C again, a
    second or more after the first, does not want to wait.
    """
    interruption = _Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    first = 0.0

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if number == signal.SIGINT and first and time.monotonic() - first > 1:
            raise KeyboardInterrupt
        first = first or time.monotonic()
        interruption.signal_number = interruption.signal_number or number

    for number in before:
        signal.signal(number, note)
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """A collection in the middle of a step would leave the device without work; one process's makes all wait."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _fingerprint(recipe: Recipe, data: Shards, done: int) -> str:
    """Of all that decides what a run learns in its first `done` steps."""
    settings = {key: value for key, value in asdict(recipe).items() if key not in _FREE_TO_CHANGE}
    about = {"recipe": settings, "layout": layout_until(recipe, done), "data": data.manifest}
    return json.dumps(about, sort_keys=True)


def _keep_first(path: Path, steps: int) -> None:
    """Drop figures of steps that a resumed run will do again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = path.read_bytes().splitlines(keepends=True)[:steps] if path.exists() else []
    write_bytes(path, b"".join(kept))
