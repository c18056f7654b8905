"""Who comes first where all cores are at work: what draws, then what else the user runs, then the engines.

A niceness says how much of a core a thread gets, not how soon. Linux lets a thread that is woken wait until the one
that runs has had its slice, some milliseconds (EEVDF, since 6.6), unless the woken one has asked for a shorter slice
(sched_setattr(2), since 6.12; before, the question is ignored).
"""

from __future__ import annotations

import os
import platform
import struct
import sys
from contextlib import suppress

_SHORT_NS = 100_000  # the shortest there is
_SET_ATTRIBUTES = {"x86_64": 314, "aarch64": 274}  # numbers of the system call, which Python has no name for
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")  # size, policy, flags, niceness, priority, runtime, deadline, period


def come_first() -> None:
    """Let the thread that calls this run as soon as there is something to do."""
    _set(0, _SHORT_NS)


def give_way(niceness: int) -> None:
    """Let this process come after others; to be called before it starts threads that are to do so, too."""
    _set(niceness, 0)


def _set(niceness: int, slice_ns: int) -> None:
    """Both are told to the system by one call, which a process hands on to those it starts; 0 is the usual slice."""
    if not hasattr(os, "nice"):
        return
    with suppress(OSError):
        os.nice(niceness)
    if sys.platform == "linux" and (number := _SET_ATTRIBUTES.get(platform.machine())) is not None:
        import ctypes

        now = os.getpriority(os.PRIO_PROCESS, 0)
        attributes = _ATTRIBUTES.pack(_ATTRIBUTES.size, 0, 0, now, 0, slice_ns, 0, 0)
        ctypes.CDLL(None).syscall(number, 0, attributes, 0)
