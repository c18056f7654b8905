"""One thread owns the model; what it is asked while it works, and what it does unasked."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

import pytest

from edge_phi.completion import worker as worker_module
from edge_phi.completion.decode import GREEDY, DecodeSettings, Step
from edge_phi.completion.session import Suggestion, Timing
from edge_phi.completion.worker import Event, Finished, Loaded, Progress, Stopped, Worker
from edge_phi.errors import EdgePhiError


class HandSession:
    """Writes `document` on, one character each time it is let go on; says what it was asked."""

    load_ms = 1.0

    def __init__(self, document: str, most: int = 12) -> None:
        self.document, self.most = document, most
        self.started: queue.Queue[str] = queue.Queue()
        self.steps = threading.Semaphore(0)
        self.free = threading.Event()
        self.cancelled: list[str] = []
        self.broken = False
        self.idle = 0
        self.resting = threading.Event()
        self.disturbed = threading.Event()

    def complete(
        self,
        before: str,
        after: str = "",
        *,
        settings: DecodeSettings = GREEDY,
        cancel: threading.Event | None = None,
        on_step: Callable[[Step], None] | None = None,
    ) -> Suggestion:
        assert cancel and on_step
        if before == worker_module.WARM_UP_PROMPT:
            return self._suggestion("", "stop")
        self.started.put(before)
        if self.broken:
            raise EdgePhiError("the model is broken")
        text = ""
        if settings.temperature:
            return self._suggestion(f"variant {settings.seed}", "stop")
        rest = self.document[len(before) :] if self.document.startswith(before) else "?" * self.most
        for character in rest[: self.most]:
            while not self.free.is_set() and not self.steps.acquire(timeout=0.002) and not cancel.is_set():
                pass
            if cancel.is_set():
                self.cancelled.append(before)
                return self._suggestion(text, "cancelled")
            text += character
            on_step(Step(0, character, 0))
        return self._suggestion(text, "stop")

    def use_idle_time(self, cancel: threading.Event) -> None:
        self.idle += 1
        self.resting.set()
        if cancel.wait(10):
            self.disturbed.set()

    def close(self) -> None:
        self.free.set()

    def _suggestion(self, text: str, finish: str) -> Suggestion:
        return Suggestion(text, len(text), finish, "m", "scripted", "float32", Timing(1, 2, 3, 4, 5, 6))  # type: ignore[arg-type]


class Desk:
    """A worker over a `HandSession`, and what it reported."""

    def __init__(self, session: HandSession, *, ahead: bool = True) -> None:
        self.session = session
        self.reports: queue.Queue[Event] = queue.Queue()
        self.worker = Worker(lambda: session, self.reports.put, "test worker", ahead=ahead)
        self.worker.start()
        assert self.next() == Loaded(1.0)

    def next(self) -> Event:
        return self.reports.get(timeout=30)

    def finished(self) -> Finished:
        while not isinstance(event := self.next(), Finished):
            assert isinstance(event, Progress)
        return event

    def started(self) -> str:
        return self.session.started.get(timeout=30)

    def step(self, count: int, flight_text: int) -> None:
        """Let the session write `count` characters and wait until the flight has `flight_text`."""
        for _ in range(count):
            self.session.steps.release()
        self.until(lambda: self.worker._flight is not None and len(self.worker._flight.text) >= flight_text)

    def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(10_000):
            if condition():
                return
            threading.Event().wait(0.002)
        pytest.fail("waited in vain")


DOCUMENT = "def area(width, height):\n    return width * height\n\n\nprint(area(3, 4))\n"


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(worker_module, "_AHEAD_AFTER_S", 3600.0)  # what is done unasked has tests of its own
    monkeypatch.setattr(worker_module, "_IDLE_AFTER_S", 3600.0)
    desk = Desk(HandSession(DOCUMENT))
    yield desk
    desk.worker.close()


def ask(desk: Desk, ticket: int, place: int, after: str = "") -> None:
    desk.worker.request(ticket, DOCUMENT[:place], after)


def test_typing_a_suggestion_along_needs_no_model(desk: Desk) -> None:
    desk.session.free.set()
    ask(desk, 1, 4)
    first = desk.finished()
    assert (first.suggestion.text, first.known) == (DOCUMENT[4:16], False)
    for ticket, place in ((2, 5), (3, 6), (4, 15), (5, 5), (6, 4)):  # on, on, on, and back
        ask(desk, ticket, place)
        answer = desk.finished()
        assert (answer.ticket, answer.suggestion.text, answer.known) == (ticket, DOCUMENT[place:16], True)
        assert answer.suggestion.timing.decode_tokens_per_s is None
    assert desk.session.started.qsize() == 1


def test_the_stream_is_kept_while_what_is_typed_agrees_with_it(desk: Desk) -> None:
    ask(desk, 1, 4)
    assert desk.started() == DOCUMENT[:4]
    desk.worker.follow(DOCUMENT[:5], "")  # before anything has come
    ask(desk, 2, 5)
    assert desk.next() == Stopped(1)
    desk.step(3, 3)
    ask(desk, 3, 6)
    assert desk.next() == Stopped(2)
    assert desk.next() == Progress(3, DOCUMENT[6:7], 3), "what is there is told at once"
    ask(desk, 4, 9)  # faster than the model
    assert desk.next() == Stopped(3)
    desk.session.free.set()
    answer = desk.finished()
    assert (answer.ticket, answer.suggestion.text, answer.known) == (4, DOCUMENT[9:16], False)
    assert desk.session.started.empty() and desk.session.cancelled == []


def test_a_stream_that_departs_from_what_is_typed_is_cancelled_and_a_new_one_begins(desk: Desk) -> None:
    ask(desk, 1, 4)
    desk.started()
    desk.worker.request(2, DOCUMENT[:4] + "b", "")  # it may agree: nothing has come
    assert desk.next() == Stopped(1)
    desk.session.steps.release()
    assert desk.started() == DOCUMENT[:4] + "b"
    assert desk.session.cancelled == [DOCUMENT[:4]]
    desk.session.free.set()
    answer = desk.finished()
    assert (answer.ticket, answer.suggestion.text) == (2, "?" * 12)


def test_a_stream_that_ends_before_what_was_typed_begins_again(desk: Desk) -> None:
    ask(desk, 1, 4)
    desk.started()
    ask(desk, 2, 20)
    assert desk.next() == Stopped(1)
    desk.session.free.set()
    assert desk.started() == DOCUMENT[:20]
    assert desk.finished().suggestion.text == DOCUMENT[20:32]


@pytest.mark.parametrize("change", ["elsewhere", "after", "cancel"])
def test_what_no_longer_serves_is_cancelled_at_once(desk: Desk, change: str) -> None:
    ask(desk, 1, 4)
    desk.started()
    desk.step(2, 2)
    if change == "elsewhere":
        desk.worker.follow(DOCUMENT[:4] + "x", "")
    elif change == "after":
        desk.worker.follow(DOCUMENT[:4], ")")
    else:
        desk.worker.cancel()
    assert desk.next() == Stopped(1)
    desk.until(lambda: desk.session.cancelled == [DOCUMENT[:4]])
    assert desk.reports.empty()


def test_of_requests_that_wait_the_last_is_answered_and_each_ends_once(desk: Desk) -> None:
    ask(desk, 1, 4)
    desk.started()
    desk.worker.request(2, "x", "")
    desk.worker.follow("x", "")  # the cursor's own message about the same place changes nothing
    desk.worker.request(3, "y", "")
    assert [desk.next(), desk.next()] == [Stopped(1), Stopped(2)]
    assert desk.started() == "y"
    desk.session.free.set()
    assert desk.finished().ticket == 3
    assert desk.reports.empty()


def test_a_failure_is_told_and_the_next_request_answered(desk: Desk) -> None:
    desk.session.broken = True
    ask(desk, 1, 4)
    assert desk.next() == Stopped(1, "the model is broken")
    desk.session.broken = False
    desk.session.free.set()
    ask(desk, 2, 4)
    assert desk.finished().suggestion.text == DOCUMENT[4:16]


def test_a_session_that_is_only_timed_computes_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "_AHEAD_AFTER_S", 0.0)
    monkeypatch.setattr(worker_module, "_IDLE_AFTER_S", 0.0)
    desk = Desk(HandSession(DOCUMENT), ahead=False)
    desk.session.free.set()
    for ticket in (1, 2):
        ask(desk, ticket, 4)
        assert not desk.finished().known
    desk.worker.close()
    assert [desk.started(), desk.started()] == [DOCUMENT[:4]] * 2
    assert desk.session.started.empty() and desk.session.idle == 0


# -- unasked


def test_what_comes_after_accepting_is_there_before_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "_AHEAD_AFTER_S", 0.0)
    monkeypatch.setattr(worker_module, "_IDLE_AFTER_S", 3600.0)
    desk = Desk(HandSession(DOCUMENT))
    desk.session.free.set()
    ask(desk, 1, 4)
    assert desk.finished().suggestion.text == DOCUMENT[4:16]
    assert [desk.started(), desk.started()] == [DOCUMENT[:4], DOCUMENT[:16]]
    desk.until(lambda: desk.worker._flight is None)
    ask(desk, 2, 16)
    accepted = desk.finished()
    assert (accepted.suggestion.text, accepted.known) == (DOCUMENT[16:28], True)
    assert desk.started() == DOCUMENT[:28], "and so on"
    desk.worker.close()


def test_what_is_computed_ahead_goes_on_while_its_suggestion_is_typed_and_stops_when_another_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_module, "_AHEAD_AFTER_S", 0.0)
    monkeypatch.setattr(worker_module, "_IDLE_AFTER_S", 3600.0)
    desk = Desk(HandSession(DOCUMENT))
    ask(desk, 1, 4)
    desk.started()
    desk.session.steps.release(12)
    desk.finished()
    assert desk.started() == DOCUMENT[:16]
    desk.worker.follow(DOCUMENT[:5], "")
    ask(desk, 2, 5)
    assert desk.finished().known
    assert desk.session.cancelled == []
    ask(desk, 3, 16)  # accepted: the stream under way is now what is waited for
    desk.session.steps.release(12)
    answer = desk.finished()
    assert (answer.ticket, answer.suggestion.text, answer.known) == (3, DOCUMENT[16:28], False)
    assert desk.started() == DOCUMENT[:28]
    desk.worker.follow(DOCUMENT[:16] + "x", "")
    desk.until(lambda: desk.session.cancelled == [DOCUMENT[:28]])
    desk.worker.close()


def test_where_the_cursor_rests_the_text_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "_AHEAD_AFTER_S", 0.0)
    monkeypatch.setattr(worker_module, "_IDLE_AFTER_S", 3600.0)
    desk = Desk(HandSession(DOCUMENT))
    desk.worker.follow(DOCUMENT[:30], "")
    assert desk.started() == DOCUMENT[:30]
    desk.worker.follow(DOCUMENT[:40], "")  # a key: at once
    assert desk.started() == DOCUMENT[:40]
    assert desk.session.cancelled == [DOCUMENT[:30]]
    desk.session.steps.release()
    desk.until(lambda: desk.session.cancelled == [DOCUMENT[:30], DOCUMENT[:40]])  # a token is enough
    ask(desk, 1, 40)
    assert desk.started() == DOCUMENT[:40]
    desk.session.free.set()
    assert desk.finished().suggestion.text == DOCUMENT[40:52]
    desk.worker.close()


def test_idle_time_is_used_once_and_a_key_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "_AHEAD_AFTER_S", 0.0)
    monkeypatch.setattr(worker_module, "_IDLE_AFTER_S", 0.0)
    desk = Desk(HandSession("", most=0))
    assert desk.session.resting.wait(30)
    desk.session.resting.clear()
    desk.worker.follow("x", "")
    assert desk.session.disturbed.wait(30)
    assert desk.session.resting.wait(30), "after the key it is idle again"
    desk.worker.close()


def test_a_variant_is_drawn_anew_and_never_taken_for_what_is_most_probable(desk: Desk) -> None:
    desk.session.free.set()
    ask(desk, 1, 4)
    greedy = desk.finished().suggestion.text
    for ticket, variant in ((2, 7), (3, 8), (4, 7)):
        desk.worker.request(ticket, DOCUMENT[:4], "", variant)
        answer = desk.finished()
        assert (answer.ticket, answer.suggestion.text, answer.known) == (ticket, f"variant {variant}", False)
    ask(desk, 5, 4)
    assert desk.finished().suggestion.text == greedy
