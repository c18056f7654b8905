"""When a completion is long enough: rules on its text.

A rule looks at all the text so far, decides how much of it will never be cut, and whether the completion ends there.
What is not decided yet, such as a new line before its indentation is known, is held back, so that text once shown
stays. Rules never see text that the user typed as part of the completion.

Which rules apply depends on the cursor. With code right of it, one line, without a repetition of that code. Else the
block: it ends before a line that is indented less than the statement at the cursor; where that statement opens a block
itself, or stands at the top level, also before the next statement beside it. And always: a line that is below the
cursor already, and lines or words that repeat in a loop.
"""

from __future__ import annotations

import re

from .balance import Balance
from .cursor import Cursor, columns, cursor_between, indent_of, is_compound
from .nesting import scan
from .one_line import one_line
from .verdict import StopRule, Verdict, judge

__all__ = ["StopRule", "Verdict", "judge", "rules_at", "stop_rules"]


def stop_rules(before: str, after: str) -> tuple[StopRule, ...]:
    """The rules for a cursor between `before` and `after`, Python code with "\\n" for newlines."""
    cursor = cursor_between(before, after)
    return rules_at(cursor, Balance(cursor))


def rules_at(cursor: Cursor, balance: Balance) -> tuple[StopRule, ...]:
    """The rules for a cursor."""
    if cursor.right:
        return (one_line(cursor, balance), stutter)
    return (block(cursor), line_below(cursor), loop, stutter) if cursor.below else (block(cursor), loop, stutter)


def line_below(cursor: Cursor) -> StopRule:
    """End before a line that is the same as one of the next lines below the cursor, whatever its spaces.

    Of a line that is little more than a word, such as "else:", there may be many: the same is one at the same depth.
    """
    below = [(_squeezed(line), indent_of(line) if _LITTLE.fullmatch(line) else None) for line in cursor.below]
    # The first line of the text is a whole line only if nothing was typed on it.
    partial = bool(cursor.line.strip())

    def rule(text: str, ended: bool) -> Verdict:
        lines = text.split("\n")
        start = 0
        for number, line in enumerate(lines):
            complete = ended or number < len(lines) - 1
            if number or not partial:
                code, indent = _squeezed(line), indent_of(line if number else cursor.line + line)
                for same, depth in below:
                    if complete and code == same and depth in (None, indent):
                        return Verdict(start, stop=True)
                    if not complete and same.startswith(code):
                        return Verdict(start)
            start += len(line) + 1
        return Verdict(len(text))

    return rule


_LITTLE = re.compile(r"\W*\w*\W*")


def _squeezed(line: str) -> str:
    return "".join(line.split())


_LONGEST_LOOP = 8  # lines


def loop(text: str, ended: bool) -> Verdict:
    """End when the same lines come a third time in a row, and keep them once. Small models do this."""
    lines = text.split("\n")
    partial = "" if ended else lines.pop()
    sure = len(text)
    for period in range(1, min(_LONGEST_LOOP, len(lines)) + 1):
        repeated = 0  # lines at the end that are the same as the line a period before
        while repeated < len(lines) - period and lines[-1 - repeated] == lines[-1 - repeated - period]:
            repeated += 1
        kept = len("\n".join(lines[: len(lines) - repeated]))
        if repeated >= 2 * period:
            return Verdict(kept, stop=True)
        if not ended and lines[-period].startswith(partial):
            sure = min(sure, kept)
    return Verdict(sure)


_LONGEST_STUTTER = 40  # characters of what is repeated
_LITTLE_STUTTER = 24  # characters of repetition that are shown, for code has as much, as in [0, 0, 0, 0, 0, 0, 0, 0]
_STUTTER = 2 * _LITTLE_STUTTER


def stutter(text: str, ended: bool) -> Verdict:
    """End when the same few words come again and again on one line. Small models do this, too."""
    line = text[text.rfind("\n") + 1 :]
    sure = len(text)
    for period in range(2, min(_LONGEST_STUTTER, len(line) // 2) + 1):
        repeated = 0  # characters at the end that are the same as those a period before
        while repeated < len(line) - period and line[-1 - repeated] == line[-1 - repeated - period]:
            repeated += 1
        shown = period * max(2, -(-_LITTLE_STUTTER // period))
        if repeated < shown or len(set(line[-period:])) == 1:  # a ruler of one sign is no stutter
            continue
        kept = len(text) - repeated + shown
        if repeated >= max(_STUTTER, 3 * period):
            return Verdict(kept, stop=True)
        if not ended:
            sure = min(sure, kept)
    return Verdict(sure)


_CLAUSES = ("elif", "else", "except", "finally", "case")  # they go on with the statement before them
_WORD = re.compile(r"\w+")
_NEW_LINE = re.compile(r"\n\s*(?:async\s+)?\w*\Z")


def block(cursor: Cursor) -> StopRule:
    """End with the block at the cursor."""
    line, statement = cursor.line, cursor.statement
    typed_indent = columns(line)
    opens = is_compound(statement)

    def rule(text: str, ended: bool) -> Verdict:
        code = line + text
        blank = not statement.strip()
        base = None if blank else columns(indent_of(statement))
        body = False  # whether a line deeper than the statement at the cursor came
        starts = [sign.end for sign in scan(code, cursor.open_above) if sign.statement]
        for start in [0, *starts] if blank else starts:
            at = len(code) - len(code[start:].lstrip())
            word = match[0] if (match := _WORD.match(code, at)) else ""
            if at == len(code) or (at + len(word) == len(code) and not ended):
                break  # the line is blank yet, or its first word may go on
            indent = columns(code[code.rfind("\n", 0, at) + 1 : at])
            if base is None:
                # The indentation typed on a blank line is the block's, unless the model adds to it there.
                base = typed_indent if typed_indent and code.find("\n", 0, at) >= 0 else indent
            beside = indent == base and body and (opens or base == 0) and word not in _CLAUSES
            if indent < base or beside:
                return Verdict(at - len(line), stop=True)
            body = body or indent > base
        new_line = None if ended else _NEW_LINE.search(code)
        return Verdict(max(0, new_line.start() - len(line)) if new_line else len(text))

    return rule
