"""What a suggestion took, seen from the key that asked for it, and what suggestions took in this session."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge_phi.measure.percentile import percentile

if TYPE_CHECKING:
    from edge_phi.completion.suggestion import Suggestion

_KEPT = 500  # suggestions whose times are kept for the percentiles
_BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Course:
    """The stages of one suggestion, in milliseconds; those of the model are None where it was not called."""

    pause_ms: float  # from the last key to asking
    queued_ms: float  # from asking to the model's beginning; 0 where it had begun before
    prefill_ms: float | None  # from there to the first token of all
    first_ms: float | None  # from the last key to the first new token; None if none came
    total_ms: float  # from the last key to the end


def course_of(key_s: float, asked_s: float, ended_s: float, suggestion: Suggestion, *, known: bool) -> Course:
    """The course of a suggestion that was there at `ended_s`; times in seconds of one clock.

    Args:
        key_s: when the last key came.
        asked_s: when the suggestion was asked for.
        ended_s: when the engine had all of it.
        suggestion: with the engine's own timing, which ends then.
        known: it came without a model call.
    """
    pause_ms, total_ms = (asked_s - key_s) * 1e3, (ended_s - key_s) * 1e3
    if known:
        return Course(pause_ms, 0.0, None, total_ms, total_ms)
    timing = suggestion.timing
    began_ms = total_ms - timing.total_ms  # negative where it was computed ahead
    first_ms = None if timing.ttft_ms is None else max(pause_ms, began_ms + timing.ttft_ms)
    return Course(pause_ms, max(0.0, began_ms - pause_ms), timing.prefill_ms, first_ms, total_ms)


@dataclass
class History:
    """The courses of this session's suggestions."""

    courses: deque[Course] = field(default_factory=lambda: deque(maxlen=_KEPT))

    @property
    def first_ms(self) -> list[float]:
        """Every time to the first new token, in order."""
        return [course.first_ms for course in self.courses if course.first_ms is not None]

    @property
    def total_ms(self) -> list[float]:
        """Every time to the end, in order."""
        return [course.total_ms for course in self.courses]


def p50_p95(values: Sequence[float]) -> tuple[float, float] | None:
    """The median and the 95th percentile; None of nothing."""
    if not values:
        return None
    return percentile(values, 50), percentile(values, 95)


def sparkline(values: Sequence[float], width: int) -> str:
    """The last `width` values as bars, the highest full; never longer than there are values."""
    last = list(values)[-width:] if width > 0 else []
    highest = max(last, default=0.0) or 1.0
    return "".join(_BARS[min(len(_BARS) - 1, int(max(0.0, value) / highest * len(_BARS)))] for value in last)
