"""The training loop: batch, loss, gradients, step; what it saw as JSON lines, its state kept whole on disk."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from .batches import learning_rate, plan_batches
from .data.prepare import PreparedData
from .model import Phi
from .optim import build_optimizers
from .recipe import Recipe
from .state import load_state, save_state

METRICS_FILE = "metrics.jsonl"
STATE_FOLDER = "state"
_VALIDATION_SEQUENCES = 16


@dataclass(frozen=True)
class StepMetrics:
    """What one step did."""

    step: int  # counted from 1
    stage: str
    loss: float  # mean cross-entropy over the batch, nats per token
    validation_loss: float | None  # on held-out code, where it was measured
    learning_rate: float
    gradient_norm: float
    tokens: int  # seen so far
    tokens_per_s: float


def train(recipe: Recipe, data: PreparedData, out: Path, *, on_step: Callable[[StepMetrics], None]) -> Phi:
    """Train to the recipe's last step and return the model; goes on from `out`'s state where there is one.

    Args:
        recipe: what to do.
        data: token arrays by the names that the recipe's mixtures use.
        out: the run's folder; gets metrics.jsonl and the state.
        on_step: told every step's figures.

    Raises:
        InvalidCall, InvalidFile: data too small, or a state that does not fit the recipe.
        EdgePhiError: the disk is full or not writable.
    """
    vocabulary = data.tokenizer.get_vocab_size()
    model = Phi(recipe.config(vocab_size=vocabulary, eos_token_id=data.tokenizer.token_to_id("<|endoftext|>")))
    model.initialize(recipe.seed)
    optimizers = build_optimizers(
        model, name=recipe.optimizer, weight_decay=recipe.weight_decay, betas=(recipe.beta1, recipe.beta2)
    )
    plan = plan_batches(recipe, data.arrays)
    fingerprint = json.dumps({"recipe": asdict(recipe), "documents": data.manifest["documents"]["sha256"]})
    loss_of = torch.compile(_loss) if recipe.compile else _loss
    start = load_state(out / STATE_FOLDER, model, optimizers, fingerprint)
    metrics_path = out / METRICS_FILE
    _keep_first(metrics_path, start)

    for step in range(start, recipe.steps):
        began = time.perf_counter()
        rate = learning_rate(recipe, plan, step)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        loss = loss_of(model, torch.from_numpy(plan.batch(step, data.arrays, recipe.length)))
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        seconds = time.perf_counter() - began

        last = step + 1 == recipe.steps
        validate = last or (step + 1) % recipe.validate_every == 0
        metrics = StepMetrics(
            step=step + 1,
            stage=recipe.stages[int(plan.stage_of_step[step])].name,
            loss=loss.item(),
            validation_loss=validation_loss(model, data.validation, recipe.length) if validate else None,
            learning_rate=rate,
            gradient_norm=float(norm),
            tokens=(step + 1) * recipe.batch * recipe.length,
            tokens_per_s=recipe.batch * recipe.length / seconds,
        )
        with metrics_path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(metrics)) + "\n")
        if last or (step + 1) % recipe.save_every == 0:
            save_state(out / STATE_FOLDER, model, optimizers, step + 1, fingerprint)
        on_step(metrics)
    return model


@torch.no_grad()
def validation_loss(model: Phi, tokens: npt.NDArray[np.uint16], length: int) -> float:
    """Mean cross-entropy in nats per token over the first sequences of held-out tokens."""
    count = min(_VALIDATION_SEQUENCES, (len(tokens) - 1) // length)
    if not count:
        return float("nan")
    losses = [
        _loss(model, torch.from_numpy(tokens[row * length : (row + 1) * length + 1].astype(np.int64)[None])).item()
        for row in range(count)
    ]
    return float(np.mean(losses))


def read_metrics(out: Path) -> list[dict[str, Any]]:
    """All steps' figures of a run."""
    return [json.loads(line) for line in (out / METRICS_FILE).read_text(encoding="utf-8").splitlines()]


def _loss(model: Phi, tokens: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())


def _keep_first(path: Path, steps: int) -> None:
    """Drop figures of steps that a resumed run will do again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = []
    if path.exists():
        kept = path.read_text(encoding="utf-8").splitlines(keepends=True)[:steps]
    path.write_text("".join(kept), encoding="utf-8")
