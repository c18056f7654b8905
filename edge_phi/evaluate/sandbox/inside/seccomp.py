"""The system calls that a program may make; all others fail with EPERM. See seccomp(2) and linux/filter.h.

The list is what computing in Python, with threads and with files in a folder, takes. What is not on it: a second
process, executing a file, sockets of any family, signals to others, tracing, namespaces, mounts, keys, BPF, io_uring,
memory files, devices. A kernel's new calls are not on it either.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import platform
import struct
from collections.abc import Iterable

from . import kernel

# x86-64 and ARM64 (arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h).
_NO = -1  # that architecture has no such call
_ALLOWED: dict[str, tuple[int, int]] = {
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67), "pwrite64": (18, 68),
    "preadv": (295, 69), "pwritev": (296, 70), "preadv2": (327, 286), "pwritev2": (328, 287), "lseek": (8, 62),
    "open": (2, _NO), "openat": (257, 56), "close": (3, 57), "close_range": (436, 436),
    "stat": (4, _NO), "fstat": (5, 80), "lstat": (6, _NO), "newfstatat": (262, 79), "statx": (332, 291),
    "statfs": (137, 43), "fstatfs": (138, 44), "access": (21, _NO), "faccessat": (269, 48), "faccessat2": (439, 439),
    "getdents64": (217, 61), "getcwd": (79, 17), "chdir": (80, 49), "fchdir": (81, 50), "umask": (95, 166),
    "rename": (82, _NO), "renameat": (264, 38), "renameat2": (316, 276), "mkdir": (83, _NO), "mkdirat": (258, 34),
    "rmdir": (84, _NO), "unlink": (87, _NO), "unlinkat": (263, 35), "link": (86, _NO), "linkat": (265, 37),
    "symlink": (88, _NO), "symlinkat": (266, 36), "readlink": (89, _NO), "readlinkat": (267, 78),
    "truncate": (76, 45), "ftruncate": (77, 46), "fallocate": (285, 47), "fadvise64": (221, 223), "flock": (73, 32),
    "fsync": (74, 82), "fdatasync": (75, 83), "sendfile": (40, 71), "copy_file_range": (326, 285),
    "dup": (32, 23), "dup2": (33, _NO), "dup3": (292, 24), "pipe": (22, _NO), "pipe2": (293, 59),
    "poll": (7, _NO), "ppoll": (271, 73), "select": (23, _NO), "pselect6": (270, 72),
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "mremap": (25, 216), "madvise": (28, 233),
    "brk": (12, 214), "membarrier": (324, 283),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "rt_sigpending": (127, 136),
    "rt_sigtimedwait": (128, 137), "rt_sigsuspend": (130, 133), "sigaltstack": (131, 132), "pause": (34, _NO),
    "alarm": (37, _NO), "getitimer": (36, 102), "setitimer": (38, 103),
    "nanosleep": (35, 101), "clock_nanosleep": (230, 115), "clock_gettime": (228, 113), "clock_getres": (229, 114),
    "gettimeofday": (96, 169), "time": (201, _NO), "times": (100, 153), "getrusage": (98, 165), "sysinfo": (99, 179),
    "futex": (202, 98), "set_robust_list": (273, 99), "rseq": (334, 293), "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123), "restart_syscall": (219, 128),
    "getpid": (39, 172), "getppid": (110, 173), "gettid": (186, 178), "getpgrp": (111, _NO), "getpgid": (121, 155),
    "getsid": (124, 156), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177),
    "getresuid": (118, 148), "getresgid": (120, 150), "getgroups": (115, 158), "uname": (63, 160),
    "getrlimit": (97, 163), "setrlimit": (160, 164), "getrandom": (318, 278), "wait4": (61, 260),
    "exit": (60, 93), "exit_group": (231, 94),
}  # fmt: skip
_TRUSTED = {"recvmsg": (47, 212), "sendto": (44, 206)}  # on a socket that it has: it cannot make one
# Allowed if the argument of that place, or its bits under a mask, has one of the values; None: the process itself.
_IF_ARGUMENT: dict[str, tuple[tuple[int, int], int, tuple[int | None, ...]]] = {
    "kill": ((62, 129), 0, (None,)),
    "tgkill": ((234, 131), 0, (None,)),
    "prlimit64": ((302, 261), 0, (0, None)),
    # F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_GETLK F_SETLK F_SETLKW F_DUPFD_CLOEXEC: no owner, no signal, no lease
    "fcntl": ((72, 25), 1, (0, 1, 2, 3, 4, 5, 6, 7, 1030)),
    # TCGETS TIOCGWINSZ FIONBIO FIONCLEX FIOCLEX
    "ioctl": ((16, 29), 1, (0x5401, 0x5413, 0x5421, 0x5450, 0x5451)),
    "prctl": ((157, 167), 0, (15, 16)),  # PR_SET_NAME PR_GET_NAME
}
_CLONE = (56, 220)
_CLONE_THREAD = 0x00010000
_CLONE3 = 435  # its flags are in memory, where a filter cannot look; the C library then takes clone

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7), "arm64": (1, 0xC00000B7)}
_X32_BIT = 0x40000000

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _EQUAL, _GREATER_EQUAL, _GREATER, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x25, 0x45, 0x06
_SYSCALL_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16  # struct seccomp_data
_MODE_FILTER = 2


def restrict(threads: bool, more: tuple[str, ...] = ()) -> None:
    """Leave this process and its threads the calls above, and no way to gain privileges.

    Args:
        threads: whether it may start threads.
        more: names from `_TRUSTED`, for a process that runs nothing untrusted.

    Raises:
        OSError: the kernel cannot, or the processor is one whose numbers are not known here.
    """
    program = _program(os.getpid(), threads, more)
    count = len(program) // 8
    code = ctypes.create_string_buffer(program, len(program))
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.prctl(kernel.PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(_Program(count, ctypes.addressof(code))))


def prepare(pid: int, threads: bool) -> None:
    """Work out the filter of processes of that number now, in the process that will fork them."""
    _program(pid, threads, ())


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("count", ctypes.c_ushort), ("code", ctypes.c_void_p))


@functools.lru_cache(maxsize=4)
def _program(pid: int, threads: bool, more: tuple[str, ...]) -> bytes:
    """The filter of a process of that number."""
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise OSError(errno.ENOTSUP, f"no list of system calls for {machine}")
    column, architecture = _ARCHITECTURES[machine]
    lines = [
        _line(_LOAD, _ARCHITECTURE_AT),
        _line(_EQUAL, architecture, 1, 0),
        _line(_RETURN, _KILL),
        _line(_LOAD, _SYSCALL_AT),
        _line(_GREATER_EQUAL, _X32_BIT, 0, 1),
        _line(_RETURN, _ERRNO | errno.EPERM),
    ]
    allowed = [*_ALLOWED.values(), *(_TRUSTED[name] for name in more)]
    for first, last in _ranges(number for numbers in allowed if (number := numbers[column]) != _NO):
        lines += [
            _line(_GREATER_EQUAL, first, 0, 2),
            _line(_GREATER, last, 1, 0),
            _line(_RETURN, _ALLOW),
        ]
    for numbers, place, values in _IF_ARGUMENT.values():
        tests = [_line(_EQUAL, pid if value is None else value, len(values) - at, 0) for at, value in enumerate(values)]
        lines += [
            _line(_EQUAL, numbers[column], 0, len(tests) + 3),
            _line(_LOAD, _ARGUMENTS_AT + 8 * place),
            *tests,
            _line(_RETURN, _ERRNO | errno.EPERM),
            _line(_RETURN, _ALLOW),
        ]
    lines += [
        _line(_EQUAL, _CLONE[column], 0, 4),
        _line(_LOAD, _ARGUMENTS_AT),
        _line(_ANY_BIT, _CLONE_THREAD if threads else 0, 1, 0),
        _line(_RETURN, _ERRNO | errno.EPERM),
        _line(_RETURN, _ALLOW),
        _line(_EQUAL, _CLONE3, 0, 1),
        _line(_RETURN, _ERRNO | errno.ENOSYS),
        _line(_RETURN, _ERRNO | errno.EPERM),
    ]
    return b"".join(lines)


def _line(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Runs of neighbouring numbers, so that the filter is short."""
    runs: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs
