"""The warm process: everything that starting Python costs is paid here once.

It keeps examiners, which serve one program after another, and forks a candidate for every program, the next one ahead
of time. It reads neither programs nor tests: they pass on channels from whoever asks to the examiner, and so none of
them is in the memory that a candidate inherits.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from . import seats, wire
from .walls import Walls

# What programs and tests import most, so that forking is all it takes.
# Among them are all that load libraries of the system, which no program can reach.
_WARM = (
    "abc", "array", "ast", "bisect", "bz2", "calendar", "cmath", "collections", "collections.abc", "contextlib", "copy",
    "ctypes", "dataclasses", "datetime", "decimal", "enum", "fractions", "functools", "hashlib", "heapq", "io",
    "itertools", "json", "lzma", "math", "numbers", "operator", "os", "queue", "random", "re", "statistics", "string",
    "struct", "sys", "textwrap", "threading", "time", "traceback", "types", "typing", "unicodedata", "zlib",
)  # fmt: skip


@dataclass
class _Examiner:
    pid: int
    seat: socket.socket
    program: _Program | None = None
    ended: bool = False


@dataclass
class _Candidate:
    pid: int
    kind: tuple[str, str]  # the task it is for, and its limits
    ours: list[int]  # the ends of its pipes that are for an examiner
    ended: dict[str, Any] | None = None
    killed: bool = False


@dataclass
class _Program:
    channel: socket.socket
    candidate: _Candidate
    examiner: _Examiner
    ends_at: float
    overdue: bool = False
    answered: bool = field(default=False)


def main(control_fd: int, walls: tuple[str, ...]) -> None:
    """Serve orders from the control socket until it closes."""
    for name in _WARM:
        importlib.import_module(name)
    os.environ.clear()
    sys.argv[:] = [""]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a program may print a surrogate
    inside = Walls(walls)
    try:
        inside.enter()
    except OSError as error:
        wire.send_json(control_fd, {"error": f"{error.filename}: {error.strerror}"})
        return
    Worker(socket.socket(fileno=control_fd), inside).run()


class Worker:
    """Seats candidates before examiners and waits for both."""

    def __init__(self, control: socket.socket, walls: Walls) -> None:
        self._control = control
        self._walls = walls
        self._examiners: dict[int, _Examiner] = {}  # by the number of their seat's socket
        self._programs: dict[int, _Program] = {}  # by candidate
        self._spare: _Candidate | None = None
        self._poll = select.poll()

    def run(self) -> None:
        """Serve until the control socket closes."""
        ended, wake = os.pipe()
        for fd in (ended, wake):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        gc.collect()
        gc.freeze()
        wire.send_json(self._control.fileno(), {"ready": os.getpid()})
        self._poll.register(self._control, select.POLLIN)
        self._poll.register(ended, select.POLLIN)
        while True:
            soonest = min((one.ends_at for one in self._programs.values() if not one.overdue), default=None)
            wait = None if soonest is None else max(0.0, soonest - time.monotonic()) * 1000
            ready = {fd for fd, _ in self._poll.poll(wait)}
            if ended in ready:
                os.read(ended, 1 << 10)
            for fd in ready & self._examiners.keys():
                self._hear(self._examiners[fd])
            self._reap()
            self._stop_overdue()
            if self._control.fileno() in ready and not self._take_order():
                return

    def _take_order(self) -> bool:
        """Start the program whose channel comes with the order; False where no more will come."""
        # Of a stream, the first byte read brings the file.
        length, channels, _, _ = socket.recv_fds(self._control, 4, 1)
        if len(length) < 4 or not channels:
            return False
        order = json.loads(self._control.recv(int.from_bytes(length, "little"), socket.MSG_WAITALL))
        kind = (order["task"], json.dumps(order["limits"]))
        candidate = self._spare
        if candidate is None or candidate.kind != kind:
            if candidate is not None:
                self._kill(candidate)
                self._let_go(candidate)
            candidate = self._fork_candidate(kind)
        self._spare = None
        examiner = next((one for one in self._examiners.values() if one.program is None), None)
        examiner = examiner or self._fork_examiner()
        examiner.program = _Program(
            socket.socket(fileno=channels[0]), candidate, examiner, time.monotonic() + order["seconds"]
        )
        self._programs[candidate.pid] = examiner.program
        with contextlib.suppress(OSError):  # an examiner that has just ended is noticed when it is waited for
            socket.send_fds(examiner.seat, [order["task"].encode()[:1]], [channels[0], *candidate.ours])
        self._let_go(candidate)
        self._spare = self._fork_candidate(kind)
        return True

    def _hear(self, examiner: _Examiner) -> None:
        """An examiner has said its last word on a program, or has ended."""
        said = b""
        with contextlib.suppress(OSError):
            said = examiner.seat.recv(1)
        if not said:
            self._poll.unregister(examiner.seat)
        elif examiner.program is not None:
            program = examiner.program
            program.answered = True
            self._reap()  # first, so that a candidate that ended by itself is not called killed
            self._kill(program.candidate)
            self._conclude(program)

    def _stop_overdue(self) -> None:
        now = time.monotonic()
        for one in self._programs.values():
            if not one.overdue and one.ends_at <= now:
                one.overdue = True
                self._kill(one.candidate)
                if not one.answered:
                    os.kill(one.examiner.pid, signal.SIGKILL)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            if pid in self._programs:
                program = self._programs[pid]
                self._walls.kill_rest(pid)
                program.candidate.ended = {"code": code, "cpu_seconds": used.ru_utime + used.ru_stime}
                self._conclude(program)
            elif self._spare is not None and pid == self._spare.pid:
                self._let_go(self._spare)
                self._spare = None
            else:
                self._bury(pid)

    def _bury(self, pid: int) -> None:
        """An examiner has ended, which it should not unless it was stopped."""
        for fd, examiner in list(self._examiners.items()):
            if examiner.pid == pid:
                with contextlib.suppress(KeyError):
                    self._poll.unregister(fd)
                del self._examiners[fd]
                examiner.seat.close()
                examiner.ended = True
                if examiner.program is not None:
                    self._kill(examiner.program.candidate)
                    self._conclude(examiner.program)

    def _conclude(self, program: _Program) -> None:
        """Say how a program ended once nothing of it is left; that is the last thing said on its channel."""
        candidate, examiner = program.candidate, program.examiner
        if candidate.ended is None or not (program.answered or examiner.ended):
            return
        if self._programs.pop(candidate.pid, None) is None:
            return
        examiner.program = None
        end = {"end": {**candidate.ended, "killed": candidate.killed}, "overdue": program.overdue}
        program.channel.setblocking(False)
        with contextlib.suppress(wire.Closed, OSError):  # whoever asked may have gone
            wire.send_json(program.channel.fileno(), end)
        program.channel.close()

    def _fork_examiner(self) -> _Examiner:
        ours, theirs = socket.socketpair()
        pid = self._walls.fork()
        if pid == 0:
            _forget_signals()
            seats.be_examiner(theirs.fileno(), self._walls)
        theirs.close()
        examiner = self._examiners[ours.fileno()] = _Examiner(pid, ours)
        self._poll.register(ours, select.POLLIN)
        return examiner

    def _fork_candidate(self, kind: tuple[str, str]) -> _Candidate:
        pipes = [os.pipe() for _ in range(4)]
        (asked, requests), (replies, answers), (printed, out), (complained, err) = pipes
        pid = self._walls.fork()
        if pid == 0:
            _forget_signals()
            seats.be_candidate(kind[0], json.loads(kind[1]), self._walls, asked, answers, out, err)
        for fd in (asked, answers, out, err):
            os.close(fd)
        return _Candidate(pid, kind, [requests, replies, printed, complained])

    def _let_go(self, candidate: _Candidate) -> None:
        """Close our ends of its pipes."""
        for fd in candidate.ours:
            os.close(fd)
        candidate.ours.clear()

    def _kill(self, candidate: _Candidate) -> None:
        if candidate.ended is None:
            candidate.killed = True
            os.kill(candidate.pid, signal.SIGKILL)


def _forget_signals() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
