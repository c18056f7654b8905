"""What stands around a cursor in Python code, looked at once for all that depends on it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from .nesting import Open, scan

_CONTEXT = 200_000  # characters before the cursor that are searched for what is open there


@dataclass(frozen=True)
class Cursor:
    """A place in code whose newlines are "\\n"."""

    line: str  # of the cursor's line what is left of it
    after: str  # all that is right of it and below
    right: str  # of the cursor's line what is right of it, without white space around
    below: tuple[
        str, ...
    ]  # the next line that is not blank after the cursor's, and if that is a comment, the next code
    open_above: Open  # where the cursor's line begins
    open: Open  # at the cursor
    statement: str  # the statement at the cursor as far as it is typed, indentation and all
    above: Above


class Above(NamedTuple):
    """The statements that are whole above the cursor."""

    indents: tuple[str, ...] = ()  # of the blocks that the last one is in, outermost first
    header: bool = False  # whether the last one opens a block
    definition: bool = False  # whether that is the block of a function or class


def cursor_between(before: str, after: str) -> Cursor:
    """Look at the place between `before` and `after`."""
    head, newline, line = before[-_CONTEXT:].rpartition("\n")
    start, open_above, above = _look_above(head + newline)
    opened = open_above
    for sign in scan(line, open_above):
        opened = sign.open
    right, _, rest = after.partition("\n")
    return Cursor(
        line=line,
        after=after,
        right=right.strip(),
        below=_below(rest),
        open_above=open_above,
        open=opened,
        statement=(head + newline)[start:] + line,
        above=above,
    )


def indent_of(statement: str) -> str:
    """The white space before the first sign of a statement."""
    blank = _BLANK_LINES.match(statement)
    return statement[blank.end() if blank else 0 : len(statement) - len(statement.lstrip())]


def columns(indent: str) -> int:
    """How far an indentation reaches."""
    return len(indent.expandtabs())


def is_compound(statement: str) -> bool:
    """Whether a statement, as far as it goes, begins as one with a body does."""
    return bool(_COMPOUND.match(statement))


def is_definition(statement: str) -> bool:
    """Whether a statement, as far as it goes, defines a function or class."""
    return bool(_DEFINITION.match(statement))


def opens_block(statement: str) -> bool:
    """Whether a whole statement is a header, its body to come."""
    return is_compound(statement) and bool(_COLON.search(statement))


_NOTHING: Open = ()
_FEW_LINES = 50
_BLANK_LINES = re.compile(r"(?:[^\S\n]*(?:#[^\n]*)?\n)+")
_COMPOUND = re.compile(
    r"\s*(?:async\s+)?(?:def|class|if|for|while|with|try|elif|else|except|finally|match|case)\b", re.ASCII
)
_DEFINITION = re.compile(r"\s*(?:async\s+)?(?:def|class)\b", re.ASCII)
_COLON = re.compile(r":[^\S\n]*(?:#[^\n]*)?\n?\Z")


def _below(rest: str) -> tuple[str, ...]:
    lines = [line for line in rest.split("\n", _FEW_LINES)[:_FEW_LINES] if line.strip()]
    code = next((number for number, line in enumerate(lines) if not line.lstrip().startswith("#")), 0)
    return tuple(lines[number] for number in sorted({0, code}) if number < len(lines))


@lru_cache(maxsize=8)  # while one types on a line, what is above stays
def _look_above(text: str) -> tuple[int, Open, Above]:
    """Where the last statement of `text` begins, what is open at its end, and what the statements before it say."""
    starts, opened = [0], _NOTHING
    for sign in scan(text):
        opened = sign.open
        if sign.statement:
            starts.append(sign.end)
    indents: list[str] = []
    header = definition = False
    for start, end in zip(reversed(starts[:-1]), reversed(starts[1:]), strict=True):
        statement = text[start:end]
        if not statement.strip() or statement.lstrip().startswith("#"):
            continue
        indent = indent_of(statement)
        if not indents:
            header = opens_block(statement)
            definition = header and is_definition(statement)
        if not indents or columns(indent) < columns(indents[-1]):
            indents.append(indent)
        if not indent:
            break
    return starts[-1], opened, Above(tuple(reversed(indents)), header, definition)
