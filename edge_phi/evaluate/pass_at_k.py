"""pass@k, how sure it is, and whether two models differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_RESAMPLES = 10_000
_CHUNK = 4_000_000  # numbers drawn at once: 32 MB


@dataclass(frozen=True)
class Estimate:
    """A mean over problems with its 95 % confidence interval; all are shares, 0 to 1."""

    value: float
    low: float
    high: float


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """Probability that one of `k` samples passes, estimated without bias from `samples`, of which `passed` did.

    1 - C(n-c, k) / C(n, k), as a product that neither overflows nor cancels (Chen et al. 2021, section 2.1).

    Raises:
        ValueError: not 0 <= passed <= samples and 1 <= k <= samples.
    """
    if not (0 <= passed <= samples and 1 <= k <= samples):
        raise ValueError(f"pass@{k} of {passed} in {samples}")
    if samples - passed < k:
        return 1.0
    return float(1 - np.prod(1 - k / np.arange(samples - passed + 1, samples + 1)))


def bootstrap(values: Sequence[float] | npt.NDArray[np.float64], *, seed: int = 0) -> Estimate:
    """The mean of `values`, one a problem, and the percentile interval of the means of 10,000 resamplings of problems.

    It says how far the score would move with other problems of the same kind (Efron and Tibshirani 1993, chapter 13).

    Raises:
        ValueError: there are no values.
    """
    array = np.asarray(values, np.float64)
    if not len(array):
        raise ValueError("no values")
    random = np.random.default_rng(seed)
    rows = max(1, _CHUNK // len(array))
    means = np.concatenate(
        [
            array[random.integers(len(array), size=(min(rows, _RESAMPLES - done), len(array)))].mean(axis=1)
            for done in range(0, _RESAMPLES, rows)
        ]
    )
    low, high = np.quantile(means, (0.025, 0.975))
    return Estimate(float(array.mean()), float(low), float(high))


def upper_bound_of_none(problems: int) -> float:
    """The share of problems a model that solved none of `problems` may still solve: the exact one-sided 95 % bound.

    The bootstrap knows only what it has seen, and gives an interval of no width there. For "all solved" it is the same
    distance from 1.
    """
    return float(1 - 0.05 ** (1 / problems))


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided p-value of the exact McNemar test: were the flips as likely either way? (Binomial, p = 1/2.)

    Args:
        only_first: problems that the first model alone solves.
        only_second: problems that the second model alone solves.
    """
    flips, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(flips, count) for count in range(fewer + 1))
    return float(min(1.0, 2 * tail / 2**flips))
