"""Runs trusted tests against a solution that lives in another process.

A solution has passed when this process, which no code of the solution's ever enters, has run the tests to their end.
"""

from __future__ import annotations

import ast
import builtins
import linecache
import traceback
from typing import Any

from . import wire
from .handles import Conversation, ProtocolBroken

MAX_DETAIL = 300


def examine(conversation: Conversation, job: dict[str, Any]) -> dict[str, str]:
    """Run the helpers and the tests of `job` against its solution.

    Returns:
        outcome and detail; the outcome "ended" where the candidate did before the tests.
    """
    try:
        parts = [(name, _compiled(job[name], f"<{name}>")) for name in ("helpers", "tests")]
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        return _verdict("infrastructure_error", f"the tests do not compile: {_said(error)}")
    wanted = sorted({*_free_names(job["helpers"]), *_free_names(job["tests"]), *job["names"]})
    try:
        try:
            conversation.load(job["solution"])
        except (wire.Closed, ProtocolBroken):
            raise
        except BaseException as error:
            return _verdict("fail", f"{_said(error)}, when the program was loaded")
        namespace = {"__builtins__": builtins, **conversation.look_up(wanted)}
        for name, code in parts:
            linecache.cache[f"<{name}>"] = (len(job[name]), None, job[name].splitlines(True), f"<{name}>")
            exec(code, namespace)
    except wire.Closed:
        return _verdict("ended", "")
    except ProtocolBroken as error:
        return _verdict("fail", str(error))
    except BaseException as error:
        return _verdict("fail", f"{_said(error)}{_where(error)}")
    return _verdict("pass", "")


def _compiled(source: str, name: str) -> Any:
    return compile(source, name, "exec", dont_inherit=True)


def _free_names(source: str) -> set[str]:
    """Names that `source` reads and the builtins do not have."""
    names = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    return names - set(dir(builtins))


def _verdict(outcome: str, detail: str) -> dict[str, str]:
    return {"outcome": outcome, "detail": detail[:MAX_DETAIL]}


def _said(error: BaseException) -> str:
    """Type and message; a message can be hostile, and long, and so can the attempt to make it."""
    try:
        message = str(error)[:MAX_DETAIL]
    except Exception:
        message = ""
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _where(error: BaseException) -> str:
    """The last line of the tests that was reached."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<tests>"]
    return f", at line {frames[-1].lineno}: {frames[-1].line}" if frames else ""
