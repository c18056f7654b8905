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
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Verdict(NamedTuple):
    """Characters of the text that stay, and whether the completion ends after them."""

    end: int
    stop: bool = False


# Called with the text so far and whether the model ended there or may write no more; then nothing is held back in hope.
StopRule = Callable[[str, bool], Verdict]


def stop_rules(before: str, after: str) -> tuple[StopRule, ...]:
    """The rules for a cursor between `before` and `after`, Python code with "\\n" for newlines."""
    right = after.split("\n", 1)[0].strip()
    if right:
        return (one_line(right), stutter)
    below = next((line.strip() for line in after.split("\n") if line.strip()), "")
    return (block(before), line_below(before, below), loop, stutter) if below else (block(before), loop, stutter)


def judge(rules: Sequence[StopRule], text: str, *, ended: bool) -> Verdict:
    """What all rules together say: the earliest stop, else the least that any rule is sure of.

    White space at the end is never sure: with rules, a completion ends in code.
    """
    if not rules:
        return Verdict(len(text))
    verdicts = [rule(text, ended) for rule in rules]
    stops = [verdict.end for verdict in verdicts if verdict.stop]
    end = min(stops or (verdict.end for verdict in verdicts))
    return Verdict(len(text[:end].rstrip()), bool(stops))


def one_line(right: str) -> StopRule:
    """End with the line, and leave out an end of it that repeats `right`, the code right of the cursor."""

    def rule(text: str, ended: bool) -> Verdict:
        line, newline, _ = text.partition("\n")
        if newline or ended:
            return Verdict(len(line.rstrip().removesuffix(right)), bool(newline))
        held = (start for start in range(len(line)) if right.startswith(line[start:].rstrip()))
        return Verdict(next(held, len(line)))

    return rule


def line_below(before: str, below: str) -> StopRule:
    """End before a line that is the same as `below`, the next line of code after the cursor."""
    # The first line of the text is a whole line only if nothing was typed on it.
    partial = bool(before.rpartition("\n")[2].strip())

    def rule(text: str, ended: bool) -> Verdict:
        lines = text.split("\n")
        start = 0
        for number, line in enumerate(lines):
            complete = ended or number < len(lines) - 1
            if number or not partial:
                if complete and line.strip() == below:
                    return Verdict(start, stop=True)
                if not complete and below.startswith(line.strip()):
                    return Verdict(start)
            start += len(line) + 1
        return Verdict(len(text))

    return rule


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


_OPENS = re.compile(r"\s*(?:async\s+)?(?:def|class|if|for|while|with|try|elif|else|except|finally|match|case)\b")
_CLAUSES = ("elif", "else", "except", "finally", "case")  # they go on with the statement before them
_WORD = re.compile(r"\w+")
_NEW_LINE = re.compile(r"\n\s*\w*\Z")
_CONTEXT = 200_000  # characters before the cursor that are searched for open brackets and strings


def block(before: str) -> StopRule:
    """End with the block at the cursor."""
    lines_above, _, line = before[-_CONTEXT:].rpartition("\n")
    starts, nesting = _statement_starts(lines_above + "\n", _Nesting())
    statement = (lines_above + "\n")[starts[-1] if starts else 0 :] + line
    typed_indent = len(line.expandtabs())
    opens = bool(_OPENS.match(statement))

    def rule(text: str, ended: bool) -> Verdict:
        code = line + text
        blank = not statement.strip()
        base = None if blank else _indent(statement, 0)
        body = False  # whether a line deeper than the statement at the cursor came
        starts, _ = _statement_starts(code, nesting)
        for start in [0, *starts] if blank else starts:
            at = len(code) - len(code[start:].lstrip())
            word = match[0] if (match := _WORD.match(code, at)) else ""
            if at == len(code) or (at + len(word) == len(code) and not ended):
                break  # the line is blank yet, or its first word may go on
            indent = _indent(code, at)
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


class _Nesting(NamedTuple):
    depth: int = 0  # open brackets
    quote: str = ""  # the triple quotes of the open string


# No bracket reaches over these: one was not closed.
_STATEMENT = re.compile(r"[ \t]*(?:def|class|import|return|async)\b")
_LEXEMES = re.compile(
    r"""
    \#[^\n]*                                        # a comment
    | \"{3} | '{3}
    | "(?:\\.|[^"\\\n])*"? | '(?:\\.|[^'\\\n])*'?   # a string, or as much of it as there is
    | [()\[\]{}]
    | \\?\n
    """,
    re.VERBOSE,
)


def _statement_starts(code: str, nesting: _Nesting) -> tuple[list[int], _Nesting]:
    """Offsets in `code` after each newline that is in no bracket or string, and the nesting at its end."""
    starts: list[int] = []
    (depth, quote), position = nesting, 0
    while True:
        if quote:
            close = code.find(quote, position)
            if close < 0:
                return starts, _Nesting(depth, quote)
            position, quote = close + len(quote), ""
        lexeme = _LEXEMES.search(code, position)
        if lexeme is None:
            return starts, _Nesting(depth, quote)
        position = lexeme.end()
        sign = lexeme.group()
        if sign in ('"""', "'''"):
            quote = sign
        elif sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth = max(0, depth - 1)
        elif sign == "\n":
            if _STATEMENT.match(code, position):
                depth = 0
            if not depth:
                starts.append(position)


def _indent(code: str, at: int) -> int:
    """Columns before the first sign of the line of `code` that holds the offset `at`."""
    line = code[code.rfind("\n", 0, at) + 1 :]
    return len(line[: len(line) - len(line.lstrip())].expandtabs())
