"""Where a completion may be cut so that it leaves no bracket and no string worse than they were.

A place in the text of a completion is whole if what the completion has opened is closed there, by itself or by the code
after the cursor, and if that code finds all of what it closes open. A buffer that is broken may stay so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from .cursor import Cursor
from .nesting import Open, Sign, scan


class Span(NamedTuple):
    """Offsets in a completion's text between two signs, both included, all of them whole."""

    start: int
    end: int
    open: Open
    typed: int  # how many frames of `open` were open at the cursor


class Balance:
    """Says for one cursor where completions are whole."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._known: dict[Open, tuple[int, int, int]] = {}
        # Where the code after the cursor ends that belongs to the statement there.
        self._statement = next(
            (sign.end for sign in scan(cursor.after[:_REACH], cursor.open) if sign.statement), _REACH
        )
        self._faults, self._lone, _ = self._after(cursor.open)
        self._text = next((index for index, frame in enumerate(cursor.open) if _is_triple(frame)), -1)
        self._text_closes = self._text >= 0 and cursor.after.count(cursor.open[self._text].lstrip("f")) % 2 == 1

    def signs(self, text: str) -> tuple[Sign, ...]:
        """The signs of `text` at the cursor; offsets in `text`, so negative for what is typed on the cursor's line."""
        typed = len(self._cursor.line)
        signs = scan(self._cursor.line + text, self._cursor.open_above)
        return tuple(sign._replace(start=sign.start - typed, end=sign.end - typed) for sign in signs)

    def spans(self, text: str, signs: Sequence[Sign], *, ended: bool) -> tuple[list[Span], int | None]:
        """The whole places of `text` in order, and where a sign is that leaves no later place whole, if there is one.

        Unless the text `ended`, signs at its end that may become others are left out.
        """
        spans: list[Span] = []
        opened, at = self._cursor.open, 0
        typed = len(opened)  # frames open at the cursor that are open still
        length = len(text)
        if not ended and (quotes := _QUOTES_AT_END.search(text)):
            length = quotes.start()
        for sign in (sign for sign in signs if sign.end > 0):
            if sign.end > length:
                break
            if self._whole(opened, typed):
                spans.append(Span(at, max(0, sign.start), opened, typed))
            if sign.lost:
                perhaps = sign.end == length and not ended  # of two: }}
                return spans, None if perhaps else max(0, sign.start)
            typed = _common(sign.open, self._cursor.open[:typed])
            opened, at = sign.open, sign.end
        if self._whole(opened, typed):
            spans.append(Span(at, length, opened, typed))
        return spans, None

    def _whole(self, opened: Open, typed: int) -> bool:
        ours = opened[typed:]
        right = self._cursor.right
        if any(_is_triple(frame) and right.count(frame.lstrip("f")) % 2 == 0 for frame in ours):
            return False  # what closes it further down is the beginning of another string
        if "#" in ours and right:
            return False
        if self._text >= 0 and typed > self._text:  # still in the string of several lines
            return not ours
        if self._text_closes:  # and what comes after is no code
            return False
        faults, lone, kept = self._after(opened)
        # A string that was not closed is not made up for by a bracket that it held and that has no partner now.
        return faults <= self._faults and lone <= self._lone and kept <= typed

    def _after(self, opened: Open) -> tuple[int, int, int]:
        """What is lost if the code after the cursor comes where `opened` is, how much of it are closing brackets, and
        how many frames it does not close."""
        if opened not in self._known:
            faults, lone, kept, end = 0, 0, len(opened), opened
            for sign in scan(self._cursor.after[:_REACH], opened):
                faults, end = faults + sign.lost, sign.open
                lone += sign.lost if self._cursor.after[sign.start] in ")]}" else 0
                if not sign.lost:
                    kept = min(kept, len(end))
                if sign.statement and sign.end >= self._statement:
                    break
            self._known[opened] = faults + len([frame for frame in end if frame != "#"]), lone, kept
        return self._known[opened]


_QUOTES_AT_END = re.compile(r"""(?:\b[rRbBuUfFtT]{1,2}["']*|["']+)\Z""")  # of one quote, or the beginning of three
_REACH = 4000  # characters after the cursor in which its statement ends


def _is_triple(frame: str) -> bool:
    return frame.lstrip("f") in ('"""', "'''")


def _common(first: Open, second: Open) -> int:
    pairs = zip(first, second, strict=False)
    return next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
