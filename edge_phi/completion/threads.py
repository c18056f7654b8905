"""How many threads an engine computes with: measured once for each model, engine and machine, and kept.

More are not always faster: those of one core share it, slow cores hold up fast ones, and where threads wait for one
another each costs a little. While others keep cores busy there are fewer still: `Session` makes way.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol

from ..runtimes import AdjustsThreads, Runtime
from .curve import appending
from .measured import Key, keep, recall

_KIND = "threads"

_FEW = 4  # up to so many threads each number is tried; of more only some
_ROUNDS = 3
_READ, _WRITTEN = 16, 8  # tokens at once and one by one: about what a suggestion is while somebody types
_WORTH = 1.03  # what more threads have to gain: a core that is left alone is one for the editor


class Adjustable(Runtime, AdjustsThreads, Protocol):
    """A runtime whose number of threads can be changed while it is loaded."""


def measure_threads(runtime: Adjustable, most: int, cancel: threading.Event | None = None) -> int:
    """The fewest threads, 1 to `most`, with which a suggestion is made about as soon as with any other number.

    What is in the cache stays there, unless it fills the context, and the number of threads is as it was before. Takes
    as long as some 30 tokens one by one, and as many more that are read, with each number that is tried.

    Raises:
        Cancelled: `cancel` was set.
        EdgePhiError: the engine fails.
    """
    tried = _tried(most)
    least = dict.fromkeys(tried, float("inf"))
    now = runtime.info.threads
    try:
        with appending(runtime, _READ + _WRITTEN, cancel) as (before, more):
            for _ in range(_ROUNDS):
                for count in tried:
                    runtime.use_threads(count)
                    runtime.extend(more[:1], cancel=cancel)  # wakes them
                    runtime.rewind(before)
                    start = time.perf_counter_ns()
                    runtime.extend(more[:_READ], cancel=cancel)
                    for token in more[_READ:]:
                        runtime.extend([token], cancel=cancel)
                    # The least of the rounds: what else the machine does only ever adds to it.
                    least[count] = min(least[count], time.perf_counter_ns() - start)
                    runtime.rewind(before)
    finally:
        runtime.use_threads(now)
    best = min(least.values())
    return next(count for count in tried if least[count] <= _WORTH * best)


def stored_threads(key: Key, most: int) -> int | None:
    """The number that was found best of those up to `most`; None if there is none, or what is there cannot be one."""
    threads = recall(_KIND, (*key, most))
    return threads if type(threads) is int and 1 <= threads <= most else None


def store_threads(key: Key, most: int, threads: int) -> None:
    """Keep what was found best of the numbers up to `most`."""
    keep(_KIND, (*key, most), threads)


def _tried(most: int) -> list[int]:
    """Numbers of threads up to `most`, the fewest first."""
    return sorted(set(range(1, most + 1) if most <= _FEW else (1, most // 4, most // 2, 3 * most // 4, most)))
