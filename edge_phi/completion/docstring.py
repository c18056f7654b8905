"""A docstring that the model does not come to the end of: its whole lines, closed.

Models that learned from documented code begin a body with a docstring, and small ones often go round in circles there,
or use up their tokens. Left as it is it would swallow the code below, so nothing at all could be offered.
"""

from __future__ import annotations

from collections.abc import Sequence

from .cursor import Cursor, indent_of, is_definition
from .nesting import Sign

_QUOTES = ('"""', "'''")
_EXAMPLE = (">>>", "...")  # lines of code in a docstring


def closed_docstring(cursor: Cursor, text: str, signs: Sequence[Sign], end: int) -> str:
    """The docstring that `text` begins with and does not close, closed after its last whole line; "" if there is none.

    Args:
        cursor: with nothing to the right of it.
        text: the model's.
        signs: its own, as `Balance.signs` gives them.
        end: characters of `text` that no rule takes away.
    """
    opening = next((sign for sign in signs if sign.end > 0 and sign.open != cursor.open), None)
    last = next((sign for sign in reversed(signs) if sign.end > 0), None)
    if opening is None or last is None or last.open != opening.open or cursor.open:
        return ""
    quotes = opening.open[-1]
    begun = cursor.statement.strip()
    documented = is_definition(begun) and begun.endswith(":") if begun else cursor.above.definition
    there = cursor.after.lstrip().startswith(_QUOTES)  # one already
    if quotes not in _QUOTES or text[: opening.start].strip() or there or not documented:
        return ""
    whole = end if text[end : end + 1] == "\n" else text.rfind("\n", opening.end, end)
    lines = text[opening.end : max(opening.end, whole)].split("\n")
    # An example without its result says nothing.
    while lines and (not lines[-1].strip() or lines[-1].lstrip().startswith(_EXAMPLE)):
        lines.pop()
    if not lines or whole < 0:
        return ""
    level = indent_of(cursor.statement) if begun else cursor.above.indents[-1]
    before = cursor.line + text[: opening.start]
    indent = before[before.rfind("\n") + 1 :]
    if indent.strip() or not (indent.startswith(level) and len(indent) > len(level)):
        return ""
    return text[: opening.end] + "\n".join(lines) + f"\n{indent}{quotes}"
