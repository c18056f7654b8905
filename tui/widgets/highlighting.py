"""Python's colours for the lines in view: colouring a whole module at every key would be felt."""

from __future__ import annotations

import sys
from collections import defaultdict
from typing import TYPE_CHECKING

from textual.document._document import DocumentBase
from textual.document._syntax_aware_document import SyntaxAwareDocument
from textual.widgets.text_area import Highlight

if TYPE_CHECKING:
    from tree_sitter import Query


_CHUNK_LINES = 100


def read_in_chunks(document: SyntaxAwareDocument) -> None:
    """Let the parser read many lines at a time: Textual gives it one, and it asks thousands of times for a key."""

    def read(byte_offset: int, point: tuple[int, int]) -> bytes:
        row, column = point
        lines = document.lines[row : row + _CHUNK_LINES]
        if not lines:
            return b""
        end = "" if row + _CHUNK_LINES >= document.line_count else document.newline
        return (document.newline.join(lines) + end).encode("utf-8", "surrogatepass")[column:]

    document._read_callable = read  # type: ignore[method-assign]


def highlights(document: DocumentBase, query: Query, rows: range) -> dict[int, list[Highlight]]:
    """What `query` captures in `rows` of the document: for each row (first byte, byte past the last or None, name)."""
    found: dict[int, list[Highlight]] = defaultdict(list)
    if not isinstance(document, SyntaxAwareDocument):
        return found
    for name, nodes in document.query_syntax_tree(query, (rows.start, 0), (rows.stop, 0)).items():
        for node in nodes:
            (first, start), (last, end) = node.start_point, node.end_point
            for row in range(max(first, rows.start), min(last + 1, rows.stop)):
                found[row].append((start if row == first else 0, end if row == last else None, name))
    for captures in found.values():
        captures.sort(key=_precedence)
    return found


def _precedence(highlight: Highlight) -> tuple[int, int, bool, int, str]:
    """What is drawn later wins: the inner, then what is said more precisely. The parser's own order varies."""
    start, end, name = highlight
    return start, -(sys.maxsize if end is None else end), "builtin" in name, name.count("."), name
