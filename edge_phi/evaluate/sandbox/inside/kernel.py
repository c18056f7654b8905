"""The few calls of the Linux C library that Python does not offer (some of them from 3.12 on). Numbers: linux/*.h."""

from __future__ import annotations

import ctypes
import functools
import os
from typing import Any

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
_MNT_DETACH = 2

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38

_CAPABILITY_VERSION_3 = 0x20080522


@functools.cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: Any) -> int:
    """Call a function of the C library that returns -1 and sets errno when it fails.

    Raises:
        OSError: it failed, with the function's name for a file name; or the library does not have it.
    """
    try:
        function = getattr(_libc(), name)
    except AttributeError:
        raise OSError(f"this C library has no {name}") from None
    result: int = function(*arguments)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), name)
    return result


def prctl(option: int, value: Any = 0, extra: Any = 0) -> None:
    """man 2 prctl."""
    call("prctl", ctypes.c_int(option), _word(value), _word(extra), _word(0), _word(0))


def unshare(flags: int) -> None:
    """Leave namespaces for new ones; man 2 unshare."""
    call("unshare", ctypes.c_int(flags))


def children_in_own_pid_namespace(own: int) -> None:
    """Let the next child be the first process of a new PID namespace, whatever was asked of earlier ones.

    Args:
        own: a pidfd of this process.
    """
    call("setns", ctypes.c_int(own), ctypes.c_int(CLONE_NEWPID))
    unshare(CLONE_NEWPID)


def mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """man 2 mount."""
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    call("mount", texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])


def make_root(folder: str) -> None:
    """Let `folder`, which is a mount, be the root of this mount namespace and detach the old one; man 2 pivot_root."""
    os.chdir(folder)
    call("pivot_root", b".", b".")
    call("umount2", b".", ctypes.c_int(_MNT_DETACH))
    os.chdir("/")


def drop_capabilities() -> None:
    """Give up every capability; man 2 capset."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    call("capset", header, (ctypes.c_uint32 * 6)())


def syscall(number: int, *arguments: Any) -> int:
    """man 2 syscall."""
    return call("syscall", ctypes.c_long(number), *arguments)


def _word(value: Any) -> Any:
    return ctypes.c_ulong(value) if isinstance(value, int) else value
