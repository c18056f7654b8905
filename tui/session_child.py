"""The engine's process: a session that completes what the editor's process asks for, one call after the other.

It ends when its stdin does, so it never outlives an editor that was killed. A thread of its own listens all the time,
so that a cancel reaches the engine in the middle of a prompt.
"""

from __future__ import annotations

import importlib
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import IO, TYPE_CHECKING, Any

from edge_phi.completion.cancel import Cancel
from edge_phi.completion.settings import GREEDY, DecodeSettings
from edge_phi.completion.worker import SessionLike, UsesIdleTime
from edge_phi.errors import EdgePhiError

from .frames import read_frame, write_frame
from .priority import give_way

if TYPE_CHECKING:
    from edge_phi.completion.session import Session
    from edge_phi.completion.suggestion import Step

# The first text goes at once; what comes after it is told as often as an eye follows. Each message takes time from the
# thread that draws, and its drawing from the engine.
_TELL_SECONDS = 0.1


def main() -> None:
    """The child: argv[1] is the model, argv[2] its form, argv[3] "keep" to keep what was read, argv[4] its niceness."""
    model, form, keep, niceness = sys.argv[1:]
    serve(lambda: _open(model, form, keep=keep == "keep"), int(niceness))


def serve(open_session: Callable[[], SessionLike], niceness: int = 0) -> None:
    """Open a session, say so or why not, and do what is asked until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the editor's affair
    told = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # engines print to stdout as they please
    calls: queue.SimpleQueue[_Call] = queue.SimpleQueue()
    asked = os.fdopen(0, "rb", buffering=0)  # a buffer's lock, held while nothing comes, would be in the way at the end
    threading.Thread(target=_listen, args=(asked, calls), name="listener", daemon=True).start()
    give_way(niceness)  # once the listener has started, which must not wait for the engine
    try:
        session = open_session()
    except Exception as error:
        write_frame(told, _failure(error))
        return
    write_frame(told, {"loaded_ms": session.load_ms})
    while True:
        _do(session, calls.get(), told)


@dataclass(frozen=True)
class _Call:
    number: int
    kind: str  # "complete" or "idle"
    before: str = ""
    after: str = ""
    settings: DecodeSettings = GREEDY
    tells: bool = False  # whether each step is to be told
    cancel: Cancel = field(default_factory=Cancel)


def _open(model: str, form: str, *, keep: bool) -> Session:
    from edge_phi.completion.session import open_session
    from edge_phi.store import find_model

    # Whichever engine comes first would pay for the import in its load figure.
    importlib.import_module(f"edge_phi.runtimes.{find_model(model).artifact(form).engine}")
    return open_session(model, quant=form, snapshots=keep)


def _listen(stream: IO[bytes], calls: queue.SimpleQueue[_Call]) -> None:
    """Take calls and cancels until there is nobody left to send any."""
    last = _Call(0, "none")
    try:
        while True:
            head, texts = read_frame(stream)
            if head["kind"] != "cancel":
                settings = DecodeSettings(**head["settings"])
                before, after = texts or ("", "")
                last = _Call(head["call"], head["kind"], before, after, settings, head["tells"])
                calls.put(last)
            elif head["call"] == last.number:
                last.cancel.set()
    except (EOFError, OSError):
        pass
    finally:
        os._exit(0)  # now, whatever the engine does


def _do(session: SessionLike, call: _Call, told: IO[bytes]) -> None:
    steps: list[tuple[int, str, int]] = []
    due_s = 0.0  # when what has come is told

    def on_step(step: Step) -> None:
        nonlocal due_s
        steps.append((step.token, step.text, step.time_ns))
        if (now := time.monotonic()) >= due_s:
            write_frame(told, {"call": call.number, "steps": steps})
            steps.clear()
            due_s = now + _TELL_SECONDS

    try:
        if call.kind == "idle":
            if isinstance(session, UsesIdleTime):
                session.use_idle_time(call.cancel)
            answer: dict[str, Any] = {}
        else:
            suggestion = session.complete(
                call.before, call.after,
                settings=call.settings, cancel=call.cancel, on_step=on_step if call.tells else None,
            )  # fmt: skip
            answer = {"suggestion": asdict(suggestion)}
    except Exception as error:  # whatever an engine raises, it is the editor's to tell
        answer = _failure(error)
    write_frame(told, {"call": call.number, "steps": steps, "done": True, **answer})


def _failure(error: Exception) -> dict[str, Any]:
    if isinstance(error, EdgePhiError):
        return {"error": str(error), "error_kind": type(error).__name__}
    return {"error": f"{type(error).__name__}: {error}", "error_kind": "EdgePhiError"}
