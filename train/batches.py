"""Which tokens each step sees: a pure function of the recipe, the seed and the step, so resuming needs one integer.

How many sequences of each array a step draws follows from the stage's mixture; which ones, from a shuffle of the array
that is computed for each position alone, not stored: a run of a trillion tokens is planned as fast as one of a million.
Processes split a step's sequences between them, so any number of them sees the same batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_phi.errors import InvalidCall, InvalidFile

from .data.shards import TokenArray
from .recipe import Recipe, Stage

_ROUNDS = 4  # of the Feistel network: Luby and Rackoff 1988 show that four make a strong pseudorandom permutation


@dataclass(frozen=True)
class Plan:
    """What every step of a run draws from each array."""

    seed: int
    length: int
    arrays: tuple[TokenArray, ...]
    windows: tuple[npt.NDArray[np.int64], ...]  # for each array, sequences in its parts, cumulated: [parts + 1]
    drawn: npt.NDArray[np.int64]  # [steps + 1, arrays]: sequences drawn before each step

    def sequences(self, step: int) -> list[tuple[int, int]]:
        """Array and window in it of every sequence of a step, in the step's order."""
        counts = self.drawn[step + 1] - self.drawn[step]
        pairs: list[tuple[int, int]] = []
        for index, count in enumerate(counts):
            ordinals = self.drawn[step, index] + np.arange(count)
            pairs += [
                (index, int(window))
                for window in shuffled(ordinals, int(self.windows[index][-1]), seed=self.seed + 1_000_003 * index)
            ]
        order = np.random.Generator(np.random.Philox(key=[self.seed, step])).permutation(len(pairs))
        return [pairs[position] for position in order]

    def names(self, step: int) -> list[str]:
        """What to call a step's sequences when something is wrong with them."""
        return [f"{self.arrays[index].name}[{window}]" for index, window in self.sequences(step)]

    def batch(self, step: int, *, rank: int = 0, processes: int = 1, vocab_size: int) -> npt.NDArray[np.int64]:
        """Tokens of one process's share of a step: int64 [batch / processes, length + 1]; targets are one token on.

        Raises:
            InvalidFile: a token is beyond the vocabulary; the array and sequence are named.
        """
        pairs = self.sequences(step)
        share = len(pairs) // processes
        rows = np.empty((share, self.length + 1), np.int64)
        for row, (index, window) in enumerate(pairs[rank * share : (rank + 1) * share]):
            part = int(np.searchsorted(self.windows[index], window, side="right")) - 1
            start = (window - int(self.windows[index][part])) * self.length
            rows[row] = self.arrays[index].parts[part][start : start + self.length + 1]
            if rows[row].max() >= vocab_size:
                raise InvalidFile(
                    f"{self.arrays[index].name}, sequence {window}: token {rows[row].max()} is beyond the vocabulary "
                    f"of {vocab_size}: pack the text again"
                )
        return rows


def plan_batches(recipe: Recipe, arrays: dict[str, TokenArray]) -> Plan:
    """Lay out a run: the counts of each step are drawn here, its sequences when they are asked for.

    Raises:
        InvalidCall: a mixture names no array that is there, or an array is shorter than one sequence.
    """
    names = sorted(arrays)
    counts = np.zeros((recipe.steps, len(names)), np.int64)
    bounds = stage_bounds(recipe)
    for index, stage in enumerate(recipe.stages):
        steps = slice(bounds[index], bounds[index + 1])
        random = np.random.default_rng([recipe.seed, index])
        counts[steps] = random.multinomial(recipe.batch, _weights(stage, names), size=bounds[index + 1] - bounds[index])
    windows = []
    for index, name in enumerate(names):
        available = [max(0, len(part) - 1) // recipe.length for part in arrays[name].parts]
        if counts[:, index].any() and not sum(available):
            raise InvalidCall(f"{name} holds {len(arrays[name])} tokens: fewer than a sequence of {recipe.length}")
        windows.append(np.cumsum([0, *available]))
    drawn = np.concatenate([np.zeros((1, len(names)), np.int64), counts.cumsum(axis=0)])
    return Plan(recipe.seed, recipe.length, tuple(arrays[name] for name in names), tuple(windows), drawn)


def stage_at(recipe: Recipe, step: int) -> int:
    """The index of the stage that a step belongs to."""
    return int(np.searchsorted(stage_bounds(recipe), step, side="right")) - 1


def stage_bounds(recipe: Recipe) -> tuple[int, ...]:
    """The first step of each stage, and the number of steps at the end."""
    shares = np.cumsum([stage.share for stage in recipe.stages])
    return (0, *(round(float(share) * recipe.steps) for share in shares))


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up from 0 to the stage's peak, then linear decay to its final rate, as phi-1."""
    index, bounds = stage_at(recipe, step), stage_bounds(recipe)
    stage, steps, done = recipe.stages[index], bounds[index + 1] - bounds[index], step - bounds[index]
    warmup = round(stage.warmup * steps) if stage.warmup <= 1 else int(stage.warmup)
    if done < warmup:
        return stage.peak_rate * (done + 1) / warmup
    return stage.peak_rate + (stage.final_rate - stage.peak_rate) * (done - warmup) / max(1, steps - warmup)


def constant_after_warmup(stage: Stage) -> bool:
    """Whether a stage's rate at each of its steps is the same however many steps it has."""
    return stage.peak_rate == stage.final_rate and (stage.warmup == 0 or stage.warmup > 1)


def layout_until(recipe: Recipe, done: int) -> list[tuple[int, int, int | None]]:
    """What of a schedule's length decided the first `done` steps: their stages' bounds, and lengths if rates fall.

    Two recipes that differ in `steps` alone have learned the same after `done` steps if this is the same for both: what
    a stage's steps draw follows from their place in the stage.
    """
    bounds = stage_bounds(recipe)
    return [
        (first, min(last, done), None if constant_after_warmup(stage) else last - first)
        for stage, first, last in zip(recipe.stages, bounds, bounds[1:], strict=False)
        if first < done
    ]


def shuffled(ordinals: npt.NDArray[np.int64], size: int, *, seed: int) -> npt.NDArray[np.int64]:
    """Where a shuffle of `size` things has put each of them: every thing once, then all again in another order.

    A Feistel network over the next larger power of four, walked until it lands inside (Black and Rogaway 2002, "Ciphers
    with arbitrary finite domains", cycle walking).

    Args:
        ordinals: int64 [n], counted from 0; those from `size` on belong to later passes.
        size: how many things there are.
        seed: of the shuffle.

    Returns:
        int64 [n], each in [0, size).
    """
    passes, positions = np.divmod(ordinals, max(1, size))
    half = max(1, (max(1, size - 1).bit_length() + 1) // 2)
    keys = _scrambled(passes.astype(np.uint64) ^ np.uint64(seed % 2**64))
    values = positions.astype(np.uint64)
    outside = np.ones(len(values), bool)
    while outside.any():
        values[outside] = _feistel(values[outside], keys[outside], half)
        outside = values >= size
    return values.astype(np.int64)


def _feistel(values: npt.NDArray[np.uint64], keys: npt.NDArray[np.uint64], half: int) -> npt.NDArray[np.uint64]:
    mask = np.uint64(2**half - 1)
    left, right = values >> np.uint64(half), values & mask
    for step in range(_ROUNDS):
        left, right = right, left ^ (_scrambled(right ^ keys ^ np.uint64(step << 56)) & mask)
    joined: npt.NDArray[np.uint64] = (left << np.uint64(half)) | right
    return joined


def _scrambled(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64's output function (Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        values = values + np.uint64(0x9E3779B97F4A7C15)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: npt.NDArray[np.uint64] = values ^ (values >> np.uint64(31))
    return result


def _weights(stage: Stage, names: list[str]) -> npt.NDArray[np.float64]:
    """The mixture over the arrays that are there: without a corpus, the rest takes its part."""
    weights = np.array([stage.mixture.get(name, 0.0) for name in names])
    if weights.sum() <= 0:
        raise InvalidCall(
            f"stage {stage.name} draws from {', '.join(stage.mixture)}: none of them has data ({', '.join(names)} have)"
        )
    normalized: npt.NDArray[np.float64] = weights / weights.sum()
    return normalized
