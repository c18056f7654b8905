"""What examiner and candidate say to one another.

The examiner asks, the candidate answers each question with one frame, both with the question's token in front. While it
works on an answer the candidate may call a function that it was given: it sends a call instead, and the examiner's
answer to that, which may be preceded by questions of its own, comes back as a frame of the candidate's token.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from .reading import Reader, Unreadable
from .writing import Writer

TOKEN_BYTES = 8

# The examiner's
LOAD = b"L"  # run this source
LOOK_UP = b"U"  # which of these names does it define
OPERATE = b"O"  # an operation's number, operands, keywords
RETURN = b"R"  # to a call
RAISE = b"E"

# The candidate's
RESULT = b"r"  # what became of mutable operands, the value
ERROR = b"e"  # what became of mutable operands, the exception
CALL = b"c"  # a function's number, arguments, keywords

OPERATIONS: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("call", lambda target, /, *arguments, **keywords: target(*arguments, **keywords)),
    ("getattr", getattr),
    ("setattr", setattr),
    ("len", len),
    ("iter", iter),
    ("next", next),
    ("getitem", operator.getitem),
    ("setitem", operator.setitem),
    ("delitem", operator.delitem),
    ("bool", bool),
    ("str", str),
    ("repr", repr),
    ("format", format),
    ("hash", hash),
    ("isinstance", isinstance),
    ("eq", operator.eq),
    ("ne", operator.ne),
    ("lt", operator.lt),
    ("le", operator.le),
    ("gt", operator.gt),
    ("ge", operator.ge),
    ("add", operator.add),
    ("sub", operator.sub),
    ("mul", operator.mul),
)
NUMBERS = {name: number for number, (name, _) in enumerate(OPERATIONS)}


def write_operands(writer: Writer, operands: Sequence[Any], keywords: dict[str, Any]) -> None:
    """Append what an operation or a call gets."""
    writer.items(operands)
    writer.items(list(keywords))
    writer.items(list(keywords.values()))


def read_operands(reader: Reader) -> tuple[list[Any], dict[str, Any]]:
    """Read what an operation or a call gets.

    Raises:
        Unreadable: it is not what `write_operands` writes.
    """
    operands, names, values = reader.items(), reader.items(), reader.items()
    if len(names) != len(values) or not all(type(name) is str for name in names):
        raise Unreadable
    return operands, dict(zip(names, values, strict=True))
