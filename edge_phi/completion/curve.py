"""The append curve of a runtime: measured once for each model, engine, number of threads and machine, and kept."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Iterator

import numpy as np

from ..runtimes import Runtime, RuntimeInfo
from .measured import Key, keep, recall
from .speculate import LONGEST_DRAFT, AppendCurve

_KIND = "append-curves"

_SIZES = (1, 2, 3, 4, 6, LONGEST_DRAFT + 1)  # tokens that are timed; those between are interpolated
_ROUNDS = 5
_BEFORE = 128  # tokens in the cache while it is measured: what the cache adds is the same for few tokens as for one
_TIE_FACTOR = 4  # of the largest difference seen in a few positions: a larger one may come in others
_LEAST_TIE = 1e-4


def measure_curve(runtime: Runtime, cancel: threading.Event | None = None) -> AppendCurve:
    """Time appends of a few sizes, the least of interleaved rounds.

    What is in the cache stays there, unless it fills the context. Takes as long as some 130 tokens one by one and,
    where little is in the cache, a prompt of 128.

    Raises:
        Cancelled: `cancel` was set.
        EdgePhiError: the engine fails.
    """
    with appending(runtime, max(_SIZES), cancel) as (before, more):
        times: dict[int, list[float]] = {size: [] for size in _SIZES}
        rows = {}
        for _ in range(_ROUNDS):
            for size in _SIZES:
                start = time.perf_counter_ns()
                rows[size] = runtime.extend(more[:size], all_logits=True, cancel=cancel)
                times[size].append((time.perf_counter_ns() - start) / 1e6)
                runtime.rewind(before)
        alone = [runtime.extend([token], cancel=cancel)[0] for token in more]
    differences = [
        float(np.abs(row - one).max()) for several in rows.values() for row, one in zip(several, alone, strict=False)
    ]
    # The least of the rounds: what else the machine does only ever adds to it, and more tokens cost no less.
    least = np.maximum.accumulate([min(times[size]) for size in _SIZES])
    costs = np.interp(range(1, LONGEST_DRAFT + 2), _SIZES, least)
    return AppendCurve(tuple(costs.tolist()), max(_LEAST_TIE, _TIE_FACTOR * max(differences)))


def curve_of(runtime: Runtime, machine: Key) -> AppendCurve:
    """The curve that is kept, else one that is measured now, and kept.

    Args:
        runtime: loaded.
        machine: its `machine_key`.

    Raises:
        EdgePhiError: the engine fails.
    """
    key = curve_key(machine, runtime.info)
    if (curve := stored_curve(key)) is None:
        curve = measure_curve(runtime)
        store_curve(key, curve)
    return curve


@contextlib.contextmanager
def appending(runtime: Runtime, count: int, cancel: threading.Event | None) -> Iterator[tuple[int, list[int]]]:
    """A cache with some tokens in it, to time appends to: its length, and `count` tokens to append.

    At the end the cache is as it was, but for what would not leave room for as many.

    Raises:
        Cancelled: `cancel` was set.
        EdgePhiError: the engine fails.
    """
    room = runtime.info.context_length - count
    kept = min(runtime.length, room)
    before = max(kept, min(_BEFORE, room))
    tokens = [(7 * place) % runtime.info.vocab_size for place in range(before - kept + count)]
    runtime.rewind(kept)
    try:
        if before > kept:
            runtime.extend(tokens[: before - kept], cancel=cancel)
        yield before, tokens[before - kept :]
    finally:
        runtime.rewind(kept)


def curve_key(machine: Key, info: RuntimeInfo) -> Key:
    """Under which a loaded artifact's curve is kept; `machine` is its `machine_key`."""
    return (*machine, info.threads)


def stored_curve(key: Key) -> AppendCurve | None:
    """The curve that was kept under `key`; None if there is none, or what is there cannot be one."""
    document = recall(_KIND, key)
    try:
        ms, tie = [float(value) for value in document["ms"]], float(document["tie"])  # type: ignore[index]
    except (ValueError, TypeError, KeyError):
        return None
    if len(ms) != LONGEST_DRAFT + 1 or not all(0 < value < math.inf for value in ms) or not 0 <= tie < math.inf:
        return None
    return AppendCurve(tuple(ms), tie)


def store_curve(key: Key, curve: AppendCurve) -> None:
    """Keep a curve."""
    keep(_KIND, key, {"ms": curve.ms, "tie": curve.tie})
