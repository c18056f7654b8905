"""What of a model's text is offered at a cursor: where it has to stop, and how much of it is sound there.

The model's text is only ever cut, and text once shown stays. So of the first line each word is offered as it comes, as
long as brackets and strings agree with the code around (balance.py); of what follows, statement after statement, each
when it is finished (statements.py). A line with code right of the cursor ends before it (one_line.py). Only a docstring
that the model does not finish is closed (docstring.py), where nothing else is left.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .balance import Balance, Span
from .cursor import Cursor, cursor_between
from .docstring import closed_docstring
from .one_line import space_before
from .statements import Finished, dangles, finished
from .stops import rules_at
from .verdict import Exact, StopRule, Verdict, judge


def shape(before: str, after: str) -> StopRule:
    """The one rule for a cursor between `before` and `after`, Python code with "\\n" for newlines."""
    cursor = cursor_between(before, after)
    balance = Balance(cursor)
    rules = rules_at(cursor, balance)

    def rule(text: str, ended: bool) -> Verdict:
        end, stop, _ = judge(rules, text, ended=ended)
        signs = balance.signs(text)
        spans, lost = balance.spans(text, signs, ended=ended)
        if lost is not None and lost <= end:
            end, stop = lost, True
        if lone := _LONE_RETURN.search(text, 0, end):  # which ends a line for Python, but not in any rule here
            end, stop = lone.start(), True
        if cursor.right:
            end = max(_of_first_line(cursor, text, spans, end), default=0)
            return Exact(space_before(cursor, text, end), stop) if stop or ended else Verdict(end)
        statements = finished(cursor, text, signs, ended=ended)
        if statements.misplaced is not None and statements.misplaced <= end:
            end, stop = statements.misplaced, True
        places = [*_of_first_line(cursor, text, spans, end), *_of_others(cursor, text, spans, statements, end)]
        last = max(places, default=0)
        return Verdict(last, stop, "" if text[:last].strip() else closed_docstring(cursor, text, signs, end))

    return rule


_LONE_RETURN = re.compile(r"\r(?=[^\n])")


def _of_first_line(cursor: Cursor, text: str, spans: Sequence[Span], end: int) -> list[int]:
    """The last place of the first line, up to `end`, that the completion may end at."""
    newline = text.find("\n")
    last = min(end, newline if newline >= 0 else end)
    operand = bool(cursor.right) and cursor.right[0] not in ")]},:;#"  # what dangles has its right side there
    for span in reversed(spans):
        for place in range(min(last, span.end), span.start - 1, -1):
            if operand or not _dangles(cursor, text, span, place):
                return [place]
    return []


def _of_others(cursor: Cursor, text: str, spans: Sequence[Span], statements: Finished, end: int) -> list[int]:
    """The places below the first line, up to `end`, that the completion may end at."""
    ends = set(statements.ends)
    places = []
    for span in spans:
        held = 0 < span.typed == len(span.open)  # in a bracket or string that was open: no statement
        for place in range(span.start, min(span.end, len(text)) + 1):
            line_end = place < len(text) and text[place] == "\n"
            if len(text[:place].rstrip()) > end:
                break
            if (place in ends or (place + 1 in ends and line_end) or (held and line_end)) and not _dangles(
                cursor, text, span, place
            ):
                places.append(place)
    return places


def _dangles(cursor: Cursor, text: str, span: Span, place: int) -> bool:
    in_code = not span.open or span.open[-1] in "([{"
    return in_code and dangles(cursor.line + text[:place])
