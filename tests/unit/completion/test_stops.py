from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_phi.completion.stops import judge, stop_rules


def completed(before: str, written: str, after: str = "") -> str:
    """What is kept of `written`, a character at a time, as far as the rules let the model write."""
    rules = stop_rules(before, after)
    shown = ""
    for count in range(1, len(written) + 1):
        end, stop, _ = judge(rules, written[:count], ended=count == len(written))
        assert end >= len(shown), "text once shown was cut"
        shown = written[:end]
        if stop:
            break
    return shown


FUNCTION = "def mean(values):\n    "
METHOD = "class A:\n    def f(self):\n        "


@pytest.mark.parametrize(
    ("before", "written"),  # ¦ is where it ends
    [
        # To the end of a function body, blank lines and deeper blocks included.
        (FUNCTION, "total = 0\n    for x in values:\n        total += x\n\n    return total¦\n\n\nx = 1"),
        (FUNCTION, "return sum(values) / len(values)¦\n\n\ndef median(values):\n"),
        # To the end of a method, not of its class.
        (METHOD, "return 1¦\n\n    def g(self):\n        return 2\n"),
        # From a header: its body and its clauses.
        ("class A:\n    def f(self", "):\n        return 1¦\n\n    def g(self):\n"),
        ("if x:", "\n    y = 1\nelif z:\n    y = 2\nelse:\n    y = 3¦\nprint(y)\n"),
        ("def f():\n    if x:", "\n        y()¦\n    z()\n"),
        ("try:", "\n    f()\nexcept OSError:\n    pass¦\nf()\n"),
        # A header whose brackets are open: the closing line is not a new statement.
        ("def f(\n    a,", "\n    b,\n) -> int:\n    return a¦\n\nf(1, 2)\n"),
        # At the top level: statement after statement, until one after a body.
        ("import os\n", "import sys\n\nX = 1¦\n"),
        ("", "import os\n\n\ndef f():\n    pass¦\n\n\ndef g():\n"),
        ("@dec\n", "def f():\n    pass¦\n\n\ndef g():\n"),
        # On a blank line the model decides how deep it is.
        ("def f():\n", "    return 1¦\n\n\nf()\n"),
        ("def f():\n    x()\n    ", "¦\n\ndef g():\n"),
        # Neither a string's lines nor a bracket's are statements.
        (FUNCTION, '"""Mean.\n\nof values\n"""\n    return 1¦\nx\n'),
        (FUNCTION, "return (values\nor 1)¦\nx\n"),
        (FUNCTION, "s = 'it\\'s ((' # don't [\n    return 1¦\nx\n"),
        ('x = """a\n', 'b\nc\n"""\ny = 1¦\n'),
        # A bracket that was never closed does not swallow what follows.
        (FUNCTION, "return f(x¦\n\n\ndef g():\n    pass\n"),
    ],
)
def test_block(before: str, written: str) -> None:
    assert completed(before, written.replace("¦", "")) == written.partition("¦")[0]


@pytest.mark.parametrize(
    ("right", "written", "kept"),
    [
        (")", "values)\n", "values"),
        (")", "f(x))\nmore", "f(x)"),
        (") + 1", "x, y", "x, y"),
        ("  # why", "total\nnext", "total"),
        ("]", "1:", "1:"),
    ],
)
def test_one_line_where_code_follows_on_it(right: str, written: str, kept: str) -> None:
    assert completed("y = sum(", written, f"{right}\nz = 2\n") == kept


def test_ends_before_the_line_that_is_below_already() -> None:
    after = "\n\n    return total\n"
    assert completed(FUNCTION, "total = 0\n    return total\n    x", after) == "total = 0"
    assert completed(FUNCTION, "total = 0\n    return totals\n", after) == "total = 0\n    return totals"
    assert completed("def f():\n    ", "return total\n", "\n    return total\n") == ""


def test_a_loop_of_lines_is_kept_once() -> None:
    assert completed(FUNCTION, "x = 1\n" + "    x += 1\n" * 9) == "x = 1\n    x += 1"
    cycle = "    a()\n    b()\n    c()\n"
    assert completed(FUNCTION, "x = 1\n" + cycle * 4) == ("x = 1\n" + cycle).rstrip()


def test_twice_is_no_loop() -> None:
    written = "x = 1\n    x += 1\n    x += 1\n    return x"
    assert completed(FUNCTION, written) == written


def test_a_stutter_on_one_line_ends_it() -> None:
    written = "return [x for x in " + "xs if x <= " * 50
    kept = completed(FUNCTION, written)
    assert written.startswith(kept)
    assert kept.count("xs if x <=") == 4


def test_what_code_repeats_on_one_line_stays() -> None:
    written = (
        "grid = [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]\n    # ------------------------------------------------------------\n"
    )
    assert completed(FUNCTION, written + "    return grid") == written + "    return grid"


def test_new_lines_wait_for_their_first_word() -> None:
    rules = stop_rules(FUNCTION, "")
    assert judge(rules, "return 1\n    el", ended=False).end == len("return 1")
    assert judge(rules, "return 1\n    else:", ended=False).end == len("return 1\n    else:")


PIECES = st.sampled_from(
    ["def f():", "x", "return", " ", "    ", "\n", "\n", "(", ")", "'", '"""', "#", "else:", ":", "\\", "\t", "é", "@d"]
)
CODE = st.lists(PIECES, max_size=30).map("".join)


@given(before=CODE, written=CODE, after=CODE)
@example(before="", written="x  \ny\n\n", after="\ny")
@example(before="x(", written="a) ", after=")")
@example(before="x = [", written="a, bc, " * 20, after="")
@example(before="x = [", written="a, bc, " * 5 + "d]\n", after="")
def test_text_once_shown_is_never_cut(before: str, written: str, after: str) -> None:
    kept = completed(before, written, after)
    assert written.startswith(kept)
    assert kept == kept.rstrip()
