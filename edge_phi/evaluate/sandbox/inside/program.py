"""One program: the examiner's process, and how it starts the candidate."""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import threading
from typing import Any, NoReturn

from . import wire
from .candidate import Candidate
from .examiner import examine
from .handles import Conversation
from .walls import Walls

_MAX_JOB = 1 << 30
_RECURSION = 20_000  # of the examiner, which compares what nests


def run(channel: int, task: str, walls: Walls) -> NoReturn:
    """Be the examiner of what comes on `channel`, and end."""
    code = 1
    try:
        walls.prepare_examiner()
        # The candidate is forked before anything of the job is read: its memory holds no test.
        asked, requests = os.pipe()
        replies, answers = os.pipe()
        candidate = walls.fork_candidate()
        if candidate == 0:
            for fd in (channel, requests, replies):
                os.close(fd)
            _be_candidate(asked, answers, walls)
        os.close(asked)
        os.close(answers)
        job = wire.receive_json(channel, _MAX_JOB)
        walls.make_folder(job["limits"])
        wire.send_json(requests, job["limits"])
        walls.confine_examiner(job["limits"], keep=(channel, requests, replies))
        random.seed(0)
        sys.setrecursionlimit(_RECURSION)
        result = examine(Conversation(requests, replies), job)
        if result is None:
            result = _ended(candidate, job["limits"])
        wire.send_json(channel, result)
        code = 0
    except BaseException:
        if os.environ.get("SANDBOX_DEBUG"):
            raise
    finally:
        os._exit(code)


def _be_candidate(requests: int, replies: int, walls: Walls) -> NoReturn:
    try:
        limits = wire.receive_json(requests, _MAX_JOB)
        walls.confine_candidate(limits, keep=(requests, replies))
        random.seed(0)
        Candidate(requests, replies).serve()
    finally:
        os._exit(0)


def _ended(candidate: int, limits: dict[str, Any]) -> dict[str, str]:
    """The verdict on a program that did not wait for its tests."""
    _, status, used = os.wait4(candidate, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGKILL and used.ru_utime + used.ru_stime >= limits["cpu_seconds"]:
        return {"outcome": "timeout", "detail": f"more than {limits['cpu_seconds']} s of CPU time"}
    how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    return {"outcome": "fail", "detail": f"the program ended before its tests did ({how})"}
