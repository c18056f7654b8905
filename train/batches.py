"""Which tokens each step sees: a pure function of the recipe, the seed and the step, so resuming needs one integer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_phi.errors import InvalidCall

from .recipe import Recipe, Stage


@dataclass(frozen=True)
class Plan:
    """For every sequence of the run, its array and its window of `length` + 1 tokens in it."""

    names: tuple[str, ...]
    sources: npt.NDArray[np.uint8]  # [steps, batch], index into names
    windows: npt.NDArray[np.int32]  # [steps, batch]
    stage_of_step: npt.NDArray[np.int32]  # [steps]
    stage_start: tuple[int, ...]  # first step of each stage, and the number of steps at the end

    def batch(self, step: int, arrays: dict[str, npt.NDArray[np.uint16]], length: int) -> npt.NDArray[np.int64]:
        """Tokens of one step: int64 [batch, length + 1]; targets are the inputs one token on."""
        rows = []
        for source, window in zip(self.sources[step], self.windows[step], strict=True):
            array = arrays[self.names[source]]
            start = min(int(window) * length, len(array) - length - 1)
            rows.append(array[start : start + length + 1].astype(np.int64))
        return np.stack(rows)


def plan_batches(recipe: Recipe, arrays: dict[str, npt.NDArray[np.uint16]]) -> Plan:
    """Draw every sequence of the run.

    Arrays are drawn by the stage's mixture; the windows of an array come in shuffled order, none twice before all were.

    Raises:
        InvalidCall: a mixture names no array that is there, or an array is shorter than one sequence.
    """
    random = np.random.default_rng(recipe.seed)
    names = tuple(sorted(arrays))
    bounds = _stage_bounds(recipe)
    sources = np.zeros((recipe.steps, recipe.batch), np.uint8)
    stage_of_step = np.zeros(recipe.steps, np.int32)
    for index, stage in enumerate(recipe.stages):
        steps = slice(bounds[index], bounds[index + 1])
        stage_of_step[steps] = index
        weights = _weights(stage, names)
        sources[steps] = random.choice(len(names), size=sources[steps].shape, p=weights)
    windows = np.zeros_like(sources, dtype=np.int32)
    for index, name in enumerate(names):
        here = sources == index
        needed, available = int(here.sum()), (len(arrays[name]) - 1) // recipe.length
        if not needed:
            continue
        if not available:
            raise InvalidCall(f"{name} holds {len(arrays[name])} tokens: fewer than a sequence of {recipe.length}")
        epochs = [random.permutation(available) for _ in range(-(-needed // available))]
        windows[here] = np.concatenate(epochs)[:needed]
    return Plan(names, sources, windows, stage_of_step, bounds)


def learning_rate(recipe: Recipe, plan: Plan, step: int) -> float:
    """Linear warm-up from 0 to the stage's peak, then linear decay to its final rate, as phi-1."""
    index = int(plan.stage_of_step[step])
    stage = recipe.stages[index]
    steps = plan.stage_start[index + 1] - plan.stage_start[index]
    done = step - plan.stage_start[index]
    warmup = round(stage.warmup * steps)
    if done < warmup:
        return stage.peak_rate * (done + 1) / warmup
    return stage.peak_rate + (stage.final_rate - stage.peak_rate) * (done - warmup) / max(1, steps - warmup)


def _stage_bounds(recipe: Recipe) -> tuple[int, ...]:
    shares = np.cumsum([stage.share for stage in recipe.stages])
    return (0, *(round(float(share) * recipe.steps) for share in shares))


def _weights(stage: Stage, names: tuple[str, ...]) -> npt.NDArray[np.float64]:
    """The mixture over the arrays that are there: without a corpus, the rest takes its part."""
    weights = np.array([stage.mixture.get(name, 0.0) for name in names])
    if weights.sum() <= 0:
        raise InvalidCall(f"stage {stage.name} draws from {', '.join(stage.mixture)}: none of them has data")
    normalized: npt.NDArray[np.float64] = weights / weights.sum()
    return normalized
