"""The side of the sandbox that asks: one warm worker, any number of programs at once."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

from ...errors import EdgePhiError
from . import isolation
from .examination import Examination, Limits, Output, Verdict
from .inside.walls import LANDLOCK, NAMESPACES, SECCOMP

_START_SECONDS = 60.0
_GRACE_SECONDS = 10.0  # beyond a program's own time, for a worker that still lives to say how it ended
_RUN_GRACE_SECONDS = 2.0  # for the process that collects what a program printed
_MAX_FRAME = 64 << 20
_MAX_DETAIL = 300


class _WorkerLost(Exception):
    """The worker died, hangs or says what no worker says."""


class Sandbox:
    """Runs programs that nobody has read; a context manager.

    Args:
        allow_weak: run them even where the machine cannot hold them (see `probe`).

    Raises:
        EdgePhiError: the machine cannot hold them, or the worker does not start.

    Methods may be called from several threads; their programs then run at the same time.
    """

    def __init__(self, allow_weak: bool = False) -> None:
        if sys.platform == "win32":
            raise EdgePhiError("programs cannot be run on Windows: it has nothing to hold them: use WSL")
        have = isolation.probe()
        if not have.enough and not allow_weak:
            raise EdgePhiError(
                f"this machine cannot hold untrusted programs: {have.missing}: see edge-phi doctor; "
                "--allow-weak-sandbox runs them all the same, with whatever they do"
            )
        self._lock = threading.Lock()
        self._walls = tuple(name for name in (NAMESPACES, LANDLOCK, SECCOMP) if have.has(name))
        try:
            self._worker: _Worker | None = _Worker(self._walls)
        except _WorkerLost as error:
            raise EdgePhiError(f"the sandbox does not start ({error}): see edge-phi doctor") from error

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
        """Run a solution under its tests.

        An infrastructure error is a verdict too; the next examination gets a new worker.
        """
        job = {
            "solution": examination.solution,
            "tests": examination.tests,
            "helpers": examination.helpers,
            "names": list(examination.names),
        }
        answer, seconds = self._ask("examine", job, limits, limits.seconds)
        if "code" in answer and answer["outcome"] != "timeout":
            how = answer["detail"] or "exit code 0"
            return Verdict("fail", f"the program ended before its tests did: {how}", seconds)
        return Verdict(answer["outcome"], _one_line(answer["detail"]), seconds)

    def run(self, source: str, limits: Limits = Limits()) -> Output:  # noqa: B008
        """Run a program as a script, and keep what it prints."""
        answer, seconds = self._ask("run", {"source": source}, limits, limits.seconds + _RUN_GRACE_SECONDS)
        return Output(
            outcome=answer["outcome"],
            detail=_one_line(answer["detail"]),
            seconds=seconds,
            stdout=answer.get("stdout", ""),
            stderr=answer.get("stderr", ""),
            truncated=answer.get("truncated", False),
        )

    def _ask(self, task: str, job: dict[str, Any], limits: Limits, seconds: float) -> tuple[dict[str, Any], float]:
        """What the worker and the examiner say came of `job`, and the seconds it took."""
        start = time.perf_counter()
        worker = None
        try:
            worker = self._ready()
            answer = worker.ask(task, {**job, "limits": limits.to_json()}, seconds)
        except _WorkerLost as error:
            if worker is not None:
                self._drop(worker)
            answer = {"outcome": "infrastructure_error", "detail": str(error)}
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
    """The process that forks one program after another.

    Raises:
        _WorkerLost: it does not start.
    """

    def __init__(self, walls: tuple[str, ...]) -> None:
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                isolation.command(f"worker.main({theirs.fileno()}, {walls!r})"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=isolation.ENVIRONMENT,
                pass_fds=(theirs.fileno(),),
                cwd="/",
                start_new_session=True,
            )
        self._control.settimeout(_START_SECONDS)
        try:
            said = _receive(self._control)
            if "error" in said:
                raise _WorkerLost(said["error"])
        except _WorkerLost:
            self.end()
            raise

    def ask(self, task: str, job: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Have `job` done in a program of its own, which is killed after `seconds`.

        Raises:
            _WorkerLost: nobody knows what came of it.
        """
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(seconds + _GRACE_SECONDS)
            try:
                limits = {name: job["limits"][name] for name in ("memory_bytes", "file_bytes", "threads")}
                order = json.dumps({"task": task, "seconds": seconds, "limits": limits}).encode()
                with self._lock:
                    socket.send_fds(self._control, [len(order).to_bytes(4, "little") + order], [theirs.fileno()])
                theirs.close()
                _send(ours, job)
            except OSError as error:
                raise _WorkerLost(f"the worker takes no programs ({type(error).__name__})") from error
            answer, end = None, _receive(ours)
            if "end" not in end:
                answer, end = end, _receive(ours)
        if end["overdue"] and (answer is None or answer["outcome"] == "ended"):
            return {"outcome": "timeout", "detail": f"more than {seconds:g} s"}
        if answer is None:
            return {"outcome": "infrastructure_error", "detail": "the examiner ended early"}
        if answer["outcome"] == "ended":
            return {**answer, **end["end"], **_how_it_ended(end["end"], job["limits"]["cpu_seconds"])}
        return answer

    def end(self) -> None:
        """Kill it and all it started."""
        self._control.close()
        self._process.kill()
        self._process.wait()


def _how_it_ended(end: dict[str, Any], cpu_seconds: int) -> dict[str, str]:
    """Outcome and detail of a program's process; "pass" if it ended by itself with code 0."""
    code = end["code"]
    # The kernel limits by one clock and accounts by another: on a machine with five times the work it has cores for,
    # they were a little more than 0.25 of 2 seconds apart.
    slack = 0.25 * cpu_seconds
    if code == -signal.SIGKILL and end["cpu_seconds"] >= cpu_seconds - slack:
        return {"outcome": "timeout", "detail": f"more than {cpu_seconds} s of CPU time"}
    if code == -signal.SIGKILL and end["killed"]:
        return {"outcome": "fail", "detail": "it closed its pipes"}
    if code < 0:
        return {"outcome": "fail", "detail": f"killed by signal {-code}"}
    return {"outcome": "fail" if code else "pass", "detail": f"exit code {code}" if code else ""}


def _send(channel: socket.socket, value: dict[str, Any]) -> None:
    """A program that is killed before it has read everything is no error: how it ended is still to come."""
    body = json.dumps(value).encode()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        channel.sendall(len(body).to_bytes(4, "little") + body)


def _receive(channel: socket.socket) -> dict[str, Any]:
    """One frame of JSON.

    Raises:
        _WorkerLost: none comes.
    """
    try:
        length = int.from_bytes(_exactly(channel, 4), "little")
        value = json.loads(_exactly(channel, length)) if length <= _MAX_FRAME else None
    except (OSError, ValueError) as error:
        raise _WorkerLost(f"the worker does not answer ({type(error).__name__})") from error
    if not isinstance(value, dict):
        raise _WorkerLost("the worker answers with what is no answer")
    return value


def _exactly(channel: socket.socket, length: int) -> bytes:
    pieces = []
    while length:
        piece = channel.recv(min(length, 1 << 16))
        if not piece:
            raise ConnectionError("closed")
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


def _one_line(text: str) -> str:
    """Printable, on one line, not long: part of it is what a program said."""
    words = "".join(letter if letter.isprintable() else " " for letter in text).split()
    return " ".join(words)[:_MAX_DETAIL]
