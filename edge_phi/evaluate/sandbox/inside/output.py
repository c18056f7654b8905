"""A program that is only run: what it prints, and how it ends."""

from __future__ import annotations

import os
import select
import sys
import threading
import time
import traceback
from typing import Any

_CHUNK = 1 << 16


def run(source: str) -> int:
    """Run `source` as a script in this process and return its exit code. Never raises what the script raises."""
    code = 0
    try:
        exec(compile(source, "<program>", "exec", dont_inherit=True), {"__name__": "__main__"})
    except SystemExit as stop:
        code = _exit_code(stop.code)
    except BaseException as error:
        frames = error.__traceback__ and error.__traceback__.tb_next  # without this one
        traceback.print_exception(type(error), error, frames)
        code = 1
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code


def collect(out: int, err: int, life: int, limits: dict[str, Any]) -> dict[str, Any]:
    """Read what a program prints until it ends or its time is over.

    Args:
        out, err: its standard output and error.
        life: a pipe that closes when it ends.
        limits: those of the program.

    Returns:
        "outcome" ("ended" or "timeout"), "detail", "stdout", "stderr", "truncated".
    """
    ends_at = time.monotonic() + limits["seconds"]
    kept = {out: bytearray(), err: bytearray(), life: bytearray()}
    truncated = False
    poll = select.poll()
    for fd in kept:
        poll.register(fd, select.POLLIN)
    waiting = set(kept)
    while waiting and (left := ends_at - time.monotonic()) > 0:
        for fd, _ in poll.poll(left * 1000):
            piece = os.read(fd, _CHUNK)
            if not piece:
                poll.unregister(fd)
                waiting.discard(fd)
            room = limits["output_bytes"] - len(kept[fd])
            truncated |= len(piece) > room
            kept[fd] += piece[:room]
    return {
        "outcome": "timeout" if waiting else "ended",
        "detail": f"more than {limits['seconds']:g} s" if waiting else "",
        "stdout": kept[out].decode("utf-8", "replace"),
        "stderr": kept[err].decode("utf-8", "replace"),
        "truncated": truncated,
    }


def _exit_code(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1
