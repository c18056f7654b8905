"""A session behind one thread, for an editor: asking never waits, and the model works on one thing at a time.

What is asked is answered from known suggestions at once where that is possible. Else the suggestion that is being made
is kept as long as what the user types agrees with it; otherwise it is cancelled, its arithmetic included, and the new
one begins. Once a suggestion is there and the user stops to look at it, what would come after accepting it is computed
ahead. Nothing here knows of widgets: what happens is told to `report`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ..errors import Cancelled, EdgePhiError
from .cancel import Cancel
from .known import Known
from .settings import GREEDY, DecodeSettings

if TYPE_CHECKING:
    from .suggestion import Step, Suggestion

WARM_UP_PROMPT = "#"

_REPORT_INTERVAL_NS = 100_000_000  # text is reported at most ten times a second, however fast tokens come
_AHEAD_AFTER_S = 0.15  # without a key: typing has paused, for keys of a word come faster
_IDLE_AFTER_S = 1.0
_TEMPERATURE, _TOP_P = 0.8, 0.95  # of variants: those that Codex drew many samples with (Chen et al. 2021)
_CLOSE_SECONDS = 5.0  # a load cannot be interrupted; past this the daemon thread is left to the interpreter's exit


class SessionLike(Protocol):
    """What a worker needs of `edge_phi.completion.session.Session`."""

    @property
    def load_ms(self) -> float:
        """How long loading took."""

    def complete(
        self,
        before: str,
        after: str = "",
        *,
        settings: DecodeSettings = ...,
        cancel: Cancel | None = None,
        on_step: Callable[[Step], None] | None = None,
    ) -> Suggestion:
        """Continue `before`."""

    def close(self) -> None:
        """Free the model."""


@runtime_checkable
class UsesIdleTime(Protocol):
    """A session that has something to do while nobody types."""

    def use_idle_time(self, cancel: Cancel) -> None:
        """Do what makes later suggestions faster, until it is done or soon after `cancel` is set."""


@runtime_checkable
class MayEnd(Protocol):
    """A session that can be gone without having been closed, as one in a process of its own."""

    def when_it_ends(self, tell: Callable[[str], None]) -> None:
        """Call `tell` with a line that says why, from any thread, when it is gone; at once if it is.

        A call that is under way fails after that.
        """


@dataclass(frozen=True)
class Loaded:
    """The session is ready."""

    load_ms: float


@dataclass(frozen=True)
class LoadFailed:
    """There will be no session; `line` says why."""

    line: str


@dataclass(frozen=True)
class Progress:
    """All the text so far of the answer to request `ticket`."""

    ticket: int
    text: str
    tokens: int


@dataclass(frozen=True)
class Finished:
    """The whole answer to request `ticket`."""

    ticket: int
    suggestion: Suggestion
    known: bool = False  # it needed no model call; its timing is that of the look-up


@dataclass(frozen=True)
class Stopped:
    """Request `ticket` was cancelled or replaced, or it failed: then `line` says why."""

    ticket: int
    line: str = ""


@dataclass(frozen=True)
class Ended:
    """The session is gone, as when its process was killed, and nothing is answered any more; `line` says why."""

    line: str


Event = Loaded | LoadFailed | Progress | Finished | Stopped | Ended


@dataclass
class _Request:
    before: str
    after: str
    ticket: int
    variant: int = 0


@dataclass
class _Flight:
    """A suggestion that is being made between `before` and `after`, for the place `typed` characters further on."""

    before: str
    after: str
    ticket: int | None = None  # None: nobody has asked for it yet
    variant: int = 0
    typed: str = ""
    text: str = ""
    tokens: int = 0
    cancel: Cancel = field(default_factory=Cancel)
    reported_ns: int = field(default_factory=lambda: time.perf_counter_ns())

    def leads_to(self, before: str, after: str) -> bool:
        """Whether its text, as far as it is known, agrees with what was typed to come to this place."""
        return (
            not self.cancel.is_set()
            and not self.variant
            and after == self.after
            and before.startswith(self.before)
            and self._agrees(before[len(self.before) :])
        )

    def _agrees(self, typed: str) -> bool:
        return self.text.startswith(typed) or typed.startswith(self.text)

    @property
    def astray(self) -> bool:
        """Whether the text has departed from what was typed."""
        return not self._agrees(self.typed)

    @property
    def rest(self) -> str:
        """What there is of the text beyond what was typed."""
        return self.text[len(self.typed) :]


class Worker:
    """Owns a session in a thread of its own.

    Each request ends in one `Finished` or `Stopped` of its ticket. `report` is called from the worker's thread and, for
    what is known, from the asking one; it must not wait for another thread.
    """

    def __init__(
        self,
        open_session: Callable[[], SessionLike],
        report: Callable[[Event], None],
        name: str,
        *,
        ahead: bool = True,
    ) -> None:
        """Prepare; nothing is loaded yet.

        Args:
            open_session: called once, in the worker's thread.
            report: told what happens.
            name: of the thread.
            ahead: whether to answer from known suggestions and compute ahead. Without it each request is computed,
                and nothing else is: for a session that is only timed.
        """
        self._open_session = open_session
        self._report = report
        self._ahead = ahead
        self._changed = threading.Condition()  # reentrant
        self._known = Known()
        self._waiting: _Request | None = None
        self._flight: _Flight | None = None
        self._next_place: tuple[str, str] | None = None  # where the cursor would be once a suggestion is accepted
        self._unread_place: tuple[str, str] | None = None  # where the cursor is, and nothing was asked
        self._resting: Cancel | None = None  # cancels what the session does in idle time
        self._rested = False
        self._touched = time.monotonic()  # when the user last did something
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin loading, if that has not been asked before."""
        if self._thread.ident is None:
            self._thread.start()

    def request(self, ticket: int, before: str, after: str, variant: int = 0) -> None:
        """Ask for a suggestion between `before` and `after`; what was asked earlier is stopped, or serves this.

        Variant 0 is what the model holds to be most probable; the others are drawn at random, each number its own text.
        """
        start_ns = time.perf_counter_ns()
        with self._changed:
            self._touch()
            self._unread_place = None
            self._drop_requests()
            known = self._known.find(before, after) if self._ahead and not variant else None
            if known is not None:
                took_ms = (time.perf_counter_ns() - start_ns) / 1e6
                self._show(ticket, _as_known(known, took_ms), before, after, known=True)
            elif self._ahead and not variant and self._flight is not None and self._flight.leads_to(before, after):
                self._flight.ticket, self._flight.typed = ticket, before[len(self._flight.before) :]
                if self._flight.rest:
                    self._tell_progress(self._flight, start_ns)
            else:
                self._waiting = _Request(before, after, ticket, variant)
                self._cancel_flight()
            self._changed.notify()
        self.start()

    def follow(self, before: str, after: str) -> None:
        """The user changed the text or moved: whatever is being made for another place is stopped, with its request.

        Where the cursor then rests, the text before it is read, so that a suggestion there begins sooner.

        An editor that calls this with every key keeps the suggestion that is being made while its text agrees with
        what is typed.
        """
        with self._changed:
            self._touch()
            self._unread_place = before, after
            waiting, flight, place = self._waiting, self._flight, self._next_place
            if place is not None and not (place[0].startswith(before) and place[1] == after):
                self._next_place = None
            if waiting is not None:
                stays = (waiting.before, waiting.after) == (before, after)
            else:
                stays = flight is not None and (
                    flight.leads_to(before, after)
                    or (flight.ticket is None and flight.before.startswith(before) and flight.after == after)
                )
            if not stays:
                self._drop_requests()
                self._cancel_flight()
            self._changed.notify()

    def cancel(self) -> None:
        """Stop the work that is going on; returns at once."""
        with self._changed:
            self._touch()
            self._drop_requests()
            self._cancel_flight()
            self._next_place = None

    def close(self) -> None:
        """Stop, free the model and end the thread."""
        with self._changed:
            self.cancel()
            self._closing = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(_CLOSE_SECONDS)

    def _session_ended(self, line: str) -> None:
        """Told by the session, from whatever thread."""
        with self._changed:
            if self._closing:
                return
            self._drop_requests()
            self._closing = True
            self._report(Ended(line))
            self._changed.notify()

    # -- both threads, with the lock

    def _touch(self) -> None:
        self._touched, self._rested = time.monotonic(), False
        if self._resting is not None:
            self._resting.set()

    def _drop_requests(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._report(Stopped(waiting.ticket))
        if self._flight is not None and self._flight.ticket is not None:
            ticket, self._flight.ticket, self._flight.typed = self._flight.ticket, None, ""
            self._report(Stopped(ticket))

    def _cancel_flight(self) -> None:
        if self._flight is not None:
            self._flight.cancel.set()

    def _show(self, ticket: int, suggestion: Suggestion, before: str, after: str, *, known: bool) -> None:
        """Hand over an answer, and plan what comes after it; what is made for another place has become useless."""
        self._next_place = (before + suggestion.text, after) if self._ahead and suggestion.text else None
        if self._flight is not None and self._next_place != (self._flight.before, self._flight.after):
            self._cancel_flight()
        self._report(Finished(ticket, suggestion, known))

    def _tell_progress(self, flight: _Flight, now_ns: int) -> None:
        flight.reported_ns = now_ns
        if flight.ticket is not None:
            self._report(Progress(flight.ticket, flight.rest, flight.tokens))

    # -- the worker's thread

    def _run(self) -> None:
        try:
            session = self._open_session()
            # What the first call of a process and of a session sets up is charged to no suggestion.
            _begin(session, WARM_UP_PROMPT, "", Cancel())
        except Exception as error:
            self._report(LoadFailed(_reason(error)))
            return
        self._report(Loaded(session.load_ms))
        if isinstance(session, MayEnd):
            session.when_it_ends(self._session_ended)
        try:
            while (job := self._next(session)) is not None:
                job()
        finally:
            session.close()

    def _next(self, session: SessionLike) -> Callable[[], None] | None:
        """Wait for something to do; None when it is time to end."""
        with self._changed:
            while not self._closing:
                if self._waiting is not None:
                    asked, self._waiting = self._waiting, None
                    flight = self._flight = _Flight(asked.before, asked.after, asked.ticket, asked.variant)
                    return lambda: self._make(session, flight)
                quiet = time.monotonic() - self._touched
                due = []
                if self._next_place is not None:
                    due.append(_AHEAD_AFTER_S)
                    if quiet >= _AHEAD_AFTER_S:
                        flight = self._flight = _Flight(*self._next_place)
                        self._next_place = None
                        if self._known.find(flight.before, flight.after) is None:
                            return lambda: self._make(session, flight)
                        self._flight = None
                        continue
                elif self._ahead and self._unread_place is not None:
                    due.append(_AHEAD_AFTER_S)
                    if quiet >= _AHEAD_AFTER_S:
                        place, self._unread_place = self._unread_place, None
                        return partial(self._rest, partial(_begin, session, *place))
                elif self._ahead and not self._rested and isinstance(session, UsesIdleTime):
                    due.append(_IDLE_AFTER_S)
                    if quiet >= _IDLE_AFTER_S:
                        self._rested = True
                        return partial(self._rest, session.use_idle_time)
                self._changed.wait(min(due) - quiet if due else None)
            return None

    def _make(self, session: SessionLike, flight: _Flight) -> None:
        try:
            suggestion = session.complete(
                flight.before,
                flight.after,
                settings=_settings(flight.variant),
                cancel=flight.cancel,
                on_step=lambda step: self._grow(flight, step),
            )
        except Cancelled:
            self._end(flight, None)
        except Exception as error:  # whatever an engine raises, the editor and its text live on
            self._end(flight, None, _reason(error))
        else:
            self._end(flight, None if suggestion.finish == "cancelled" else suggestion)

    def _grow(self, flight: _Flight, step: Step) -> None:
        # A short answer comes whole: drawing while it is computed would take longer than computing it.
        now = time.perf_counter_ns()
        late = now - flight.reported_ns >= _REPORT_INTERVAL_NS
        flight.tokens += 1
        with self._changed:
            flight.text += step.text
            if flight.ticket is None or flight.cancel.is_set():
                return
            if flight.astray:
                self._begin_again(flight)
            elif late and len(flight.text) > len(flight.typed):
                self._tell_progress(flight, now)

    def _end(self, flight: _Flight, suggestion: Suggestion | None, line: str = "") -> None:
        with self._changed:
            self._flight = None
            if suggestion is not None and self._ahead and not flight.variant:
                self._known.add(flight.before, flight.after, suggestion)
            if flight.ticket is None:
                return
            if suggestion is None:
                self._report(Stopped(flight.ticket, line))
            elif not flight.typed or (suggestion.text.startswith(flight.typed) and suggestion.text != flight.typed):
                rest = replace(suggestion, text=suggestion.text[len(flight.typed) :])
                self._show(flight.ticket, rest, flight.before + flight.typed, flight.after, known=False)
            else:
                self._begin_again(flight)

    def _begin_again(self, flight: _Flight) -> None:
        """Its text is not what was typed, so the request needs one of its own."""
        assert flight.ticket is not None
        self._waiting = _Request(flight.before + flight.typed, flight.after, flight.ticket)
        flight.ticket, flight.typed = None, ""
        flight.cancel.set()

    def _rest(self, work: Callable[[Cancel], object]) -> None:
        with self._changed:
            cancel = self._resting = Cancel()
            if self._closing or self._waiting is not None or self._unread_place is not None:
                cancel.set()  # a key came between
        try:
            work(cancel)
        except Exception:
            return  # what is wrong with an engine is said when somebody asks
        finally:
            with self._changed:
                self._resting = None


def _settings(variant: int) -> DecodeSettings:
    return DecodeSettings(temperature=_TEMPERATURE, top_p=_TOP_P, seed=variant) if variant else GREEDY


def _as_known(suggestion: Suggestion, took_ms: float) -> Suggestion:
    timing = replace(
        suggestion.timing,
        ttft_ms=took_ms,
        total_ms=took_ms,
        decode_tokens_per_s=None,
        cached_tokens=suggestion.timing.prompt_tokens,
    )
    return replace(suggestion, timing=timing)


def _begin(session: SessionLike, before: str, after: str, cancel: Cancel) -> None:
    """Let the model read what stands before a cursor and write one token, unless `cancel` is set before."""
    session.complete(before, after, cancel=cancel, on_step=lambda step: cancel.set())


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, EdgePhiError) else f"{type(error).__name__}: {error}"
