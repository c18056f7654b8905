"""The walls around a program, each put up at the moment the kernel allows it.

With namespaces the worker is the first process of a PID namespace, and every examiner and every candidate that of
another inside it: killing one kills all below it, and none sees those above or beside it. Where they are missing,
seccomp keeps a program from starting processes and from signalling any, and Landlock from all files but Python's.
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
_ALWAYS = {"NOFILE": 64, "CORE": 0, "MEMLOCK": 0, "MSGQUEUE": 0}
_NULL = "/dev/null"
_EXAMINER_LIMITS = {"memory_bytes": 4 << 30, "file_bytes": 0, "threads": 1}


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
            if self._seccomp:
                seccomp.prepare(1, threads=True)  # every candidate's

    def fork(self) -> int:
        """Fork in the worker, as `os.fork`; the child is the first of a PID namespace and ends with its parent."""
        if self._namespaces:
            kernel.children_in_own_pid_namespace(self._own)
        child = os.fork()
        if child == 0:
            if not self._namespaces:
                os.setpgid(0, 0)
            if sys.platform == "linux":
                kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        return child

    def confine_examiner(self) -> None:
        """Take all from this process but reading Python's files, computing, and files that the worker hands to it."""
        self._confine(_EXAMINER_LIMITS, (), ("recvmsg", "sendto"))

    def confine_candidate(self, limits: dict[str, Any]) -> None:
        """Take all from this process but reading Python's files, computing, the pipes it has, and a folder.

        Without namespaces there is no folder: nothing would bound it.
        """
        if self._namespaces:
            kernel.unshare(kernel.CLONE_NEWNS)
            view.make_folder(limits["file_bytes"])
            os.chdir(view.FOLDER)
        self._confine(limits, (view.FOLDER, _NULL) if self._namespaces else ())

    def limit_time(self, cpu_seconds: int) -> None:
        """Bound the CPU time that this process takes from its fork on."""
        set_limits({"CPU": cpu_seconds})

    def kill_rest(self, candidate: int) -> None:
        """Kill what a candidate that has ended may have left; with namespaces the kernel has done so."""
        if not self._namespaces:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(candidate, signal.SIGKILL)

    def _confine(self, limits: dict[str, Any], writable: tuple[str, ...], calls: tuple[str, ...] = ()) -> None:
        if self._namespaces:
            kernel.unshare(kernel.CLONE_NEWUSER)  # where its threads are counted apart from everybody's
        set_limits({"AS": limits["memory_bytes"], "FSIZE": limits["file_bytes"], **_ALWAYS})
        if self._namespaces:
            set_limits({"NPROC": limits["threads"]})
        if self._landlock or self._seccomp:
            kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        if self._landlock:
            landlock.restrict(self._readable, writable)
        if sys.platform == "linux":
            kernel.drop_capabilities()
        if self._seccomp:
            # Nothing else would bound their number where there are no user namespaces.
            seccomp.restrict(self._namespaces and limits["threads"] > 1, calls)


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


def set_limits(limits: dict[str, int]) -> None:
    """Resource limits by the names of man 2 setrlimit, none of which can be raised again."""
    for name, value in limits.items():
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


def _wait_for(worker: int) -> None:
    """Wait without a file of the worker's, so that whoever reads from it sees it end."""
    os.closerange(0, 1 << 10)
    try:
        os.waitpid(worker, 0)
    finally:
        os._exit(0)
