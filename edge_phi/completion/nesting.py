"""What is open at a place in Python code: brackets, strings, comments. Made for code that is being written.

Python's own tokenizer refuses half a line; this one takes any text. What is open is a tuple, outermost first, of
brackets ("(", "[", "{"), strings by their quotes ('"', "'''"; 'f"' where fields may be inside, each a "{"), and "#".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

Open = tuple[str, ...]

CLOSERS = {"(": ")", "[": "]", "{": "}"}


class Sign(NamedTuple):
    """A sign that opens, closes or ends something."""

    start: int
    end: int
    open: Open  # what is open after it
    lost: int = 0  # what it leaves without a partner: a bracket never opened, brackets and strings never closed
    statement: bool = False  # a newline after which a statement begins


def scan(code: str, opened: Open = ()) -> Iterator[Sign]:
    """The signs of `code`, which begins where `opened` is open. Between two signs nothing changes.

    A newline closes a comment, a string of one line, and, where a statement follows that no bracket can hold, the
    brackets. Those that were not closed otherwise are lost.
    """
    position = 0
    while True:
        match = _pattern(opened[-1] if opened else "", _innermost_string(opened)).search(code, position)
        if match is None:
            return
        sign, lost, statement = match.group(), 0, False
        quotes = opened[-1] if opened and opened[-1] not in "([{#" else ""
        if sign == "\n":
            kept = _past_line_end(opened)
            lost = len(opened) - len(kept) - opened.count("#")
            brackets = len(kept) - _length_to_string(kept)
            if brackets and _STATEMENT.match(code, match.end()):
                kept, lost = kept[: len(kept) - brackets], lost + brackets
            opened, statement = kept, not kept
        elif quotes:
            if sign == "{":
                opened += ("{",)
            elif sign == _quote(quotes):
                opened = opened[:-1]
            elif sign == "}":  # of a field that is not open
                lost = 1
        elif sign in ")]}":
            opened, lost = _closed(opened, sign)
        elif sign in "([{#":
            opened += (sign,)
        elif sign[-1] in "\"'":
            opened += (("f" if match["prefix"] and set(match["prefix"]) & set("fFtT") else "") + match["quote"],)
        position = match.end()
        if sign[0] != "\\" and sign not in ("{{", "}}"):
            yield Sign(match.start(), position, opened, lost, statement)


# A line that begins so is in no bracket: one above it was not closed.
_STATEMENT = re.compile(
    r"[ \t]*(?:async[ ]+def|async[ ]+with|assert|break|class|continue|def|del|elif|except|finally|global|import"
    r"|nonlocal|pass|raise|return|try|while|with)\b"
)


def _past_line_end(opened: Open) -> Open:
    """What of `opened` a newline leaves open."""
    ended = (index for index, frame in enumerate(opened) if _quote(frame) in ('"', "'", "#"))
    return opened[: next(ended, len(opened))]


def _closed(opened: Open, closer: str) -> tuple[Open, int]:
    """`opened` after a closing bracket, and how many brackets found no partner."""
    for index in range(len(opened) - 1, _length_to_string(opened) - 1, -1):
        if CLOSERS[opened[index]] == closer:
            return opened[:index], len(opened) - 1 - index
    return opened, 1


def _length_to_string(opened: Open) -> int:
    """How many of `opened` there are up to and with the innermost string; brackets do not close over its quotes."""
    return next((index for index in range(len(opened), 0, -1) if opened[index - 1] not in CLOSERS), 0)


def _innermost_string(opened: Open) -> str:
    return next((frame for frame in reversed(opened) if frame not in CLOSERS), "")


def _quote(frame: str) -> str:
    return frame.removeprefix("f")


@cache
def _pattern(frame: str, string: str) -> re.Pattern[str]:
    """What to look for where `frame` is innermost and `string` the innermost string."""
    if frame == "#":
        return re.compile(r"\n")
    if frame in CLOSERS or not frame:
        # In the field of an f-string "#" is a format.
        comment = "" if string else r"| \#"
        return re.compile(
            rf"""\\(?:\n|\Z) | \n | [()\[\]{{}}] {comment}
            | (?P<prefix>\b[rRbBuUfFtT]{{1,2}})? (?P<quote>\"{{3}} | '{{3}} | \" | ')""",
            re.VERBOSE,
        )
    quote = _quote(frame)
    line_end = r"|\n" if len(quote) == 1 else ""
    fields = r"|\{\{|\}\}|[{}]" if frame != quote else ""
    return re.compile(rf"\\(?:N\{{[^}}\n]*\}}|[^{{}}]|\Z){fields}|{quote}{line_end}", re.DOTALL)
