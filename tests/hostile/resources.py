"""Programs that take all time, memory, output or processes, or outlive their end."""

from __future__ import annotations

from .program import LEAKED, REACHED, Hostile

PROGRAMS = (
    Hostile(
        "busy",
        "never ends",
        """
while True:
    pass
""",
        outcomes=("timeout",),
        seconds=0.5,
    ),
    Hostile(
        "ignored_signals",
        "ignores every signal and never ends",
        """
import signal

for s in range(1, 65):
    try:
        signal.signal(s, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
while True:
    pass
""",
        outcomes=("timeout",),
        spawns=True,
        seconds=0.5,
    ),
    Hostile(
        "endless_thread",
        "leaves threads that never end",
        """
import threading

def g():
    while True:
        pass

for _ in range(4):
    threading.Thread(target=g).start()

def f(x):
    return 0
""",
        outcomes=("fail", "timeout"),
    ),
    Hostile(
        "regular_expression",
        "holds the interpreter in one C call",
        """
import re

def f(x):
    return re.match("(a+)+$", "a" * 40 + "b")
""",
        outcomes=("timeout",),
        seconds=0.5,
    ),
    Hostile(
        "power",
        "computes a number that does not fit",
        """
def f(x):
    return 9**9**9
""",
        outcomes=("timeout", "fail"),
        seconds=0.5,
    ),
    Hostile(
        "stopped",
        "stops itself and its parent",
        """
import os, signal

def f(x):
    for pid in (os.getpid(), os.getppid()):
        try:
            os.kill(pid, signal.SIGSTOP)
        except OSError:
            pass
    return 0
""",
        outcomes=("fail", "timeout"),
        spawns=True,
        seconds=0.5,
    ),
    Hostile(
        "timers",
        "has timers and faulthandler end it, and raises from a handler",
        """
import faulthandler, signal

faulthandler.dump_traceback_later(0.05, exit=True)

def g(*_):
    raise SystemExit(0)

signal.signal(signal.SIGALRM, g)
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)

def f(x):
    while True:
        try:
            while True:
                pass
        except SystemExit:
            pass
""",
        outcomes=("fail", "timeout"),
        seconds=1.0,
    ),
    Hostile(
        "memory_bomb",
        "takes all memory",
        """
def f(x):
    held = []
    while True:
        held.append(bytearray(1 << 26))
""",
    ),
    Hostile(
        "zip_bomb",
        "unpacks 10 GB",
        """
import zlib

bomb = zlib.compress(bytes(50 << 20))

def f(x):
    return b"".join(zlib.decompress(bomb) for _ in range(200))
""",
        outcomes=("fail", "timeout"),
        seconds=1.0,
    ),
    Hostile(
        "deep_recursion",
        "recurses without a limit",
        """
import sys

sys.setrecursionlimit(10**9)

def f(x):
    return f(x)
""",
        outcomes=("fail", "timeout"),
        seconds=1.0,
    ),
    Hostile(
        "deep_recursion_in_c",
        "recurses in C code until the stack ends",
        """
import sys

sys.setrecursionlimit(10**9)
x = []
for _ in range(3_000_000):
    x = [x]

def f(y):
    return repr(x)
""",
        outcomes=("fail", "timeout"),
        seconds=1.0,
    ),
    Hostile(
        "segmentation_fault",
        "reads address 0",
        """
import ctypes

def f(x):
    return ctypes.string_at(0)
""",
    ),
    Hostile(
        "abort",
        "aborts",
        """
import os

def f(x):
    os.abort()
""",
    ),
    Hostile(
        "nested_parentheses",
        "has a source of a million parentheses",
        "(" * 1_000_000,
    ),
    Hostile(
        "long_source",
        "has a source of 10 MB",
        "x = 1\n" * 1_700_000 + "def f(x): return 0",
        outcomes=("fail", "timeout"),
    ),
    Hostile(
        "nul_in_source",
        "has a NUL in its source",
        "def f(x): return 2\x00\n",
    ),
    Hostile(
        "surrogate_in_source",
        "has a lone surrogate in its source",
        "def f(x): return '\ud800'\n",
    ),
    Hostile(
        "empty",
        "is empty",
        "",
    ),
    Hostile(
        "endless_output",
        "prints without an end",
        """
import sys

while True:
    print("x" * 1000)
    print("y" * 1000, file=sys.stderr)
""",
        outcomes=("timeout",),
        seconds=0.5,
    ),
    Hostile(
        "surrogate_output",
        "prints what cannot be encoded",
        r"""
print("\ud800\x00\x1b[2J", flush=True)

def f(x):
    return 0
""",
    ),
    Hostile(
        "fork_bomb",
        "forks without an end",
        """
import os

def f(x):
    while True:
        os.fork()
""",
        outcomes=("fail", "timeout"),
        spawns=True,
        seconds=1.0,
    ),
    Hostile(
        "double_fork",
        "leaves a process of its own session behind, which writes later",
        """
import os, time

def g():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True:
                time.sleep(0.05)
                open(SENTINEL, "w").write("harm")
        os._exit(0)

def f(x):
    return caught(g) and 0
""",
        spawns=True,
    ),
    Hostile(
        "spawn_storm",
        "starts shells by every call there is",
        """
import os, subprocess

def f(x):
    return caught(
        *[
            lambda: subprocess.run(["/bin/sh", "-c", "echo SECRET"], capture_output=True).stdout,
            lambda: os.posix_spawn("/bin/sh", ["/bin/sh", "-c", "echo SECRET"], {}),
            lambda: os.system("echo SECRET"),
            lambda: os.popen("echo SECRET").read(),
        ]
        * 20
    )
""",
        tests=LEAKED,
        spawns=True,
    ),
    Hostile(
        "exec",
        "becomes another program",
        """
import os

def f(x):
    os.execv("/bin/true", ["/bin/true"])
""",
    ),
    Hostile(
        "memory_file_exec",
        "runs a file that exists in memory only",
        r"""
import os

def g():
    fd = os.memfd_create("x")
    os.write(fd, b"#!/bin/sh\necho SECRET")
    os.execve(fd, ["x"], {})

def f(x):
    return caught(g)
""",
    ),
    Hostile(
        "raw_fork",
        "forks by number",
        """
import ctypes, platform

libc = ctypes.CDLL(None)

def f(x):
    if platform.machine() != "x86_64":
        return 0
    return [n for n in (57, 58) if libc.syscall(n) > 0] + (
        [56] if libc.syscall(56, 17, 0, 0, 0, 0) > 0 else []
    )
""",
        tests=REACHED,
    ),
    Hostile(
        "thread_bomb",
        "starts threads without an end",
        """
import threading, time

def g():
    for _ in range(5000):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    return "SECRET"

def f(x):
    threading.stack_size(65536)
    return caught(g)
""",
        tests=LEAKED,
    ),
)
