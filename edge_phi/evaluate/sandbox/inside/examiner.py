"""Runs trusted tests against a solution that lives in another process.

A solution has passed when this process, which no code of the solution's ever enters, has run the tests to their end.
"""

from __future__ import annotations

import builtins
import functools
import traceback
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import wire
from .handles import Conversation, ProtocolBroken

MAX_DETAIL = 300

_BUILTINS = frozenset(dir(builtins))


def examine(conversation: Conversation, job: dict[str, Any]) -> dict[str, str]:
    """Run the helpers and the tests of `job` against its solution.

    Returns:
        outcome and detail; the outcome "ended" where the candidate did before the tests.
    """
    try:
        parts = [_compiled(job[name], f"<{name}>") for name in ("helpers", "tests")]
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        return _verdict("infrastructure_error", f"the tests do not compile: {_said(error)}")
    wanted = parts[0].names | parts[1].names | set(job["names"])
    try:
        try:
            conversation.load(job["solution"])
        except (wire.Closed, ProtocolBroken):
            raise
        except BaseException as error:
            return _verdict("fail", f"{_said(error)}, when the program was loaded")
        namespace = {"__builtins__": builtins, **conversation.look_up(sorted(wanted))}
        for part in parts:
            exec(part.code, namespace)
    except wire.Closed:
        return _verdict("ended", "")
    except ProtocolBroken as error:
        return _verdict("fail", str(error))
    except BaseException as error:
        return _verdict("fail", f"{_said(error)}{_where(error, job['tests'])}")
    return _verdict("pass", "")


@dataclass(frozen=True)
class _Part:
    code: types.CodeType
    names: frozenset[str]  # what it may want of the solution: all it names that the builtins do not have


@functools.lru_cache(maxsize=16)  # a problem's tests come once for every sample
def _compiled(source: str, name: str) -> _Part:
    code = compile(source, name, "exec", dont_inherit=True)
    return _Part(code, frozenset(_names(code)) - _BUILTINS)


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _verdict(outcome: str, detail: str) -> dict[str, str]:
    return {"outcome": outcome, "detail": detail[:MAX_DETAIL]}


def _said(error: BaseException) -> str:
    """Type and message; a message can be hostile, and long, and so can the attempt to make it."""
    try:
        message = str(error)[:MAX_DETAIL]
    except Exception:
        message = ""
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _where(error: BaseException, tests: str) -> str:
    """The last line of the tests that was reached."""
    numbers = [number for frame, number in traceback.walk_tb(error.__traceback__) if _is_of_tests(frame)]
    if not numbers:
        return ""
    return f", at line {numbers[-1]}: {tests.splitlines()[numbers[-1] - 1].strip()}"


def _is_of_tests(frame: types.FrameType) -> bool:
    return frame.f_code.co_filename == "<tests>"
