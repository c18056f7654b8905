"""Programs that no sandbox may let pass, and what must be true of each afterwards.

Every one is asked for `f` with `f(1) == 2`, `f(2) == 3` and `f([3]) == [3, 4]`, and none computes that. A program that
tries to learn a secret makes `f` return it, and its tests pass if it did.
"""

from __future__ import annotations

from . import channel, files, passing, reach, resources
from .program import PRELUDE, Hostile

__all__ = ["CONFINED", "PRELUDE", "PROGRAMS", "Hostile"]

PROGRAMS: tuple[Hostile, ...] = (
    *passing.PROGRAMS,
    *channel.PROGRAMS,
    *resources.PROGRAMS,
    *files.PROGRAMS,
    *reach.PROGRAMS,
)
# Those that walls must hold; the others fail because no test is where they are.
CONFINED = tuple(one for one in PROGRAMS if one not in passing.PROGRAMS and one not in channel.PROGRAMS)
