from __future__ import annotations

import queue
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from edge_phi.completion import worker as worker_module
from edge_phi.errors import InvalidFile
from edge_phi.tui.engine import Engine, Event, Finished, Loaded, LoadFailed, Progress, Stopped

if TYPE_CHECKING:
    from conftest import ScriptedSession, Stage


class Listener:
    """An engine and what it reported."""

    def __init__(self, session: ScriptedSession) -> None:
        self.reports: queue.Queue[Event] = queue.Queue()
        self.engine = Engine(session.open, self.reports.put, "test engine")

    def next(self) -> Event:
        return self.reports.get(timeout=30)


def test_it_loads_answers_and_closes(stage: Stage) -> None:
    stage.say("a", "b")
    listener = Listener(stage.quantized)
    listener.engine.request(7, "x", "y")
    assert listener.next() == Loaded(100.0)
    finished = listener.next()
    while isinstance(finished, Progress):
        finished = listener.next()
    assert isinstance(finished, Finished) and (finished.ticket, finished.suggestion.text) == (7, "ab")
    listener.engine.close()
    assert stage.quantized.closed and stage.quantized.prompts == [("x", "y")]


def test_a_fast_stream_is_reported_seldom(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0

    def perf_counter_ns() -> int:
        nonlocal now
        now += 1_000_000  # a token every millisecond
        return now

    monkeypatch.setattr(worker_module, "time", SimpleNamespace(perf_counter_ns=perf_counter_ns, monotonic=lambda: 0.0))
    stage.say(*"x" * 1000)
    listener = Listener(stage.quantized)
    listener.engine.request(1, "x", "")
    reports = [listener.next()]
    while not isinstance(reports[-1], Finished):
        reports.append(listener.next())
    listener.engine.close()
    tokens = [report.tokens for report in reports if isinstance(report, Progress)]
    assert tokens[0] == 100 and len(tokens) == 10  # 1000 tokens in a second
    assert all(report.text == "x" * report.tokens for report in reports if isinstance(report, Progress))


def test_a_new_request_cancels_the_one_at_work_and_replaces_the_waiting_one(stage: Stage) -> None:
    stage.say("a")
    stage.quantized.gate.clear()
    listener = Listener(stage.quantized)
    listener.engine.request(1, "one", "")
    assert isinstance(listener.next(), Loaded)
    while not stage.quantized.prompts:
        threading.Event().wait(0.001)
    stage.quantized.stubborn = True  # stays at work, so that the second request waits
    listener.engine.request(2, "two", "")
    listener.engine.request(3, "three", "")
    stage.quantized.gate.set()
    finished = []
    while 3 not in finished:
        report = listener.next()
        if isinstance(report, Finished):
            finished.append(report.ticket)
    listener.engine.close()
    assert [before for before, _ in stage.quantized.prompts] == ["one", "three"]


def test_cancelling_reaches_the_work(stage: Stage) -> None:
    stage.say("a")
    stage.quantized.gate.clear()
    listener = Listener(stage.quantized)
    listener.engine.request(1, "x", "")
    assert isinstance(listener.next(), Loaded)
    while not stage.quantized.prompts:
        threading.Event().wait(0.001)
    listener.engine.cancel()
    assert listener.next() == Stopped(1)
    listener.engine.close()


def test_a_load_that_fails_is_told_in_a_line(stage: Stage) -> None:
    stage.quantized.load_error = InvalidFile("m.gguf: truncated: get it again")
    listener = Listener(stage.quantized)
    listener.engine.start()
    assert listener.next() == LoadFailed("m.gguf: truncated: get it again")
    listener.engine.request(1, "x", "")  # there is nobody to answer, and nothing breaks
    listener.engine.close()


def test_an_engine_that_raises_answers_the_next_request(stage: Stage) -> None:
    listener = Listener(stage.quantized)
    stage.quantized.answers = [None, ["fine"]]  # type: ignore[list-item]
    listener.engine.request(1, "x", "")
    assert isinstance(listener.next(), Loaded)
    stopped = listener.next()
    assert isinstance(stopped, Stopped) and stopped.line.startswith("TypeError: ")
    listener.engine.request(2, "x", "")
    report = listener.next()
    while isinstance(report, Progress):
        report = listener.next()
    assert isinstance(report, Finished) and report.suggestion.text == "fine"
    listener.engine.close()


def test_closing_does_not_wait_for_an_answer(stage: Stage) -> None:
    stage.say("a")
    stage.quantized.gate.clear()
    listener = Listener(stage.quantized)
    listener.engine.request(1, "x", "")
    listener.engine.close()
    assert stage.quantized.closed
