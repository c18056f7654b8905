"""Which statements of a completion are finished, and where one stands that Python would not take there.

A completion that is cut, by a limit or because the model strays, ends with a finished statement: not with a header
without its body, a `try` without its handler or a decorator without what it decorates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .cursor import Cursor, columns, indent_of, is_compound, opens_block
from .nesting import Sign


class Finished(NamedTuple):
    """What may stay of a text that ends with whole statements."""

    ends: tuple[int, ...]  # offsets after finished statements, in order
    misplaced: int | None = None  # where the first statement begins that is indented as none may be there


def finished(cursor: Cursor, text: str, signs: Sequence[Sign], *, ended: bool) -> Finished:
    """Look at the statements that `text` adds at the cursor; `signs` are its own, as `Balance.signs` gives them.

    The last statement counts if a newline or the end of the text follows it.
    """
    starts = [sign.end for sign in signs if sign.statement and sign.end > 0]
    continued = bool(cursor.statement.strip())
    blocks = _Blocks(cursor, continued)
    ends: list[int] = []
    for start, end in _ranges(starts, len(text), whole=ended):
        code = text[start:end]
        if start == 0:
            code = (cursor.statement if continued else cursor.line) + code
            if continued:
                blocks.go_on(code)
                ends.append(end)
                continue
        if not code.strip() or code.lstrip().startswith("#"):
            continue
        typed = start == 0 and indent_of(code) == cursor.line
        if not blocks.add(code) and not typed:
            return Finished(tuple(ends), start)
        if blocks.whole:
            ends.append(end)
    return Finished(tuple(ends))


def dangles(code: str) -> bool:
    """Whether `code`, which ends in no string and no comment, cannot end there: after an operator, say."""
    tail = code[-_TAIL:].rstrip()
    return bool(_DANGLING.search(tail)) and not _NOT_DANGLING.search(tail)


_TAIL = 80
_DANGLING = re.compile(
    r"""(?: [-+*/%@&|^~=<>!.\\]
    | \b(?:and|as|assert|async|await|class|def|del|elif|except|for|from|global|if|import|in|is|lambda|nonlocal|not|or
    |while|with) )\Z""",
    re.VERBOSE,
)
_NOT_DANGLING = re.compile(r"(?:\.\.\.|\b\d+\.|\bimport\s+\*|\(\s*\*|,\s*[*/])\Z")


@dataclass
class _Block:
    indent: str
    tries: bool  # a `try` whose handler has not come
    body: bool = False


class _Blocks:
    """The blocks that the statements so far have opened."""

    def __init__(self, cursor: Cursor, continued: bool) -> None:
        self._levels = list(cursor.above.indents)  # of the blocks around, the innermost last
        self._opens = cursor.above.header  # whether the last statement is a header
        self._ours: list[_Block] = []  # opened by the completion
        self._decorated = False  # by the completion, and what is decorated has not come
        self._wrong = False
        if continued:
            self._enter(indent_of(cursor.statement))

    @property
    def whole(self) -> bool:
        """Whether nothing that the completion began has still to come."""
        return not self._decorated and all(block.body and not block.tries for block in self._ours)

    def go_on(self, code: str) -> None:
        """The statement at the cursor, begun before it, is `code`."""
        self._opens = opens_block(code)

    def add(self, code: str) -> bool:
        """Take the next statement; False if it may not stand there."""
        indent, word = indent_of(code), code.split(None, 1)[0]
        level = self._levels[-1] if self._levels else ""
        if self._opens:
            if not (indent.startswith(level) and len(indent) > len(level)):
                return False
        elif indent not in (self._levels or [""]):
            return False
        handler = re.match(r"(?:except|finally)\b", word) is not None
        while self._ours and columns(self._ours[-1].indent) >= columns(indent):
            block = self._ours.pop()
            if block.tries and not (handler and block.indent == indent):
                return False
        for block in self._ours:
            block.body = True
        self._enter(indent)
        self._opens = opens_block(code)
        if self._opens:
            self._ours.append(_Block(indent, tries=word == "try:"))
        self._decorated = word.startswith("@") or (self._decorated and not is_compound(code))
        return True

    def _enter(self, indent: str) -> None:
        self._levels = [level for level in self._levels if columns(level) < columns(indent)] + [indent]


def _ranges(starts: Sequence[int], length: int, *, whole: bool) -> Iterator[tuple[int, int]]:
    """Where statements begin and end that a newline ends, and the last one if it is `whole`."""
    begin = 0
    for start in starts:
        yield begin, start
        begin = start
    if whole and begin < length:
        yield begin, length
