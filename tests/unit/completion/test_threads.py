"""The number of threads that is found best is the one that a scripted engine is fastest with."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
from scripted import LearnedRuntime

from edge_phi.completion import measured
from edge_phi.completion import threads as threads_module
from edge_phi.completion.session import Session
from edge_phi.completion.threads import measure_threads, store_threads, stored_threads
from edge_phi.errors import Cancelled
from edge_phi.runtimes import RuntimeInfo
from edge_phi.tokenizer import load_tokenizer


class Clocked:
    """An engine whose calls take `ms[threads]` a token on a clock of its own."""

    def __init__(self, ms: Sequence[float], context_length: int = 256) -> None:
        self.ms = dict(enumerate(ms, start=1))
        self.info = RuntimeInfo("clocked", "q4_0", 0, 100, context_length, len(ms))
        self.cache: list[int] = []
        self.now = 0
        self.tried: list[int] = []
        self.calls = 0

    @property
    def length(self) -> int:
        return len(self.cache)

    def extend(
        self, tokens: Sequence[int], *, all_logits: bool = False, cancel: threading.Event | None = None
    ) -> npt.NDArray[np.float32]:
        if cancel is not None and cancel.is_set():
            raise Cancelled("cancelled")
        self.calls += 1
        self.cache += tokens
        assert len(self.cache) <= self.info.context_length
        # Now and then somebody else has the processor.
        self.now += int(1e6 * self.ms[self.info.threads] * len(tokens) * (9 if self.calls % 41 == 0 else 1))
        return np.zeros((len(tokens) if all_logits else 1, 100), np.float32)

    def rewind(self, length: int) -> None:
        assert 0 <= length <= len(self.cache)
        del self.cache[length:]

    def use_threads(self, threads: int) -> None:
        self.tried.append(threads)
        self.info = dataclasses.replace(self.info, threads=threads)

    def close(self) -> None: ...


def best(engine: Clocked, monkeypatch: pytest.MonkeyPatch, cancel: threading.Event | None = None) -> int:
    monkeypatch.setattr(threads_module, "time", SimpleNamespace(perf_counter_ns=lambda: engine.now))
    return measure_threads(engine, len(engine.ms), cancel)


@pytest.mark.parametrize(
    ("ms", "expected"),
    [([9, 5], 2), ([5, 9], 1), ([9, 5, 4, 4.1], 3), ([4.1, 4.05, 4.05, 4], 1), ([3], 1), ([9, 5, 3, 2.9], 4)],
)
def test_the_fewest_that_are_as_fast_as_any(ms: list[float], expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Clocked(ms)
    engine.extend([1, 2, 3])
    assert best(engine, monkeypatch) == expected
    assert (engine.cache, engine.info.threads) == ([1, 2, 3], len(ms)), "all is left as it was"


def test_of_many_cores_some_numbers_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Clocked([10.0] * 11 + [6.0] + [5.0] * 20)
    assert best(engine, monkeypatch) == 16
    assert set(engine.tried) == {1, 8, 16, 24, 32}


def test_a_key_ends_it_and_the_threads_are_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, cancel = Clocked([1, 2]), threading.Event()
    monkeypatch.setattr(engine, "use_threads", lambda threads: (Clocked.use_threads(engine, threads), cancel.set()))
    with pytest.raises(Cancelled):
        best(engine, monkeypatch, cancel)
    assert (engine.cache, engine.info.threads) == ([], 2)


def test_what_was_found_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured.platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path))
    assert stored_threads(("m",), 4) is None
    store_threads(("m",), 4, 3)
    assert (stored_threads(("m",), 4), stored_threads(("m",), 2), stored_threads(("n",), 4)) == (3, None, None)
    (path,) = tmp_path.rglob("*.json")
    for damage in ("", "0", "5", "true", "2.0", "[2]", "{}", "[" * 50_000):
        path.write_text(damage)
        assert stored_threads(("m",), 4) is None


def test_a_session_finds_its_number_once_and_not_while_others_are_busy(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured.platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path))
    tokenizer = load_tokenizer(tiny_checkpoint)

    class Threaded(LearnedRuntime):
        """Twice as slow with two threads; as many logits as are wanted."""

        now = 0

        def extend(
            self, tokens: Sequence[int], *, all_logits: bool = False, cancel: threading.Event | None = None
        ) -> npt.NDArray[np.float32]:
            self.now += 1_000_000 * self.info.threads * len(tokens)
            logits = super().extend(tokens, cancel=cancel)
            return np.repeat(logits, len(tokens), 0) if all_logits else logits

        def use_threads(self, threads: int) -> None:
            self.info = dataclasses.replace(self.info, threads=threads)

    runtime = Threaded(tokenizer, "x = 1\n")
    runtime.use_threads(2)
    monkeypatch.setattr(threads_module, "time", SimpleNamespace(perf_counter_ns=lambda: runtime.now))
    session = Session(runtime, tokenizer, model="m", load_ms=0, machine=("m",), most_threads=2)
    busy = 0.9
    session._others = SimpleNamespace(busy_cores=lambda: busy)  # type: ignore[assignment]
    session.use_idle_time(threading.Event())
    assert (stored_threads(("m",), 2), runtime.info.threads) == (None, 2)
    busy = 0.1
    session.use_idle_time(threading.Event())
    assert (stored_threads(("m",), 2), runtime.info.threads) == (1, 1)
    session.complete("x = ")
    assert runtime.info.threads == 1, "and stays so"
