"""One engine behind one thread: a slow model must never make a key wait.

The thread loads the session, then answers one request at a time; a new request replaces the one before. Nothing here
knows of widgets: what happens is told to `report`, from the engine's thread.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from edge_phi.errors import Cancelled, EdgePhiError

if TYPE_CHECKING:
    from edge_phi.completion.decode import Step
    from edge_phi.completion.session import Suggestion

_REPORT_INTERVAL_NS = 40_000_000  # text is reported at most 25 times a second, however fast tokens come
WARM_UP_PROMPT = "#"
# A token comes back from native code and waits for the interpreter while the screen is drawn: with Python's 5 ms a
# small model gives half the tokens per second.
_SWITCH_SECONDS = 0.0005
_CLOSE_SECONDS = 5.0  # a load cannot be interrupted; past this the daemon thread is left to the interpreter's exit


class SessionLike(Protocol):
    """What the app needs of `edge_phi.completion.session.Session`."""

    @property
    def load_ms(self) -> float:
        """How long loading took."""

    def complete(
        self,
        before: str,
        after: str = "",
        *,
        cancel: threading.Event | None = None,
        on_step: Callable[[Step], None] | None = None,
    ) -> Suggestion:
        """Continue `before`."""

    def close(self) -> None:
        """Free the model."""


@dataclass(frozen=True)
class EngineChoice:
    """An engine that can be opened, and what it is called in the panel."""

    model: str
    engine: str  # "onnx", "llama_cpp", "torch"
    quant: str  # "int4", "float32" ...
    open_session: Callable[[], SessionLike]


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


@dataclass(frozen=True)
class Stopped:
    """Request `ticket` was cancelled, or failed: then `line` says why."""

    ticket: int
    line: str = ""


Event = Loaded | LoadFailed | Progress | Finished | Stopped


@dataclass
class _Request:
    ticket: int
    before: str
    after: str
    cancel: threading.Event = field(default_factory=threading.Event)


class Engine:
    """A session in a thread of its own."""

    def __init__(self, open_session: Callable[[], SessionLike], report: Callable[[Event], None], name: str) -> None:
        self._open_session = open_session
        self._report = report
        self._changed = threading.Condition()
        self._waiting: _Request | None = None
        self._running: _Request | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin loading, if that has not been asked before."""
        if self._thread.ident is None:
            sys.setswitchinterval(_SWITCH_SECONDS)
            self._thread.start()

    def request(self, ticket: int, before: str, after: str) -> None:
        """Ask for a suggestion between `before` and `after`; whatever was asked earlier is cancelled."""
        self.cancel()
        with self._changed:
            self._waiting = _Request(ticket, before, after)
            self._changed.notify()
        self.start()

    def cancel(self) -> None:
        """Stop the work that is going on; returns at once."""
        with self._changed:
            if self._running is not None:
                self._running.cancel.set()
            dropped, self._waiting = self._waiting, None
        if dropped is not None:
            self._report(Stopped(dropped.ticket))

    def close(self) -> None:
        """Stop, free the model and end the thread."""
        self.cancel()
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        try:
            session = self._open_session()
            _warm_up(session)
        except Exception as error:
            self._report(LoadFailed(_reason(error)))
            return
        self._report(Loaded(session.load_ms))
        try:
            while (request := self._next()) is not None:
                self._answer(session, request)
        finally:
            session.close()

    def _next(self) -> _Request | None:
        with self._changed:
            self._running = None
            self._changed.wait_for(lambda: self._closing or self._waiting is not None)
            if self._closing:
                return None
            self._running, self._waiting = self._waiting, None
            return self._running

    def _answer(self, session: SessionLike, request: _Request) -> None:
        pieces: list[str] = []
        # A short answer comes whole: drawing while it is computed would take longer than computing it.
        reported_ns = time.perf_counter_ns()

        def on_step(step: Step) -> None:
            nonlocal reported_ns
            pieces.append(step.text)
            now = time.perf_counter_ns()
            if now - reported_ns >= _REPORT_INTERVAL_NS and not request.cancel.is_set():
                reported_ns = now
                self._report(Progress(request.ticket, "".join(pieces), len(pieces)))

        try:
            suggestion = session.complete(request.before, request.after, cancel=request.cancel, on_step=on_step)
        except Cancelled:
            self._report(Stopped(request.ticket))
        except Exception as error:  # whatever an engine raises, the editor and its text live on
            self._report(Stopped(request.ticket, _reason(error)))
        else:
            cancelled = suggestion.finish == "cancelled"
            self._report(Stopped(request.ticket) if cancelled else Finished(request.ticket, suggestion))


def _warm_up(session: SessionLike) -> None:
    """Decode one token: what the first call of a process and of a session sets up is charged to no suggestion."""
    enough = threading.Event()
    session.complete(WARM_UP_PROMPT, cancel=enough, on_step=lambda step: enough.set())


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, EdgePhiError) else f"{type(error).__name__}: {error}"
