"""A run that has to be over in so many minutes: its schedule is laid out anew for the speed that the machine shows.

As long as the rate is constant, how many steps follow changes nothing of what was done: warm up, go on at one rate, and
let it fall in a stage that begins when the time left asks for it (as in MiniCPM, arXiv 2404.06395, section 4). So only
the number of steps is fitted. It is in the state, the metrics and the lineage, and a run that is given it as `steps`
learns the same, bit for bit where sums have one order.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

from edge_phi.errors import InvalidCall

from .batches import constant_after_warmup, stage_bounds
from .recipe import Recipe

CLOSING_S = 15.0  # for the last validation and saving
_FIRST_STEPS = 10  # compiling and warming up are not the pace


class Budget:
    """Minutes, counted from when this was made.

    Args:
        minutes: in all, what comes before the first step included.
        clock: seconds that never go back.
    """

    def __init__(self, minutes: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        if not 0 < minutes < 1e6:
            raise InvalidCall(f"--minutes={minutes}: it must be more than 0")
        self._clock = clock
        self._end = clock() + 60 * minutes
        self._first: tuple[int, float] | None = None  # step and time from which on the pace is taken

    def check(self, recipe: Recipe) -> None:
        """Refuse a recipe whose number of steps cannot be fitted.

        Raises:
            InvalidCall: its rate falls from the beginning, or it stops before its schedule's end.
        """
        if recipe.stop:
            raise InvalidCall("--minutes and stop exclude each other: give --stop=0")
        if not constant_after_warmup(recipe.stages[0]):
            raise InvalidCall(
                f"recipe {recipe.name}: the rate falls from the beginning, so that the number of its steps has to be "
                "known: give --steps instead of --minutes, or a first stage with final_rate = peak_rate and its "
                "warmup as a number of steps"
            )

    def due(self, step: int, start: int) -> bool:
        """Whether the pace is to be looked at, beside the pauses that a run makes anyway; the call began at `start`."""
        return step - start in (_FIRST_STEPS, 2 * _FIRST_STEPS)

    def fitted(self, recipe: Recipe, done: int, start: int) -> Recipe:
        """The recipe with the steps that there is time for, once there is a pace; unchanged when its rate falls.

        Args:
            recipe: as it is laid out now.
            done: steps that are done.
            start: step at which this call began.
        """
        now = self._clock()
        if done < start + _FIRST_STEPS:
            return recipe
        if self._first is None:
            self._first = (done, now)
            return recipe
        since, then = self._first
        if done == since or done > stage_bounds(recipe)[1]:
            return recipe
        seconds_a_step = (now - then) / (done - since)
        more = int((self._end - CLOSING_S - now) / max(seconds_a_step, 1e-9))
        # Not fewer than let the rate fall from here on.
        steps = max(done + 1, done + more, math.floor(done / recipe.stages[0].share))
        while stage_bounds(replace(recipe, steps=steps))[1] < done:
            steps += 1
        return replace(recipe, steps=steps)
