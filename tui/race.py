"""Two sessions that write the same completion, each against its own clock: who was faster, by how much, and whether
both wrote the same.

Both start with nothing of the prompt in their caches, so both do the same work. Nothing here knows of widgets: a lane
is written by its runner's thread and read by whoever draws it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge_phi.completion.cancel import Cancel
from edge_phi.completion.worker import MayEnd
from edge_phi.errors import EdgePhiError

from .characters import clean
from .engine import WARM_UP_PROMPT

if TYPE_CHECKING:
    from edge_phi.completion.suggestion import Step

    from .engine import EngineChoice, SessionLike


class Lender:
    """Opens a session for an engine, and lends it to a race while that engine has nothing to do."""

    def __init__(self, choice: EngineChoice) -> None:
        self.choice = choice
        self.session: SessionLike | None = None
        self.failure = ""
        self.settled = threading.Event()  # there is a session, or a failure

    def open(self) -> SessionLike:
        """Open the session, as `choice` does."""
        self.failure = ""
        try:
            self.session = session = self.choice.open_session()
        except Exception as error:
            self.failure = str(error)
            raise
        finally:
            self.settled.set()
        if isinstance(session, MayEnd):
            session.when_it_ends(self._gone)
        return session

    def _gone(self, line: str) -> None:
        """There is nothing to lend until the engine is started again."""
        self.session, self.failure = None, line
        self.settled.clear()


@dataclass
class Lane:
    """What one session has written so far."""

    name: str  # of the precision, as "int4"
    engine: str
    state: str = "waiting"  # loading, reading, writing, done, failed
    text: str = ""  # fit for a terminal
    tokens: int = 0
    started_s: float = 0.0
    first_ms: float | None = None
    total_ms: float | None = None  # once it is done
    failure: str = ""
    _pieces: list[str] = field(default_factory=list)

    @property
    def elapsed_ms(self) -> float:
        """What its clock shows."""
        if self.total_ms is not None:
            return self.total_ms
        return (time.perf_counter() - self.started_s) * 1e3 if self.started_s else 0.0

    @property
    def running(self) -> bool:
        """Whether its clock runs."""
        return self.started_s > 0 and self.total_ms is None and not self.failure


class Race:
    """One race between lenders' sessions; `run` does it in the calling thread and threads of its own."""

    def __init__(self, lenders: Sequence[Lender], before: str, after: str, *, together: bool) -> None:
        self.lanes = [Lane(lender.choice.quant, lender.choice.engine) for lender in lenders]
        self.together = together
        self._lenders = list(lenders)
        self._before, self._after = before, after
        self._cancel = Cancel()

    def run(self) -> None:
        """Wait until all sessions are loaded, then race; returns when all lanes are done, or soon after `stop`."""
        for lane, lender in zip(self.lanes, self._lenders, strict=True):
            lane.state = "loading"
            while not lender.settled.wait(0.1):
                if self._cancel.is_set():
                    return
            if lender.session is None:
                lane.state, lane.failure = "failed", lender.failure
        for lane, lender in zip(self.lanes, self._lenders, strict=True):
            if lender.session is not None and not self._cancel.is_set():
                lane.state = "ready"
                _forget(lender.session)
        runs = [
            threading.Thread(target=self._run_lane, args=(lane, lender.session), name=f"race {lane.name}", daemon=True)
            for lane, lender in zip(self.lanes, self._lenders, strict=True)
            if lender.session is not None
        ]
        for thread in runs:
            thread.start()
            if not self.together:
                thread.join()
        for thread in runs:
            thread.join()

    def stop(self) -> None:
        """End it soon."""
        self._cancel.set()

    @property
    def over(self) -> bool:
        """Whether all that could run has run."""
        return all(lane.total_ms is not None or lane.failure for lane in self.lanes)

    def _run_lane(self, lane: Lane, session: SessionLike) -> None:
        if self._cancel.is_set():
            return
        lane.state, lane.started_s = "reading", time.perf_counter()
        try:
            suggestion = session.complete(
                self._before, self._after, cancel=self._cancel, on_step=lambda step: _grow(lane, step)
            )
        except Exception as error:  # whatever an engine raises, the other runs on
            lane.state, lane.failure = "failed", _line(error)
            return
        total_ms = (time.perf_counter() - lane.started_s) * 1e3
        if suggestion.finish == "cancelled":
            lane.state, lane.failure = "stopped", "stopped"
            return
        lane.text, lane.tokens = clean(suggestion.text), suggestion.tokens
        lane.state, lane.total_ms = "done", total_ms


@dataclass(frozen=True)
class Outcome:
    """What a race that is over says."""

    verdict: str
    agreement: str
    first_difference: int | None  # in characters; None where the texts agree


def outcome(lanes: Sequence[Lane]) -> Outcome | None:
    """Of two lanes that are done; None before."""
    first, second = lanes
    if first.total_ms is None or second.total_ms is None:
        return None
    winner, loser = sorted((first, second), key=lambda lane: lane.total_ms or 0.0)
    assert winner.total_ms is not None and loser.total_ms is not None
    ahead = loser.total_ms - winner.total_ms
    times = f"{loser.total_ms / winner.total_ms:.2f}x as fast" if winner.total_ms > 0 else "at once"
    verdict = f"{winner.name} won by {ahead:.0f} ms: {times}"
    if winner.tokens != loser.tokens:
        verdict += f", with {winner.tokens} tokens to {loser.tokens}"
    difference = first_difference(first.text, second.text)
    if difference is None:
        return Outcome(verdict, "both wrote the same text", None)
    line = first.text.count("\n", 0, difference) + 1
    return Outcome(verdict, f"texts differ from character {difference + 1} on, in line {line}", difference)


def first_difference(ours: str, theirs: str) -> int | None:
    """Where two texts begin to differ; None if they do not."""
    if ours == theirs:
        return None
    pairs = zip(ours, theirs, strict=False)
    return next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(ours), len(theirs)))


def _grow(lane: Lane, step: Step) -> None:
    lane._pieces.append(step.text)
    text = clean("".join(lane._pieces))
    if lane.first_ms is None and text:
        lane.first_ms = (time.perf_counter() - lane.started_s) * 1e3
    lane.text, lane.tokens, lane.state = text, lane.tokens + 1, "writing"


def _forget(session: SessionLike) -> None:
    """Read something else: what the cache has of the prompt would be a start that the other has not."""
    enough = Cancel()
    session.complete(WARM_UP_PROMPT, cancel=enough, on_step=lambda step: enough.set())


def _line(error: Exception) -> str:
    return str(error) if isinstance(error, EdgePhiError) else f"{type(error).__name__}: {error}"
