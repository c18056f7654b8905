"""Which combinations to ask about: every one once before any comes again, and the first ones spread over all."""

from __future__ import annotations

import math
from collections.abc import Sequence

_GOLDEN = (math.sqrt(5) - 1) / 2  # steps of this share of a circle leave no large gap, however many are taken


def draw(number: int, choices: Sequence[Sequence[str]], *, seed: int) -> tuple[tuple[str, ...], int]:
    """The combination with a number: one of each of the choices, and how often it has come before.

    Numbers from 0 up walk through all combinations by steps that share no divisor with how many there are, from a
    place that the seed gives. To ask for more later is to go on walking.
    """
    total = math.prod(map(len, choices))
    step = max(1, round(total * _GOLDEN))
    while math.gcd(step, total) != 1:
        step += 1
    at = (number * step + seed * round(total / math.e)) % total
    drawn = []
    for choice in choices:
        at, index = divmod(at, len(choice))
        drawn.append(choice[index])
    return tuple(drawn), number // total
