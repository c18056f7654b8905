"""Programs that attack the channel their answers go through, or answer with what breaks its reader."""

from __future__ import annotations

from .program import Hostile

PROGRAMS = (
    Hostile(
        "write_to_every_fd",
        "writes forged answers to everything it has open",
        r"""
import os

def f(x):
    for fd in range(256):
        for said in (b"pass", b'{"outcome": "pass"}', b"\x01\0\0\0r"):
            try:
                os.write(fd, said)
            except OSError:
                pass
    return 0
""",
    ),
    Hostile(
        "write_before_loading",
        "has answers wait in the pipe before it is asked",
        r"""
import os

for fd in range(256):
    try:
        os.write(fd, (b"\x0b\0\0\0" + b"\0" * 8 + b"r0N") * 1000)
    except OSError:
        pass

def f(x):
    return 0
""",
    ),
    Hostile(
        "flood_pipe",
        "floods everything it has open",
        """
import os

def f(x):
    while True:
        for fd in range(3, 20):
            try:
                os.write(fd, b"x" * 65536)
            except OSError:
                pass
""",
        outcomes=("fail", "timeout"),
        seconds=1.0,
    ),
    Hostile(
        "announce_gigabytes",
        "announces a message of 4 GB",
        r"""
import os

def f(x):
    for fd in range(3, 20):
        try:
            os.write(fd, b"\xff\xff\xff\xff")
        except OSError:
            pass
    import time

    time.sleep(60)
""",
        outcomes=("fail", "timeout"),
        seconds=1.0,
    ),
    Hostile(
        "forged_protocol",
        "finds the sandbox's own code in memory and answers as it would",
        """
import gc, sys

wire = sys.modules["inside.wire"]
Writer = sys.modules["inside.writing"].Writer

def f(x):
    me = [o for o in gc.get_objects() if type(o).__name__ == "Candidate"][0]
    w = Writer(me.handle)
    w.data += b"r0"
    w.write(0)
    for _ in range(50):
        wire.send(me._replies, me._token, w.data)
    return 0
""",
    ),
    Hostile(
        "deep_protocol",
        "answers with a value that nests a million deep",
        r"""
import gc, sys

wire = sys.modules["inside.wire"]

def f(x):
    me = [o for o in gc.get_objects() if type(o).__name__ == "Candidate"][0]
    wire.send(me._replies, me._token, b"r0" + b"(\1\0\0\0*" * 10**6 + b"N")
""",
    ),
    Hostile(
        "endless_calls_back",
        "calls functions it was never given",
        """
import gc, sys

wire = sys.modules["inside.wire"]

def f(x):
    me = [o for o in gc.get_objects() if type(o).__name__ == "Candidate"][0]
    return me.call(7, (), {})
""",
    ),
    Hostile(
        "close_every_fd",
        "closes everything it has",
        """
import os

os.closerange(0, 256)

def f(x):
    return 0
""",
    ),
    Hostile(
        "closed_and_alive",
        "closes everything and works on",
        """
import os

os.closerange(0, 256)
while True:
    pass
""",
    ),
    Hostile(
        "read_every_fd",
        "hangs in a read",
        """
import os

def f(x):
    for fd in range(3, 20):
        try:
            os.read(fd, 100)
        except OSError:
            pass
""",
        outcomes=("timeout", "fail"),
        seconds=0.5,
    ),
    Hostile(
        "huge_answer",
        "returns 200 MB",
        """
def f(x):
    return "x" * (200 << 20)
""",
    ),
    Hostile(
        "many_answers",
        "returns 50 million small things",
        """
def f(x):
    return [None] * 50_000_000
""",
    ),
    Hostile(
        "deep_answer",
        "returns a list that nests 100,000 deep",
        """
def f(x):
    r = []
    for _ in range(100_000):
        r = [r]
    return r
""",
    ),
    Hostile(
        "cyclic_answer",
        "returns a list that holds itself",
        """
def f(x):
    r = []
    r.append(r)
    return r
""",
    ),
    Hostile(
        "infinite_generator",
        "returns a generator without an end",
        """
import itertools

def f(x):
    return (1 for _ in itertools.count())
""",
        tests="assert sum(f(1)) == 2",
        outcomes=("timeout",),
        seconds=0.5,
    ),
    Hostile(
        "lying_length",
        "returns an object with an impossible length",
        """
class L:
    def __len__(self):
        return 1 << 62

    def __iter__(self):
        return iter(())

def f(x):
    return L()
""",
        tests="assert list(f(1)) == [2]",
    ),
    Hostile(
        "huge_number",
        "returns a number of 10 million digits",
        """
def f(x):
    return 1 << 40_000_000
""",
    ),
)
