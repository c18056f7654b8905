"""The two processes that meet over a program: what each does from its fork on."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import sys
from typing import Any, NoReturn

from . import output, wire
from .candidate import Candidate
from .examiner import examine
from .handles import Conversation
from .walls import Walls

EXAMINE, RUN = "examine", "run"

_READY = b"ready"
_MAX_JOB = 1 << 30
_MAX_FD = min(os.sysconf("SC_OPEN_MAX"), 1 << 20)
_RECURSION = 20_000  # of the examiner, which compares what nests
_SEED = 0  # the same verdict every time, for programs that draw numbers


def be_examiner(seat: int, walls: Walls) -> NoReturn:
    """Examine one program after another, as they come with their files; say on `seat` when one is done."""
    code = 1
    try:
        _close_all_but(seat)
        control = socket.socket(fileno=seat)
        walls.confine_examiner()
        sys.setrecursionlimit(_RECURSION)
        while True:
            task, files, _, _ = socket.recv_fds(control, 1, 5)
            if not task:
                break
            channel, requests, replies, printed, complained = files
            job = wire.receive_json(channel, _MAX_JOB)
            random.seed(_SEED)
            wire.send_json(channel, _result(job, requests, replies, printed, complained))
            for fd in files:
                os.close(fd)
            control.send(b"!")
        code = 0
    finally:
        os._exit(code)


def be_candidate(
    task: str, limits: dict[str, Any], walls: Walls, requests: int, replies: int, out: int, err: int
) -> NoReturn:
    """Run the untrusted source that comes on `requests`, after the limit of its time, which only then is known."""
    code = 1
    try:
        if task == RUN:
            os.dup2(out, 1)
            os.dup2(err, 2)
        _close_all_but(requests, replies)
        walls.confine_candidate(limits)
        random.seed(_SEED)
        last = wire.receive_json(requests, _MAX_JOB)
        walls.limit_time(last["cpu_seconds"])
        wire.send(replies, _READY)
        if task == EXAMINE:
            Candidate(requests, replies).serve()
        else:
            source = wire.receive(requests, _MAX_JOB).decode("utf-8", "surrogatepass")
            code = output.run(source)
    finally:
        os._exit(code)


def _result(job: dict[str, Any], requests: int, replies: int, printed: int, complained: int) -> dict[str, Any]:
    try:
        wire.send_json(requests, {"cpu_seconds": job["limits"]["cpu_seconds"]})
        if wire.receive(replies) != _READY:
            raise wire.Closed
    except (wire.Closed, wire.Oversized):
        return {"outcome": "infrastructure_error", "detail": "the process for the program did not start"}
    if "tests" in job:
        return examine(Conversation(requests, replies), job)
    with contextlib.suppress(wire.Closed):  # how it ended tells
        wire.send(requests, job["source"].encode("utf-8", "surrogatepass"))
    return output.collect(printed, complained, replies, job["limits"])


def _close_all_but(*kept: int) -> None:
    """Beside 0, 1 and 2, which are the null device until something else is put in their place."""
    first = 3
    for fd in sorted(kept):
        os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, _MAX_FD)
