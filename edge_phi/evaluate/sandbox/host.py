"""The side of the sandbox that asks: one warm worker, any number of programs at once."""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ...errors import EdgePhiError
from .examination import Examination, Limits, Output, Verdict
from .inside import wire

_START_SECONDS = 60.0
_GRACE_SECONDS = 10.0  # beyond a program's own time, for a worker that still lives to say how it ended
_MAX_ANSWER = 64 << 20


class Sandbox:
    """Runs programs that nobody has read; a context manager.

    Args:
        allow_weak: run them even where the machine cannot hold them (see `probe`).

    Raises:
        EdgePhiError: the machine cannot hold them, or the worker does not start.

    Methods may be called from several threads; their programs then run at the same time.
    """

    def __init__(self, allow_weak: bool = False) -> None:
        self._lock = threading.Lock()
        self._worker: _Worker | None = None
        self._walls: tuple[str, ...] = ()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker, and with it whatever it runs."""
        with self._lock:
            if self._worker is not None:
                self._worker.end()
                self._worker = None

    def check(self, examination: Examination, limits: Limits = Limits()) -> Verdict:  # noqa: B008
        """Run the solution under its tests.

        An infrastructure error is a verdict too: the next examination gets a new worker.
        """
        job = {
            "solution": examination.solution,
            "tests": examination.tests,
            "helpers": examination.helpers,
            "names": list(examination.names),
        }
        answer, seconds = self._ask("examine", job, limits)
        return Verdict(answer["outcome"], _one_line(answer["detail"]), seconds)

    def _ask(self, task: str, job: dict[str, Any], limits: Limits) -> tuple[dict[str, Any], float]:
        start = time.perf_counter()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(limits.seconds + _GRACE_SECONDS)
            worker = None
            try:
                worker = self._ready()
                worker.order(task, limits.seconds, theirs)
                theirs.close()
                answer = _converse(ours, {**job, "limits": limits.to_json()}, limits)
            except (OSError, ValueError, wire.Closed, wire.Oversized, EOFError) as error:
                answer = _infrastructure(f"the sandbox's worker does not answer ({type(error).__name__})")
                if worker is not None:
                    self._drop(worker)
        return answer, time.perf_counter() - start

    def _ready(self) -> _Worker:
        with self._lock:
            if self._worker is None:
                self._worker = _Worker(self._walls)
            return self._worker

    def _drop(self, worker: _Worker) -> None:
        with self._lock:
            worker.end()
            if self._worker is worker:
                self._worker = None


class _Worker:
    """The process that forks one program after another."""

    def __init__(self, walls: tuple[str, ...]) -> None:
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair()
        start = (
            f"import sys; sys.path[0] = {str(Path(__file__).parent)!r}; from inside.worker import main; sys.path.pop(0);"
            f"main({theirs.fileno()}, {walls!r})"
        )
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-s", "-S", "-B", "-X", "utf8", "-c", start],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=None,
                env={"PYTHONHASHSEED": "0", "MALLOC_ARENA_MAX": "1"},
                pass_fds=(theirs.fileno(),),
                cwd="/",
                start_new_session=True,
            )
        self._control.settimeout(_START_SECONDS)
        _receive(self._control)

    def order(self, task: str, seconds: float, channel: socket.socket) -> None:
        """Have a program started that is described on `channel`."""
        with self._lock:
            order = json.dumps({"task": task, "seconds": seconds}).encode()
            socket.send_fds(self._control, [order], [channel.fileno()])

    def end(self) -> None:
        """Kill it and all it started."""
        self._control.close()
        self._process.kill()
        self._process.wait()


def _converse(channel: socket.socket, job: dict[str, Any], limits: Limits) -> dict[str, Any]:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        body = json.dumps(job).encode()
        channel.sendall(len(body).to_bytes(4, "little") + body)
    answer = None
    while True:
        said = json.loads(_receive(channel))
        if "end" in said:
            break
        answer = said
    if answer is not None:
        return answer
    if said["overdue"]:
        return {"outcome": "timeout", "detail": f"more than {limits.seconds:g} s"}
    return _infrastructure(f"the examiner ended early ({said['end']})")


def _receive(channel: socket.socket) -> bytes:
    length = int.from_bytes(_exactly(channel, 4), "little")
    if length > _MAX_ANSWER:
        raise wire.Oversized
    return _exactly(channel, length)


def _exactly(channel: socket.socket, length: int) -> bytes:
    pieces = []
    while length:
        piece = channel.recv(min(length, 1 << 16))
        if not piece:
            raise wire.Closed
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


def _infrastructure(detail: str) -> dict[str, Any]:
    return {"outcome": "infrastructure_error", "detail": detail}


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
