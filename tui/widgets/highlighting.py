"""Python's colours for the lines in view: colouring a whole module at every key would be felt."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from textual.document._document import DocumentBase
from textual.document._syntax_aware_document import SyntaxAwareDocument
from textual.widgets.text_area import Highlight

if TYPE_CHECKING:
    from tree_sitter import Query


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
    return found
