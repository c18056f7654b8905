"""One program from the fork to the last word about it: the examiner's process, and how it starts the candidate."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from typing import Any, NoReturn

from . import output, wire
from .candidate import Candidate
from .examiner import examine
from .handles import Conversation
from .walls import Walls

EXAMINE, RUN = "examine", "run"

_MAX_JOB = 1 << 30
_MAX_FD = 1 << 20
_RECURSION = 20_000  # of the examiner, which compares what nests
_SEED = 0  # the same verdict every time, for programs that draw numbers
_LINGER_SECONDS = 0.2  # between a candidate's last word and its end


def run(channel: int, task: str, walls: Walls) -> NoReturn:
    """Be the examiner of what comes on `channel`, say there what came of it, and end."""
    code = 1
    try:
        _close_all_but(channel)
        # The candidate is forked before anything of the job is read: its memory holds no test.
        asked, requests = os.pipe()
        replies, answers = os.pipe()
        printed, out = os.pipe()
        complained, err = os.pipe()
        candidate = walls.fork_candidate()
        if candidate == 0:
            _be_candidate(task, walls, asked, answers, out, err)
        _close_all_but(channel, requests, replies, printed, complained)
        job = wire.receive_json(channel, _MAX_JOB)
        limits = job["limits"]
        walls.make_folder(limits)
        wire.send_json(requests, limits)
        walls.confine_examiner(limits)
        random.seed(_SEED)
        sys.setrecursionlimit(_RECURSION)
        result: dict[str, Any] | None
        if task == EXAMINE:
            os.close(printed)
            os.close(complained)
            result = examine(Conversation(requests, replies), job)
        else:
            wire.send(requests, job["source"].encode("utf-8", "surrogatepass"))
            result = output.collect(printed, complained, limits)
            if "outcome" not in result:
                result.update(_ended(candidate, limits))
        wire.send_json(channel, result if result is not None else _ended_early(candidate, limits))
        code = 0
    finally:
        os._exit(code)


def _be_candidate(task: str, walls: Walls, requests: int, replies: int, out: int, err: int) -> NoReturn:
    code = 1
    try:
        if task == RUN:
            os.dup2(out, 1)
            os.dup2(err, 2)
        _close_all_but(requests, replies)
        limits = wire.receive_json(requests, _MAX_JOB)
        walls.confine_candidate(limits)
        random.seed(_SEED)
        if task == EXAMINE:
            Candidate(requests, replies).serve()
        else:
            source = wire.receive(requests, _MAX_JOB).decode("utf-8", "surrogatepass")
            _close_all_but()
            code = output.run(source)
    finally:
        os._exit(code)


def _close_all_but(*kept: int) -> None:
    """Beside 0, 1 and 2, which are the null device until something else is put in their place."""
    first = 3
    for fd in sorted(kept):
        os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, _MAX_FD)


def _ended_early(candidate: int, limits: dict[str, Any]) -> dict[str, str]:
    """The verdict on a program that did not wait for the end of its tests."""
    end = _ended(candidate, limits)
    if end["outcome"] == "timeout":
        return end
    return {"outcome": "fail", "detail": f"the program ended before its tests did: {end['detail'] or 'exit code 0'}"}


def _ended(candidate: int, limits: dict[str, Any]) -> dict[str, str]:
    """How the candidate ended, as outcome and detail."""
    until = time.monotonic() + _LINGER_SECONDS
    pid, status, used = os.wait4(candidate, os.WNOHANG)
    while not pid and time.monotonic() < until:
        time.sleep(0.001)
        pid, status, used = os.wait4(candidate, os.WNOHANG)
    if not pid:
        return {"outcome": "fail", "detail": "it has closed its pipes"}
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGKILL and used.ru_utime + used.ru_stime >= limits["cpu_seconds"]:
        return {"outcome": "timeout", "detail": f"more than {limits['cpu_seconds']} s of CPU time"}
    if code < 0:
        return {"outcome": "fail", "detail": f"killed by signal {-code}"}
    return {"outcome": "fail" if code else "pass", "detail": f"exit code {code}" if code else ""}
