"""Where a text stands in the lines of a file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple


class Match(NamedTuple):
    """A place in the lines, rows and columns from 0, and how many characters it has."""

    row: int
    column: int
    length: int


def find(lines: Sequence[str], wanted: str, start: tuple[int, int], *, backwards: bool = False) -> Match | None:
    """The first match at or after `start` (row, column), around the end; `backwards`, the last before it.

    A capital letter in `wanted` makes case count.
    """
    if not wanted:
        return None
    pattern = re.compile(re.escape(wanted), 0 if wanted != wanted.lower() else re.IGNORECASE)
    row, column = start
    if backwards:
        for distance in range(len(lines) + 1):
            here = (row - distance) % len(lines)
            matches = [match for match in pattern.finditer(lines[here]) if distance or match.start() < column]
            if distance == len(lines):
                matches = [match for match in matches if match.start() >= column]
            if matches:
                return _match(here, matches[-1])
        return None
    for distance in range(len(lines) + 1):
        here = (row + distance) % len(lines)
        if found := pattern.search(lines[here], column if distance == 0 else 0):
            return _match(here, found)
    return None


def count(lines: Sequence[str], wanted: str, at: Match) -> tuple[int, int]:
    """Which of all matches `at` is, counted from 1, and how many there are."""
    pattern = re.compile(re.escape(wanted), 0 if wanted != wanted.lower() else re.IGNORECASE)
    number = total = 0
    for row, line in enumerate(lines):
        for match in pattern.finditer(line):
            total += 1
            if (row, match.start()) <= (at.row, at.column):
                number = total
    return number, total


def _match(row: int, found: re.Match[str]) -> Match:
    return Match(row, found.start(), found.end() - found.start())
