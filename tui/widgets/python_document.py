"""A text that knows which parts of it are keywords, strings and so on, and is parsed only when somebody asks."""

from __future__ import annotations

import math
import re
import sys
import time
from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING, Any

from textual.document._document import Document, EditResult, Location
from textual.widgets import TextArea
from textual.widgets.text_area import Highlight

if TYPE_CHECKING:
    from tree_sitter import Language, Parser, Query, Tree

_SURROGATES = re.compile("[\ud800-\udfff]")
_CHUNK_LINES = 100  # that the parser reads at a time


class Colours(dict[int, tuple[Highlight, ...]]):
    """For each row whose colours are known (first byte, byte past the last or None, name), what is drawn later last."""

    def __missing__(self, row: int) -> tuple[Highlight, ...]:
        return ()


class PythonDocument(Document):
    """Textual's own document parses all that changed at every edit, and encodes all lines above it to say where it was.

    Here an edit is only noted in the syntax tree, which moves its nodes, and in the colours, which move with the text;
    `parse` makes the tree true again, in as many goes as one likes, and `colour` the colours.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.colours = Colours()
        self.parsed = False  # whether the tree is that of the text as it is now
        self._tree: Tree | None = None
        self._parser: Parser | None = None  # at work on the text as it is now
        self._edited: range | None = None  # rows edited since the tree was true
        self._above = (0, 0)  # a row, and the bytes before it

    def parse(self, seconds: float = math.inf) -> bool:
        """Go on parsing what changed, for at most so long; whether all of it is done now."""
        if self.parsed or (found := _grammar()) is None:
            self.parsed = True
            return True
        from tree_sitter import Parser

        parser = self._parser = self._parser or Parser(found[0])
        end_s = time.perf_counter() + seconds
        try:
            # None for no tree is what the stubs say, and no more.
            before: dict[str, Any] = {} if self._tree is None else {"old_tree": self._tree}
            tree = parser.parse(self._read, progress_callback=lambda *_: time.perf_counter() >= end_s, **before)
        except ValueError:  # it was stopped, and goes on from there the next time
            return False
        edited = [self._edited] if self._edited is not None else []
        if self._tree is not None:
            for change in self._tree.changed_ranges(tree):
                edited.append(range(change.start_point[0], change.end_point[0] + 1))
            for row in [row for row in self.colours if any(row in rows for rows in edited)]:
                del self.colours[row]
        else:
            self.colours.clear()
        self._tree, self._parser, self._edited, self.parsed = tree, None, None, True
        return True

    def colour(self, rows: range) -> None:
        """Look up the colours of those of `rows` where they are not known, in the tree as it is."""
        missing = [row for row in rows if row not in self.colours]
        if missing and self._tree is not None:
            rows = range(missing[0], missing[-1] + 1)
            found = self._found(self._tree, rows)
            self.colours.update((row, tuple(found[row])) for row in rows)

    def replace_range(self, start: Location, end: Location, text: str) -> EditResult:
        """Replace what is between two places, and say so to the tree and to the colours."""
        tree = self._tree
        self.parsed, self._parser = False, None
        top, bottom = sorted((start, end))
        if tree is None:
            self._above = (0, 0)
            return super().replace_range(start, end, text)
        at = self._offset(top)
        old_end = at + len(_encode(self.get_text_range(top, bottom)))
        points = self._point(top), self._point(bottom)
        result = super().replace_range(start, end, text)
        new_point = self._point(result.end_location)
        tree.edit(at, old_end, at + len(_encode(text)), *points, new_point)
        self._move_colours(*points, new_point)
        return result

    def _found(self, tree: Tree, rows: range) -> dict[int, list[Highlight]]:
        found: dict[int, list[Highlight]] = defaultdict(list)
        if (grammar := _grammar()) is None:
            return found
        from tree_sitter import QueryCursor

        cursor = QueryCursor(grammar[1])
        cursor.set_point_range((rows.start, 0), (rows.stop, 0))
        for name, nodes in cursor.captures(tree.root_node).items():
            for node in nodes:
                (first, start), (last, end) = node.start_point, node.end_point
                for row in range(max(first, rows.start), min(last + 1, rows.stop)):
                    found[row].append((start if row == first else 0, end if row == last else None, name))
        for captures in found.values():
            captures.sort(key=_precedence)
        return found

    def _move_colours(self, start: tuple[int, int], end: tuple[int, int], new_end: tuple[int, int]) -> None:
        """The text between two points became one that ends at `new_end`: rows, and bytes in them."""
        (top, left), (bottom, right), (new_bottom, new_right) = start, end, new_end
        edited = self._edited or range(top, top + 1)
        moved = edited.stop + new_bottom - bottom if edited.stop > bottom else edited.stop
        self._edited = range(min(edited.start, top), max(moved, new_bottom + 1))
        colours = self.colours
        first, last = colours.pop(top, ()), colours.get(bottom, ())
        if top == bottom:
            last = first
        if (by := new_bottom - bottom) or top != bottom:
            kept = {row + by if row > bottom else row: one for row, one in colours.items() if not top <= row <= bottom}
            colours.clear()
            colours.update(kept)
        if top == bottom and not by:
            colours[top] = tuple(_moved(first, left, right, new_right))
        else:
            ends = [(a, left if b is None else min(b, left), name) for a, b, name in first if a < left]
            colours[top] = tuple(ends)
            rest = [(max(a, right), b, name) for a, b, name in last if b is None or b > right]
            rest = [(a + new_right - right, b if b is None else b + new_right - right, name) for a, b, name in rest]
            colours[new_bottom] = tuple(rest) if new_bottom != top else (*colours[top], *rest)

    def _offset(self, place: Location) -> int:
        """Bytes before a place; those above the row that was asked for last are known."""
        row, column = place
        known, above = self._above
        newline = len(self.newline)
        if row >= known:
            above += sum(len(_encode(line)) + newline for line in self.lines[known:row])
        else:
            above -= sum(len(_encode(line)) + newline for line in self.lines[row:known])
        self._above = row, above
        return above + len(_encode(self._line(row)[:column]))

    def _point(self, place: Location) -> tuple[int, int]:
        """Row, and bytes before the place in it."""
        row, column = place
        return row, len(_encode(self._line(row)[:column]))

    def _line(self, row: int) -> str:
        return self.lines[row] if row < self.line_count else ""

    def _read(self, _: int, point: tuple[int, int]) -> bytes:
        """Many lines: one at a time, as Textual gives them, is thousands of calls."""
        row, column = point
        lines = self.lines[row : row + _CHUNK_LINES]
        if not lines:
            return b""
        end = "" if row + _CHUNK_LINES >= self.line_count else self.newline
        return _encode(self.newline.join(lines) + end)[column:]


def _moved(colours: tuple[Highlight, ...], left: int, right: int, new_right: int) -> list[Highlight]:
    """A row's colours after its bytes from `left` to `right` have become those to `new_right`."""
    by = new_right - right
    found: list[Highlight] = []
    for start, end, name in colours:
        start = start if start < left else start + by if start >= right else new_right
        if end is not None:
            end = end if end <= left else end + by if end >= right else left
            if end <= start:
                continue
        found.append((start, end, name))
    return found


def _encode(text: str) -> bytes:
    """As UTF-8. A lone surrogate becomes another character of three bytes: on one that is none the parser may crash."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _SURROGATES.sub("\ufffd", text).encode()


@cache
def _grammar() -> tuple[Language, Query] | None:
    """Python's, and what is coloured in it; None where tree-sitter lacks it."""
    try:
        import tree_sitter_python
        from tree_sitter import Language, Query
    except ImportError:
        return None
    language = Language(tree_sitter_python.language())
    return language, Query(language, TextArea._get_builtin_highlight_query("python"))


def _precedence(highlight: Highlight) -> tuple[int, int, bool, int, str]:
    """What is drawn later wins: the inner, then what is said more precisely. The parser's own order varies."""
    start, end, name = highlight
    return start, -(sys.maxsize if end is None else end), "builtin" in name, name.count("."), name
