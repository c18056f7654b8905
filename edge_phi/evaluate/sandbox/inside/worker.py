"""The warm process: everything that starting Python costs is paid here once.

For every program it forks an examiner, which forks the candidate. It reads neither programs nor tests, so that none of
them is left in the memory that later programs inherit. When an examiner ends, or its time is over, whatever it started
is killed, and the worker says on the program's own channel how it ended; that is the last thing said there.
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
from dataclasses import dataclass
from typing import Any

from . import program, wire
from .walls import Walls

# What programs and tests import most, so that forking is all it takes.
_WARM = """
    abc array ast bisect bz2 calendar cmath collections collections.abc contextlib copy ctypes dataclasses datetime decimal
    enum fractions functools hashlib heapq io itertools json lzma math numbers operator os queue random re statistics
    string struct sys textwrap threading time traceback types typing unicodedata zlib
""".split()  # among them all that load libraries of the system, which no program can reach


@dataclass
class _Running:
    channel: socket.socket
    ends_at: float
    overdue: bool = False


def main(control_fd: int, walls: tuple[str, ...]) -> None:
    """Serve orders from the control socket until it closes."""
    for name in _WARM:
        importlib.import_module(name)
    os.environ.clear()
    sys.argv[:] = [""]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a program may print a surrogate
    control = socket.socket(fileno=control_fd)
    inside = Walls(walls)
    try:
        inside.enter()
    except OSError as error:
        wire.send_json(control_fd, {"error": f"{error.filename}: {error.strerror}"})
        return
    Worker(control, inside).run()


class Worker:
    """Starts programs and waits for them."""

    def __init__(self, control: socket.socket, walls: Walls) -> None:
        self._control = control
        self._walls = walls
        self._running: dict[int, _Running] = {}

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
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(ended, select.POLLIN)
        while True:
            soonest = min((one.ends_at for one in self._running.values() if not one.overdue), default=None)
            wait = None if soonest is None else max(0.0, soonest - time.monotonic()) * 1000
            events = dict(poll.poll(wait))
            if ended in events:
                os.read(ended, 1 << 10)
            self._reap()
            self._stop_overdue()
            if self._control.fileno() in events and not self._take_order():
                return

    def _take_order(self) -> bool:
        """Start the program whose channel comes with the order; False where no more will come."""
        # Of a stream, only the first four bytes bring the file: they come in one piece, and so does the rest.
        length, channels, _, _ = socket.recv_fds(self._control, 4, 1)
        if len(length) < 4 or not channels:
            return False
        order = json.loads(self._control.recv(int.from_bytes(length, "little"), socket.MSG_WAITALL))
        channel = socket.socket(fileno=channels[0])
        pid = self._walls.fork_examiner()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            program.run(channel.fileno(), order["task"], self._walls)
        self._running[pid] = _Running(channel, time.monotonic() + order["seconds"])
        return True

    def _stop_overdue(self) -> None:
        now = time.monotonic()
        for pid, one in self._running.items():
            if not one.overdue and one.ends_at <= now:
                one.overdue = True
                os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            one = self._running.pop(pid, None)
            if one is None:  # somebody's orphan
                continue
            self._walls.kill_rest(pid)
            end: dict[str, Any] = {"end": os.waitstatus_to_exitcode(status), "overdue": one.overdue}
            one.channel.setblocking(False)
            with contextlib.suppress(wire.Closed, OSError):  # whoever asked may have gone
                wire.send_json(one.channel.fileno(), end)
            one.channel.close()
