"""What is offered, for any program, any cursor and a model that types the true rest and then anything."""

from __future__ import annotations

import ast
import warnings
from functools import cache
from pathlib import Path

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edge_phi.completion.shape import shape
from edge_phi.completion.verdict import judge

ROOT = Path(__file__).parents[3]

NAMES = st.sampled_from(["x", "total", "self", "größe", "f", "r"])
TEXTS = st.sampled_from(
    ['"a"', "'('", '"]"', 'f"{x}"', "f'{f(x):>3}}}'", '"""two\nlines ("""', "b'\\''", "r'\\d'", "''"]
)


def _nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("{}({})".format, NAMES, inner),
        st.builds("{}(\n        {},\n        k={},\n    )".format, NAMES, inner, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("[\n    {},\n    {},\n]".format, inner, inner),
        st.builds('{{"k": {}, {}: {}}}'.format, inner, inner, inner),
        st.builds("({} + {})".format, inner, inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("{}[{}:]".format, NAMES, inner),
        st.builds("[x for x in {} if {}]".format, inner, inner),
        st.builds("(lambda a, *b: {})".format, inner),
        st.builds("{} + \\\n    {}".format, inner, inner),
    )


EXPRESSIONS = st.recursive(NAMES | TEXTS | st.sampled_from(["1", "...", "2.5", "None"]), _nested, max_leaves=6)
SIMPLE = st.one_of(
    st.builds("{} = {}".format, NAMES, EXPRESSIONS),
    EXPRESSIONS,
    st.builds("return {}".format, EXPRESSIONS),
    st.sampled_from(["pass", "import os, sys", "x: int = 1", "# a (comment", "x = 1  # don't [", '"""A (string."""']),
    st.builds("assert {}; {} = 1".format, EXPRESSIONS, NAMES),
)
HEADERS = st.one_of(
    st.builds("if {}:".format, EXPRESSIONS),
    st.builds("for x in {}:".format, EXPRESSIONS),
    st.builds("with {} as f:".format, EXPRESSIONS),
    st.sampled_from(
        ["def f(a, b=1):", "async def f(\n    a,\n):", "class A(object):", "@d\ndef f() -> int:", "while x:"]
    ),
)


def _indented(statements: list[str], by: str = "    ") -> str:
    return "\n".join(by + line if line.strip() else line for code in statements for line in code.split("\n"))


def _blocks(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    bodies = st.lists(inner, min_size=1, max_size=3).map(lambda statements: _indented([*statements, "pass"]))
    return st.one_of(
        st.builds("{}\n{}\n".format, HEADERS, bodies),
        st.builds("if x:\n{}\nelse:\n{}".format, bodies, bodies),
        st.builds("try:\n{}\nexcept OSError:\n{}".format, bodies, bodies),
        st.builds("match x:\n    case [1, y]:\n{}".format, bodies.map(lambda body: _indented([body]))),
    )


PROGRAMS = st.lists(st.recursive(SIMPLE, _blocks, max_leaves=5), min_size=1, max_size=4).map("\n".join)
_MORE = ["\r\n", "\r", "return", "import", "@d\n", "try:\n", "x, " * 30]
GARBAGE = st.lists(
    st.sampled_from([*"()[]{}\"'#\\\n:, x\té", '"""', "\n    ", "def g():", "else", "f'{", "}}", "x = 1\n", *_MORE]),
    max_size=12,
).map("".join)


@cache
def project_files() -> list[str]:
    """Valid Python of another hand than the strategies above: this project's."""
    return [path.read_text(encoding="utf-8") for path in sorted((ROOT / "edge_phi").rglob("*.py"))]


FILES = st.builds(lambda number: project_files()[number % len(project_files())], st.integers(0, 10_000))


def _parses(source: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    return True


def _unbalanced(source: str) -> int:
    """How many brackets of `source` have no partner; of a string that is never closed, its line is the rest.

    Character by character, and so by another way than what is tested.
    """
    stack: list[str] = []
    lone = at = 0
    while at < len(source):
        sign = source[at]
        if sign == "#":
            at = (source + "\n").index("\n", at)
        elif sign in "\"'":
            quote = sign * 3 if source.startswith(sign * 3, at) else sign
            at += len(quote)
            while at < len(source) and not source.startswith(quote, at) and (len(quote) == 3 or source[at] != "\n"):
                at += 2 if source[at] == "\\" else 1
            at += len(quote) if source.startswith(quote, at) else 0
            continue
        elif sign in "([{":
            stack.append(sign)
        elif sign in ")]}":
            if stack and stack[-1] + sign in ("()", "[]", "{}"):
                stack.pop()
            else:
                lone += 1
        at += 1
    return lone + len(stack)


def offered(before: str, after: str, written: str, *, piece: int = 1) -> str:
    """What a model that writes `written`, `piece` characters at a time, leaves at the cursor."""
    rules = (shape(before, after),)
    shown = instead = ""
    for count in range(piece, len(written) + piece, piece):
        end, stop, instead = judge(rules, written[:count], ended=count >= len(written))
        assert end >= len(shown), f"text once shown was cut: {shown!r} after {written[:count]!r}"
        shown = written[:end]
        if stop:
            break
    return shown or instead


def _is_of(written: str, text: str) -> bool:
    """Whether `text` is the beginning of what was written, or of its lines, and the end of a docstring."""
    lines, _, last = text.rpartition("\n")
    return written.startswith(text) or (written.startswith(lines) and last.strip() in ('"""', "'''"))


@st.composite
def cursors(draw: st.DrawFn) -> tuple[str, str, str]:
    """A valid text in three parts: before the cursor, what is missing there, and after it."""
    text = draw(PROGRAMS | FILES)
    start = draw(st.integers(0, len(text)))
    end = min(len(text), start + draw(st.sampled_from([0, 0, 1, 5, 20, 80, 300])))
    assume(_parses(text))
    return text[:start], text[start:end], text[end:]


def _show(before: str, text: str, after: str) -> str:
    return f"\n{before[-300:]}«{text}»{after[:300]}"


@settings(max_examples=100, deadline=None)
@given(parts=cursors(), known=st.integers(0, 400), garbage=GARBAGE, piece=st.integers(1, 9))
def test_no_bracket_is_left_open_and_no_line_is_doubled(
    parts: tuple[str, str, str], known: int, garbage: str, piece: int
) -> None:
    before, missing, after = parts
    true_rest = missing + after
    written = true_rest[: max(len(missing), known) if known else len(missing)] + garbage
    text = offered(before, after, written, piece=piece)
    assert _is_of(written, text)
    assert _unbalanced(before + text + after) <= _unbalanced(before + after), _show(before, text, after)
    first = after.split("\n", 1)[0].strip()
    if first:
        assert "\n" not in text
    elif text:
        below = next((line for line in after.split("\n") if line.strip()), "")
        lines = (before.rpartition("\n")[2] + text).split("\n")
        repeats = [line for line in lines[1:] if below and line.rstrip() == below.rstrip()]
        assert not repeats, _show(before, text, after)


@settings(max_examples=100, deadline=None)
@given(
    header=st.sampled_from(
        ["def f(a):", "class A:", "@d\nasync def f(\n    a,\n) -> int:  # (", "x = 1", "while x:", ""]
    ),
    outer=st.sampled_from(["", "class B:\n    "]),
    begin=st.sampled_from(['"""', "'''", 'r"""']),
    lines=st.lists(st.sampled_from(["Return (a", "it's", ">>> f(1)", "", '"quoted"', "a \\", "[1]"]), max_size=6),
    after=st.sampled_from(["", "\n", "\nx = 1\n", '\n    """\n    Docs.\n    """\n']),
)
def test_a_docstring_without_an_end_breaks_nothing(
    header: str, outer: str, begin: str, lines: list[str], after: str
) -> None:
    indent = " " * (len(outer.rpartition("\n")[2]) + 4)
    before = outer + header.replace("\n", "\n" + indent[4:]) + "\n"
    written = indent + begin + ("\n" + indent).join([*lines, ""])
    text = offered(before, after, written)
    assert _is_of(written, text)
    if text:
        assert _parses(before + text + (after if not outer else "\n")), _show(before, text, after)
        closed = not written.startswith(text)
        documented = "def" in header or "class" in header or (outer and not header)
        assert not closed or (documented and not after.lstrip().startswith('"""'))


@settings(max_examples=100, deadline=None)
@given(parts=cursors(), piece=st.integers(1, 9))
def test_what_parsed_parses(parts: tuple[str, str, str], piece: int) -> None:
    """A model that types the true text, and goes on with what follows: all of it is offered, or what parses as well."""
    before, missing, after = parts
    assume(
        not any(
            left[-1:] == right[:1] and left[-1:] in ('"', "'")
            for left, right in ((before, missing + after), (missing, after))
        )
    )
    text = offered(before, after, missing + after[:300], piece=piece)
    assert _is_of(missing, text) or not missing.strip(), _show(before, text, after)
    one_line = bool(after.split("\n", 1)[0].strip())
    if text and ((one_line and "\n" not in missing) or (not one_line and _parses(before + after))):
        assert _parses(before + text + after), _show(before, text, after)
