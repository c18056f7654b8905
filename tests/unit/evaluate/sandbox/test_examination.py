"""Tests in another process see of an honest solution what they would see beside it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from edge_phi.evaluate.sandbox import Examination, Limits, Sandbox

HONEST = {
    "a value": (
        """
def f(x):
    return {"a": [x, (1.5, None)]}
""",
        """
assert f(1) == {"a": [1, (1.5, None)]}
""",
    ),
    "keywords": (
        """
def f(a, *b, c=1, **d):
    return a, b, c, d
""",
        """
assert f(1, 2, c=3, e=4) == (1, (2,), 3, {"e": 4})
""",
    ),
    "keyword called target": (
        """
def f(target, self):
    return target - self
""",
        "assert f(target=3, self=1) == 2",
    ),
    "type of the answer": (
        """
def f():
    return True
""",
        "assert type(f()) is bool and isinstance(f(), int)",
    ),
    "mutated argument": (
        """
def f(x, y):
    x.sort()
    y["k"] = x
""",
        """
a, d = [3, 1, 2], {}
assert f(a, d) is None
assert a == [1, 2, 3]
assert d["k"] is a
""",
    ),
    "argument as it came": (
        """
def f(x):
    return sorted(x)
""",
        """
a = [2, 1]
assert f(a) == [1, 2] and a == [2, 1]
""",
    ),
    "same argument twice": (
        """
def f(x, y):
    x.append(1)
    return len(y), x is y
""",
        """
a = []
assert f(a, a) == (1, True)
""",
    ),
    "argument returned": (
        """
def f(x):
    x.append(1)
    return x
""",
        """
a = []
assert f(a) is a and a == [1]
""",
    ),
    "mutated before an exception": (
        """
def f(x):
    x.append(1)
    raise ValueError
""",
        """
a = []
try:
    f(a)
except ValueError:
    pass
assert a == [1]
""",
    ),
    "mutated sets, bytes and deques": (
        """
def f(s, b, d):
    s.add(1)
    b.extend(b"x")
    d.rotate(1)
""",
        """
import collections
s, b, d = set(), bytearray(), collections.deque([1, 2, 3])
f(s, b, d)
assert (s, b, list(d)) == ({1}, b"x", [3, 1, 2])
""",
    ),
    "a class of the solution": (
        """
class Pair:
    def __init__(self, a, b):
        self.a, self.b = a, b
    def sum(self):
        return self.a + self.b
def chain(pairs):
    return max(p.sum() for p in pairs)
""",
        """
ps = [Pair(1, 2), Pair(5, b=6)]
assert chain(ps) == 11 and ps[0].a == 1
ps[0].a = 100
assert ps[0].sum() == 102
assert isinstance(ps[0], Pair) and not isinstance(3, Pair)
""",
    ),
    "equality of its objects": (
        """
import dataclasses
@dataclasses.dataclass(frozen=True, order=True)
class P:
    x: int
def f(x):
    return P(x)
""",
        """
assert f(1) == f(1) != f(2)
assert f(1) != 1
assert len({f(1), f(1), f(2)}) == 2
assert sorted([f(3), f(1)]) == [f(1), f(3)]
assert repr(f(1)) == "P(x=1)"
""",
    ),
    "a linked list": (
        """
class Node:
    def __init__(self, v, n=None):
        self.v, self.next = v, n
def reverse(n):
    p = None
    while n:
        n.next, p, n = p, n, n.next
    return p
""",
        """
r = reverse(Node(1, Node(2)))
assert r.v == 2 and r.next.v == 1 and r.next.next is None
""",
    ),
    "a function returned": (
        """
def add(n):
    return lambda x: x + n
""",
        """
assert add(2)(3) == 5
assert callable(add(1))
""",
    ),
    "a function passed": (
        """
def f(g, xs):
    return [g(x) for x in xs], sorted(xs, key=g)
""",
        """
assert f(lambda x: -x, [1, 3, 2]) == ([-1, -3, -2], [3, 2, 1])
assert f(abs, [-2, 1]) == ([2, 1], [1, -2])
""",
    ),
    "a function that calls back": (
        """
def apply(g, x):
    return g(x)
def twice(x):
    return 2 * x
""",
        "assert apply(lambda x: apply(lambda y: twice(y) + x, x), 5) == 15",
    ),
    "a type passed": (
        """
def f(kind, x):
    return isinstance(x, kind)
""",
        "assert f(int, 1) and not f(str, 1)",
    ),
    "a generator": (
        """
def f(n):
    while True:
        yield n
        n += 1
""",
        """
g = f(1)
assert [next(g), next(g)] == [1, 2]
assert next(iter(g)) == 3
import itertools
assert list(itertools.islice(f(5), 3)) == [5, 6, 7]
""",
    ),
    "map, zip and views": (
        """
def f(d):
    return map(str, d), zip(d, d.values()), d.keys(), d.values(), d.items()
""",
        """
m, z, k, v, i = f({1: 2})
assert list(m) == ["1"] and list(z) == [(1, 2)]
assert k == {1} and list(v) == [2] and list(i) == [(1, 2)]
""",
    ),
    "named tuples and counters": (
        """
from collections import Counter, namedtuple, OrderedDict
P = namedtuple("P", "x y")
def f():
    return P(1, 2), Counter("aab"), OrderedDict(a=1)
""",
        """
p, c, o = f()
assert p == (1, 2) and p.y == 2
assert c == {"a": 2, "b": 1} and c["z"] == 0
assert o == {"a": 1}
""",
    ),
    "an exception": (
        """
def f(x):
    return [][x]
""",
        """
try:
    f(1)
except IndexError as e:
    assert str(e) == "list index out of range"
else:
    assert 0
""",
    ),
    "an exception of its own": (
        """
class Mine(ValueError):
    pass
def f():
    raise Mine("no", 3)
""",
        """
try:
    f()
except ValueError as e:
    assert e.args == ("no", 3) and type(e).__name__ == "Mine"
else:
    assert 0
""",
    ),
    "its imports": (
        """
import math
from math import sqrt
def f(x):
    return sqrt(x)
""",
        "assert math.isclose(f(2), sqrt(2))",
    ),
    "a constant": (
        """
LIMIT = 3
def f():
    return LIMIT
""",
        "assert f() == LIMIT == 3",
    ),
    "a method that is not there": (
        """
class A:
    pass
""",
        """
assert not hasattr(A(), "x")
try:
    A().x
except AttributeError:
    pass
else:
    assert 0
""",
    ),
    "indexing": (
        """
class V:
    def __init__(self):
        self.d = {}
    def __getitem__(self, k):
        return self.d[k]
    def __setitem__(self, k, v):
        self.d[k] = v
    def __len__(self):
        return len(self.d)
    def __iter__(self):
        return iter(self.d)
    def __add__(self, o):
        return len(self) + len(o)
""",
        """
v = V()
v["a"] = [1]
assert v["a"] == [1] and len(v) == 1 and "a" in v and "b" not in v and v + v == 2 and v
""",
    ),
    "big and strange numbers": (
        """
def f(n):
    return 2**n, float("inf"), -0.0, 1j, float("nan")
""",
        """
a, b, c, d, e = f(10_000)
assert a == 1 << 10_000 and b > 1e308 and str(c) == "-0.0" and d * d == -1 and e != e
""",
    ),
    "a lone surrogate": (
        r"""
def f(s):
    return s + "\ud800"
""",
        r"""
assert f("\udfff") == "\udfff\ud800"
""",
    ),
    "its own process": (
        """
import threading, tempfile, os
result = []
def f():
    t = threading.Thread(target=lambda: result.append(1))
    t.start()
    t.join()
    with tempfile.TemporaryDirectory() as d:
        with open(os.path.join(d, "x"), "w") as out:
            out.write("hi")
        return result, open(os.path.join(d, "x")).read()
""",
        """
assert f() == ([1], "hi")
""",
    ),
    "printing and no input": (
        """
import sys
print("x" * 100_000)
print("y", file=sys.stderr)
try:
    input()
except (EOFError, OSError):
    ok = True
def f():
    return ok
""",
        "assert f()",
    ),
    "main is another": (
        """
if __name__ == "__main__":
    raise SystemExit
def f():
    return 1
""",
        "assert f() == 1",
    ),
}

WRONG = {
    "wrong value": ("def f(x): return x", "assert f(1) == 2", "AssertionError, at line 1: assert f(1) == 2"),
    "message": ("def f(x): return x", "x = 1\nassert f(x) == 2, f'got {f(1)}'", "AssertionError: got 1, at line 2"),
    "missing": ("def g(x): return x", "assert f(1) == 2", "NameError"),
    "does not load": ("import nothing_of_that_name", "assert 1", "ModuleNotFoundError"),
    "does not compile": ("def f(:", "assert 1", "SyntaxError"),
    "raises": ("def f(x): raise KeyError(x)", "assert f('k')", "KeyError: 'k', at line 1"),
    "type": ("def f(x): return 1.0", "assert type(f(1)) is int", "AssertionError"),
    "set instead of list": ("def f(): return {1}", "assert f() == [1]", "AssertionError"),
    "later test": ("def f(x): return 1", "assert f(1) == 1\nassert f(2) == 2", "at line 2"),
    "no builtin of its own": ("def len(x): return 3", "assert len([]) == 3", "AssertionError"),
    "function for a value": ("def f(): return lambda: 1", "assert f() == 1", "AssertionError"),
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_programs_pass(name: str, sandbox: Sandbox) -> None:
    solution, tests = HONEST[name]
    verdict = sandbox.check(Examination(solution, tests))
    assert verdict.passed and verdict.outcome == "pass" and verdict.detail == "", verdict
    exec(f"{solution}\n{tests}", {})  # the tests themselves are right


@pytest.mark.parametrize("name", WRONG)
def test_wrong_programs_fail(name: str, sandbox: Sandbox) -> None:
    solution, tests, detail = WRONG[name]
    verdict = sandbox.check(Examination(solution, tests))
    assert verdict.outcome == "fail" and detail in verdict.detail


def test_names_that_the_builtins_have_are_taken_where_asked(sandbox: Sandbox) -> None:
    examination = Examination("def sum(a, b): return a * b", "assert sum(2, 3) == 6", names=("sum",))
    assert sandbox.check(examination).passed


def test_helpers_are_the_tests_own(sandbox: Sandbox) -> None:
    helpers = "def encode(s): return s[::-1]"
    solution = "def encode(s): return 'mine'\ndef decode(s): return s[::-1]"
    assert sandbox.check(Examination(solution, "assert decode(encode('ab')) == 'ab'", helpers)).passed


def test_time_is_bounded(sandbox: Sandbox) -> None:
    verdict = sandbox.check(Examination("while True: pass", "pass"), Limits(seconds=0.3))
    assert verdict.outcome == "timeout" and "0.3 s" in verdict.detail
    verdict = sandbox.check(Examination("def f(): return 1", "while f(): pass"), Limits(seconds=0.3))
    assert verdict.outcome == "timeout"
    verdict = sandbox.check(Examination("while True: pass", "pass"), Limits(seconds=60, cpu_seconds=1))
    assert verdict.outcome == "timeout" and "CPU" in verdict.detail


def test_tests_that_do_not_compile_are_no_ones_failure(sandbox: Sandbox) -> None:
    assert sandbox.check(Examination("x = 1", "assert (")).outcome == "infrastructure_error"


def test_programs_do_not_see_one_another(sandbox: Sandbox) -> None:
    poison = "import math, builtins, os\nmath.pi = 3\nbuiltins.max = None\nopen('left', 'w').close()\ndef f(): return 0"
    assert sandbox.check(Examination(poison, "assert f() == 0")).passed
    look = "import math, os\ndef f(): return math.pi, max([0]), os.listdir('.')"
    assert sandbox.check(Examination(look, "import math\nassert f() == (math.pi, 0, [])")).passed


def test_programs_get_the_same_random_numbers_and_set_order(sandbox: Sandbox) -> None:
    source = "import random\nprint(random.random(), {'a', 'b', 'c', 'd'})"
    assert sandbox.run(source).stdout == sandbox.run(source).stdout != ""


def test_many_at_once(sandbox: Sandbox) -> None:
    pairs = [(Examination(f"def f(): return {n}", f"assert f() == {n - n % 2}"), n % 2 == 0) for n in range(24)]
    with ThreadPoolExecutor(4) as pool:
        verdicts = list(pool.map(sandbox.check, [one for one, _ in pairs]))
    assert [one.passed for one in verdicts] == [right for _, right in pairs]


def test_run_keeps_what_a_script_prints(sandbox: Sandbox) -> None:
    ran = sandbox.run("import sys\nprint('out', __name__)\nprint('err', file=sys.stderr)\nsys.exit(3)")
    assert (ran.outcome, ran.detail) == ("fail", "exit code 3")
    assert (ran.stdout, ran.stderr, ran.truncated) == ("out __main__\n", "err\n", False)
    assert sandbox.run("print(1)").outcome == "pass"
    raised = sandbox.run("def f():\n    1 / 0\nf()")
    assert raised.outcome == "fail" and raised.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert "inside" not in raised.stderr and "output.py" not in raised.stderr


def test_run_bounds_output_and_time(sandbox: Sandbox) -> None:
    ran = sandbox.run("while True: print('x' * 1000)", Limits(seconds=0.5, output_bytes=10_000))
    assert ran.outcome == "timeout" and len(ran.stdout) == 10_000 and ran.truncated
    ran = sandbox.run(
        "print('before', flush=True)\nimport os\nos.kill(os.getpid(), 11)\nwhile True: pass", Limits(seconds=0.5)
    )
    assert ran.outcome in ("fail", "timeout") and ran.stdout == "before\n"
