"""Puts up each wall around a process that then tries to get past it, and prints which of them hold or why not."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import socket
import sys
from collections.abc import Callable
from typing import NoReturn

from .walls import LANDLOCK, NAMESPACES, SECCOMP, enter_namespaces, set_limits

if sys.platform == "linux":
    from . import landlock, seccomp, view

LIMITS = "limits"

_TRIAL_BYTES = 256 << 20
_MAX_REPORT = 1 << 12


class _Leaks(Exception):
    """A wall was put up, and something got past it."""


def main() -> None:
    """Print a JSON list of name, present and detail."""
    tried = {NAMESPACES: _namespaces, LANDLOCK: _landlock, SECCOMP: _seccomp, LIMITS: _limits}
    report = []
    for name, attempt in tried.items():
        present, detail = _in_child(attempt)
        report.append({"name": name, "present": present, "detail": detail})
    print(json.dumps(report))


def _namespaces() -> str:
    enter_namespaces()
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status):
            raise _Leaks("a process inside sees files, processes or networks of this machine")
        return "user, mount, PID, network, IPC, UTS and cgroup, fresh PID and mount namespaces for each program"
    try:
        first = os.getpid() == 1
        seen = {path.split("/")[1] for path in (*view.readable(), view.FOLDER, "/dev/null")}
        alone = set(os.listdir("/")) == seen  # noqa: PTH208
        with socket.socket() as out:
            unreachable = out.connect_ex(("127.0.0.1", 9)) == errno.ENETUNREACH
        os._exit(0 if first and alone and unreachable else 1)
    finally:
        os._exit(1)


def _landlock() -> str:
    have = landlock.version()
    if have < landlock.LEAST_VERSION:
        raise _Leaks(f"version {have} cannot forbid truncating files: version {landlock.LEAST_VERSION} is needed")
    landlock.restrict(view.readable(), ())
    if not os.listdir(view.readable()[0]):  # noqa: PTH208
        raise _Leaks("Python's own files cannot be read")
    for path, how in (("/", os.O_RDONLY), ("/etc/passwd", os.O_RDONLY), ("/dev/null", os.O_WRONLY)):
        with contextlib.suppress(PermissionError):
            os.close(os.open(path, how))
            raise _Leaks(f"{path} can be opened")
    return f"version {have}: no file but Python's own"


def _seccomp() -> str:
    seccomp.restrict(threads=False)
    for name, forbidden in (
        ("a socket", lambda: socket.socket(socket.AF_UNIX)),
        ("a process", _spawn),
        ("a signal to the parent", lambda: os.kill(os.getppid(), 0)),
    ):
        try:
            forbidden()
        except PermissionError:
            continue
        raise _Leaks(f"{name} is possible")
    return f"{platform.machine()}: no process, socket, signal to others, tracing or mount"


def _limits() -> str:
    if not hasattr(os, "fork"):
        raise _Leaks("this system has none")
    set_limits({"AS": _TRIAL_BYTES, "CPU": 10, "FSIZE": 0})
    try:
        bytearray(2 * _TRIAL_BYTES)
    except MemoryError:
        return "memory, CPU time, file size, open files"
    raise _Leaks("the address space is not bounded")


def _spawn() -> None:
    if os.fork() == 0:
        os._exit(0)


def _in_child(attempt: Callable[[], str]) -> tuple[bool, str]:
    """Whether `attempt` succeeds in a child, and what it returns, or why not."""
    if not hasattr(os, "fork") or (attempt is not _limits and sys.platform != "linux"):
        return False, f"{platform.system()} has none"
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _report(attempt, write)
    os.close(write)
    said = b""
    while piece := os.read(read, _MAX_REPORT):
        said += piece
    os.close(read)
    _, status = os.waitpid(child, 0)
    if not said:
        return False, f"the trial ended early ({os.waitstatus_to_exitcode(status)})"
    return said[:1] == b"1", said[1:].decode()


def _report(attempt: Callable[[], str], write: int) -> NoReturn:
    try:
        os.write(write, b"1" + attempt().encode())
    except OSError as error:
        os.write(write, f"0{error.filename or 'call'}: {error.strerror or error}".encode())
    except BaseException as error:
        os.write(write, f"0{error}".encode())
    finally:
        os._exit(0)
