"""Landlock: a process gives up, for itself and its threads, all files but those it names. See landlock(7).

Access that is not listed here (stat, chmod, utime, ...) is no business of Landlock's; seccomp and the mount namespace
see to it.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable

from . import kernel

# The same numbers on every architecture (include/uapi/asm-generic/unistd.h).
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG, _MAKE_SYM = 1 << 4, 1 << 5, 1 << 7, 1 << 8, 1 << 12
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_NET_BIND_TCP, _NET_CONNECT_TCP = 1 << 0, 1 << 1
_SCOPE_ABSTRACT_UNIX_SOCKET, _SCOPE_SIGNAL = 1 << 0, 1 << 1

# All rights of files that a version of the interface knows.
_KNOWN = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}

LEAST_VERSION = 3  # the first that can forbid truncating a file

_READ = _READ_FILE | _READ_DIR
_WRITE = _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _MAKE_SYM | _REFER | _TRUNCATE


def version() -> int:
    """The version of the interface that this kernel has.

    Raises:
        OSError: it has none, or it is switched off.
    """
    flags = ctypes.c_uint32(_CREATE_RULESET_VERSION)
    return kernel.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), flags)


def restrict(readable: Iterable[str], writable: Iterable[str]) -> None:
    """Leave this process no more than reading below `readable`, and reading and writing below `writable`.

    No file can be executed. TCP, signals and abstract sockets to processes outside are refused where the kernel can.

    Raises:
        OSError: the kernel cannot.
    """
    have = version()
    known = _KNOWN[min(have, max(_KNOWN))]
    attributes = struct.pack("<Q", known)
    if have >= 4:
        attributes += struct.pack("<Q", _NET_BIND_TCP | _NET_CONNECT_TCP)
    if have >= 6:
        attributes += struct.pack("<Q", _SCOPE_ABSTRACT_UNIX_SOCKET | _SCOPE_SIGNAL)
    rules = kernel.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    try:
        for paths, rights in ((readable, _READ), (writable, _READ | _WRITE)):
            for path in paths:
                _allow(rules, path, rights & known)
        kernel.syscall(_RESTRICT_SELF, ctypes.c_int(rules), ctypes.c_uint32(0))
    finally:
        os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not os.path.isdir(path):  # noqa: PTH112
            rights &= _READ_FILE | _WRITE_FILE | _TRUNCATE
        rule = struct.pack("<Qi", rights, fd)
        kernel.syscall(_ADD_RULE, ctypes.c_int(rules), ctypes.c_int(_RULE_PATH_BENEATH), rule, ctypes.c_uint32(0))
    finally:
        os.close(fd)
