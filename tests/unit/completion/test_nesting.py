from __future__ import annotations

import io
import tokenize
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_phi.completion.nesting import Open, scan

ROOT = Path(__file__).parents[3]


def opened(code: str) -> Open:
    signs = list(scan(code))
    return signs[-1].open if signs else ()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("f(x, [1", ("(", "[")),
        ("f(x)", ()),
        ("print('a (", ("(", "'")),
        ("print('a (\n", ("(",)),
        ('x = """a\n"b" (', ('"""',)),
        ("x = 1  # (", ("#",)),
        ("x = 1  # (\n", ()),
        ('f"{a', ('f"', "{")),
        ('f"{{a', ('f"',)),
        ("f\"{a['b']:#x}", ('f"',)),
        ('rb"\\"(', ('"',)),
        ("x = [\n  1,\ndef f(", ("(",)),  # no bracket reaches over a def
        ("[x\n async for x in y", ("[",)),
        ("'''\\'''", ("'''",)),
        ("(]", ("(",)),
        ("([)", ()),
    ],
)
def test_what_is_open(code: str, expected: Open) -> None:
    assert opened(code) == expected


def test_statements_begin_where_python_s_tokenizer_has_them() -> None:
    for path in sorted((ROOT / "edge_phi").rglob("*.py")):
        code = path.read_text(encoding="utf-8")
        signs = list(scan(code))
        assert not [sign for sign in signs if sign.lost], path
        lines = [0]
        for line in code.split("\n"):
            lines.append(lines[-1] + len(line) + 1)
        expected, depth = [], 0
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            depth += (token.string in ("(", "[", "{")) - (token.string in (")", "]", "}"))
            if token.type in (tokenize.NEWLINE, tokenize.NL) and not depth and token.string:
                expected.append(lines[token.end[0] - 1] + token.start[1] + 1)
        assert [sign.end for sign in signs if sign.statement] == expected, path


@given(
    st.lists(st.sampled_from(["(", "]", "{", "}", '"', "'''", 'f"', "#", "\\", "\n", "\ndef ", "x", "N{"])).map("".join)
)
def test_any_text_is_scanned_and_signs_come_in_order(code: str) -> None:
    at = 0
    for sign in scan(code):
        assert at <= sign.start < sign.end <= len(code)
        at = sign.end
