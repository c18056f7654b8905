"""A text that knows which parts of it are keywords, strings and so on, and is parsed only when somebody asks."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING

from textual.document._document import Document, EditResult, Location
from textual.widgets import TextArea
from textual.widgets.text_area import Highlight

if TYPE_CHECKING:
    from tree_sitter import Language, Query, Tree

_SURROGATES = re.compile("[\ud800-\udfff]")
_CHUNK_LINES = 100  # that the parser reads at a time


class PythonDocument(Document):
    """Textual's own document parses all that changed at every edit, and encodes all lines above it to say where it was.

    Here an edit is only noted in the syntax tree, which moves its nodes; `parse` makes it true again.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._tree: Tree | None = None
        self.parsed = False  # whether the tree is that of the text as it is now

    def parse(self) -> None:
        """Parse what changed since it was parsed last."""
        if not self.parsed and (found := _grammar()) is not None:
            from tree_sitter import Parser

            parser = Parser(found[0])
            # The stubs want a tree of the same text; what it is for is one that was edited since.
            self._tree = parser.parse(self._read, self._tree) if self._tree else parser.parse(self._read)
        self.parsed = True

    def highlights(self, rows: range) -> dict[int, list[Highlight]]:
        """For each row of `rows` (first byte, byte past the last or None, name), as the tree has it now."""
        found: dict[int, list[Highlight]] = defaultdict(list)
        if self._tree is None or (grammar := _grammar()) is None:
            return found
        from tree_sitter import QueryCursor

        cursor = QueryCursor(grammar[1])
        cursor.set_point_range((rows.start, 0), (rows.stop, 0))
        for name, nodes in cursor.captures(self._tree.root_node).items():
            for node in nodes:
                (first, start), (last, end) = node.start_point, node.end_point
                for row in range(max(first, rows.start), min(last + 1, rows.stop)):
                    found[row].append((start if row == first else 0, end if row == last else None, name))
        for captures in found.values():
            captures.sort(key=_precedence)
        return found

    def replace_range(self, start: Location, end: Location, text: str) -> EditResult:
        """Replace what is between two places, and say so to the tree."""
        tree = self._tree
        self.parsed = False
        if tree is None:
            return super().replace_range(start, end, text)
        top, bottom = sorted((start, end))
        at = self._offset(top)
        old_end = at + len(_encode(self.get_text_range(top, bottom)))
        points = self._point(top), self._point(bottom)
        result = super().replace_range(start, end, text)
        tree.edit(at, old_end, at + len(_encode(text)), *points, self._point(result.end_location))
        return result

    def _offset(self, place: Location) -> int:
        """Bytes before a place."""
        row, column = place
        above = self.newline.join([*self.lines[:row], ""])
        return len(_encode(above)) + len(_encode(self._line(row)[:column]))

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
