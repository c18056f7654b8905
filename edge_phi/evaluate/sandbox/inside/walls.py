"""The walls around a program, each put up at the moment the kernel allows it.

With namespaces the worker is the first process of a PID namespace, every examiner that of another inside it, and every
candidate that of a third: killing one kills all below it, and none sees those above. Where they are missing, seccomp
keeps a program from starting processes and from signalling any, and Landlock from all files but Python's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Any

try:
    import resource
except ImportError:  # Windows, where no worker can be started
    resource = None  # type: ignore[assignment]

if sys.platform == "linux":
    from . import kernel, landlock, seccomp, view

NAMESPACES, LANDLOCK, SECCOMP = "namespaces", "landlock", "seccomp"

_NOBODY = 65534
_OPEN_FILES = 64
_NULL = "/dev/null"


class Walls:
    """Those of the walls that this machine has; each method belongs to a moment in the life of a process.

    Args:
        names: NAMESPACES, LANDLOCK, SECCOMP: what to use; resource limits and process groups are used everywhere.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._namespaces = NAMESPACES in names
        self._landlock = LANDLOCK in names
        self._seccomp = SECCOMP in names
        self._readable: list[str] = []
        self._own = -1  # a pidfd of the worker

    def enter(self) -> None:
        """Put the worker behind them. With namespaces it goes on as a child, whose parent waits here for its end.

        Raises:
            OSError: the kernel does not let us.
        """
        self._readable = [*view.readable(), _NULL] if sys.platform == "linux" else []
        if self._namespaces:
            enter_namespaces()
            self._readable = ["/"]
            worker = os.fork()
            if worker:
                _wait_for(worker)
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
            self._own = os.pidfd_open(os.getpid())

    def fork_examiner(self) -> int:
        """Fork, as `os.fork`; the child is the first of a PID namespace and ends with its parent."""
        if self._namespaces:
            kernel.children_in_own_pid_namespace(self._own)
        child = os.fork()
        if child == 0:
            if self._namespaces:
                kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
                kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWPID)
            else:
                os.setpgid(0, 0)
                _end_with_parent()
        return child

    def fork_candidate(self) -> int:
        """Fork in the examiner; the child is the first of another PID namespace and ends with its parent."""
        child = os.fork()
        if child == 0:
            _end_with_parent()
        return child

    def make_folder(self, limits: dict[str, Any]) -> None:
        """Give examiner and candidate an empty folder; without namespaces there is none."""
        if self._namespaces:
            view.make_folder(limits["file_bytes"])

    def confine_examiner(self, limits: dict[str, Any]) -> None:
        """Take all from this process but reading Python's files, computing, and the pipes it has."""
        self._confine({**limits, "file_bytes": 0, "threads": 1}, ())

    def confine_candidate(self, limits: dict[str, Any]) -> None:
        """As the examiner, but for threads and the folder, which it enters."""
        if self._namespaces:
            os.chdir(view.FOLDER)
        self._confine(limits, (view.FOLDER, _NULL) if self._namespaces else ())

    def kill_rest(self, examiner: int) -> None:
        """Kill what an examiner that has ended may have left; with namespaces the kernel has done so."""
        if not self._namespaces:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(examiner, signal.SIGKILL)

    def _confine(self, limits: dict[str, Any], writable: tuple[str, ...]) -> None:
        if self._namespaces:
            kernel.unshare(kernel.CLONE_NEWUSER)  # where its threads are counted apart from everybody's
        set_limits(limits, count_threads=self._namespaces)
        if self._landlock or self._seccomp:
            kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        if self._landlock:
            landlock.restrict(self._readable, writable)
        if sys.platform == "linux":
            kernel.drop_capabilities()
        if self._seccomp:
            seccomp.restrict()


def enter_namespaces() -> None:
    """New namespaces of every kind for this process, whose children are in the new PID namespace; only Python's files.

    Root takes the mounts before it becomes nobody: its Python may lie where nobody may look.

    Raises:
        OSError: the kernel does not let us.
    """
    others = kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
    others |= kernel.CLONE_NEWCGROUP
    me = os.open("/proc/self", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    if os.geteuid() == 0:
        kernel.unshare(kernel.CLONE_NEWNS)
        view.enter()
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # or the files of /proc/self stay root's
        kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS)
        _map_ids(me, _NOBODY, _NOBODY)
    else:
        user, group = os.geteuid(), os.getegid()
        kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS)
        _map_ids(me, user, group)
        view.enter()
    os.close(me)
    kernel.unshare(others)


def set_limits(limits: dict[str, Any], count_threads: bool) -> None:
    """Resource limits (man 2 setrlimit), none of which can be raised again."""
    wanted = {
        "AS": limits["memory_bytes"],
        "CPU": limits["cpu_seconds"],
        "FSIZE": limits["file_bytes"],
        "NOFILE": _OPEN_FILES,
        "CORE": 0,
        "MEMLOCK": 0,
        "MSGQUEUE": 0,
    }
    if count_threads:
        wanted["NPROC"] = limits["threads"]
    for name, value in wanted.items():
        kind = getattr(resource, f"RLIMIT_{name}", None)
        if kind is not None:
            hard = resource.getrlimit(kind)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            with contextlib.suppress(ValueError):  # macOS takes no limit on the address space below what is in use
                resource.setrlimit(kind, (value, value))


def _map_ids(me: int, user: int, group: int) -> None:
    """One user and one group of the new user namespace: nobody inside, the one we were outside; user_namespaces(7)."""
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{_NOBODY} {user} 1"),
        ("gid_map", f"{_NOBODY} {group} 1"),
    ):
        fd = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=me)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)


def _end_with_parent() -> None:
    if sys.platform == "linux":
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait_for(worker: int) -> None:
    """Wait without a file of the worker's, so that whoever reads from it sees it end."""
    os.closerange(0, 1 << 10)
    try:
        os.waitpid(worker, 0)
    finally:
        os._exit(0)
