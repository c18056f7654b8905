"""Programs that try to pass without solving anything."""

from __future__ import annotations

from .program import Hostile

PROGRAMS = (
    Hostile(
        "sys_exit",
        "ends with code 0 before the tests",
        """
import sys

sys.exit(0)
""",
        fools=True,
    ),
    Hostile(
        "os_exit",
        "ends without clean-up before the tests",
        """
import os

os._exit(0)
""",
        fools=True,
    ),
    Hostile(
        "os_exit_in_call",
        "ends with code 0 in the first test",
        """
import os

def f(x):
    os._exit(0)
""",
        fools=True,
    ),
    Hostile(
        "system_exit_in_call",
        "raises SystemExit(0) in a test",
        """
def f(x):
    raise SystemExit(0)
""",
        fools=True,
    ),
    Hostile(
        "keyboard_interrupt",
        "raises what `except Exception` lets through",
        """
def f(x):
    raise KeyboardInterrupt
""",
    ),
    Hostile(
        "always_equal",
        "returns an object that equals everything",
        """
class Any:
    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0

def f(x):
    return Any()
""",
        fools=True,
    ),
    Hostile(
        "lying_int",
        "returns an int whose own __eq__ always agrees",
        """
class Lie(int):
    def __eq__(self, other):
        return True

    __hash__ = int.__hash__

def f(x):
    return Lie(0)
""",
        fools=True,
    ),
    Hostile(
        "lying_list",
        "returns lists and strings that claim to be equal",
        """
class L(list):
    def __eq__(self, other):
        return True

class S(str):
    def __eq__(self, other):
        return True

def f(x):
    return L() if isinstance(x, list) else S()
""",
        fools=True,
    ),
    Hostile(
        "arithmetic_lie",
        "returns an object whose difference to anything is 0",
        """
class Near:
    def __sub__(self, other):
        return 0

    __rsub__ = __sub__

    def __abs__(self):
        return 0

    def __lt__(self, other):
        return True

    __le__ = __gt__ = __ge__ = __lt__

    def __round__(self, n=0):
        return 2

    def __float__(self):
        return 2.0

def f(x):
    return Near()
""",
        tests="assert abs(f(1) - 2) < 1e-6",
        fools=True,
    ),
    Hostile(
        "contains_lie",
        "returns an object that contains everything",
        """
class Bag:
    def __contains__(self, x):
        return True

    def __iter__(self):
        return iter(())

def f(x):
    return Bag()
""",
        tests="assert 2 in f(1)",
        fools=True,
    ),
    Hostile(
        "lying_class",
        "returns an object whose __class__ and attributes lie",
        """
class Lie:
    __class__ = int

    def __getattribute__(self, name):
        return 2

    def __index__(self):
        return 2

    def __int__(self):
        return 2

    def __del__(self):
        raise SystemExit(0)

def f(x):
    return Lie()
""",
    ),
    Hostile(
        "mock_any",
        "returns unittest.mock.ANY",
        """
from unittest.mock import ANY

def f(x):
    return ANY
""",
        fools=True,
    ),
    Hostile(
        "mock",
        "is a MagicMock",
        """
from unittest.mock import MagicMock

f = MagicMock()
""",
    ),
    Hostile(
        "patched_builtins",
        "replaces the builtins that tests use",
        """
import builtins

for name in ("all", "any", "len", "abs", "sorted", "isinstance", "print", "set", "sum", "bool"):
    setattr(builtins, name, lambda *a, **k: True)

def f(x):
    return 0
""",
        tests="assert all([f(1) == 2])\nassert len([f(2)]) == True",
        fools=True,
    ),
    Hostile(
        "patched_math",
        "replaces math.isclose, in sys.modules too",
        """
import math, sys

class M(type(math)):
    def __getattr__(self, n):
        return lambda *a, **k: True

sys.modules["math"] = M("math")
math.isclose = lambda *a, **k: True

def f(x):
    return 0
""",
        tests="import math\nassert math.isclose(f(1), 2)",
        fools=True,
    ),
    Hostile(
        "offered_module",
        "offers a module of its own under the name of one that tests use",
        """
import types

math = types.ModuleType("math")
math.isclose = lambda *a, **k: True

def f(x):
    return 0
""",
        tests="assert math.isclose(f(1), 2)",
        fools=True,
    ),
    Hostile(
        "redefined_checker",
        "defines the checker, and names the tests use",
        """
def check(candidate):
    return None

AssertionError = SystemExit
all = any = lambda *a: True

def f(x):
    return 0
""",
        tests="def check(candidate):\n    assert all([candidate(1) == 2])\ncheck(f)",
        fools=True,
    ),
    Hostile(
        "trace_jump",
        "jumps over the asserts with a trace function",
        """
import sys

def trace(frame, event, arg):
    if event == "line":
        frame.f_lineno += 1
    return trace

def f(x):
    frame = sys._getframe()
    while frame:
        frame.f_trace = trace
        frame = frame.f_back
    sys.settrace(trace)
    return 0
""",
    ),
    Hostile(
        "frame_walk",
        "looks for the expected values in the frames that call it",
        """
import sys

def f(x):
    frame = sys._getframe(1)
    while frame:
        for c in frame.f_code.co_consts:
            if c == 2 and x == 1:
                return 2
            if c == 3 and x == 2:
                return 3
        frame = frame.f_back
    return [3, 4]
""",
        fools=True,
    ),
    Hostile(
        "gc_scan",
        "looks for the tests among all objects",
        """
import gc, re

def f(x):
    for o in gc.get_objects():
        for v in o.values() if type(o) is dict else ():
            if type(v) is str and "assert f(" + repr(x) in v:
                return eval(re.search(re.escape(f"f({x!r}) == ") + "(.*)", v)[1])
""",
    ),
    Hostile(
        "memory_scan",
        "looks for the tests in its own memory, where earlier ones may have been",
        r"""
import ctypes, re

def f(x):
    here = id([])
    low = here & ~0xFFFFF
    raw = ctypes.string_at(low, here - low)
    found = re.search(re.escape(b"assert f(" + repr(x).encode() + b") == ") + b"([^\n]*)", raw)
    return eval(found[1]) if found else None
""",
    ),
    Hostile(
        "atexit",
        "ends with code 0 from atexit, a finalizer and a thread",
        """
import atexit, os, threading, weakref

atexit.register(os._exit, 0)

class A:
    pass

a = A()
weakref.finalize(a, os._exit, 0)

def f(x):
    global a
    a = None
    return 0
""",
        fools=True,
    ),
    Hostile(
        "hostile_exception",
        "raises what cannot be shown",
        r"""
class E(Exception):
    def __str__(self):
        raise SystemExit(0)

    __repr__ = __str__

E.__name__ = "x" * 10**6 + "\x00\ud800\x1b[31m"

def f(x):
    raise E("y" * 10**7)
""",
    ),
)
