"""Percentiles of a few hundred times, without numpy: who shows them needs no engine."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which `percent` of `values` lie, interpolated linearly between the two nearest ranks.

    Definition 7 of Hyndman and Fan (1996), which is numpy's default. `values` must not be empty.
    """
    ordered = sorted(values)
    rank = (len(ordered) - 1) * percent / 100
    below = math.floor(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)
