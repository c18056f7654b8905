"""What `edge-phi complete` does, however its arguments were read."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InvalidCall
from ..store import DEFAULT_MODEL
from .buffer import MAX_FILE_BYTES, Buffer, decode_buffer, parse_cursor, read_buffer
from .terminal import shown

if TYPE_CHECKING:
    from .session import Suggestion

_OPTIONS: dict[str, tuple[str, Callable[[str], object]]] = {
    "--at": ("at", str),
    "--model": ("model", str),
    "-m": ("model", str),
    "--quant": ("quant", str),
    "-q": ("quant", str),
    "--draft": ("draft", str),
    "--max-tokens": ("max_tokens", int),
    "--temperature": ("temperature", float),
    "--top-p": ("top_p", float),
    "--min-p": ("min_p", float),
    "--repetition-penalty": ("repetition_penalty", float),
    "--max-seconds": ("max_seconds", float),
    "--seed": ("seed", int),
    "--min-logprob": ("min_logprob", float),
}


def quick(arguments: Sequence[str]) -> int | None:
    """Complete if `arguments` are a file and options with their values; None for help and whatever is wrong."""
    values: dict[str, Any] = {}
    left = iter(arguments)
    for one in left:
        if one in _OPTIONS:
            name, read = _OPTIONS[one]
            try:
                values[name] = read(next(left))
            except (StopIteration, ValueError):
                return None
            if read is str and values[name].startswith("-"):
                return None
        elif one == "--json":
            values["as_json"] = True
        elif one.startswith("-") or "file" in values:
            return None
        else:
            values["file"] = Path(one)
    start(**values)
    return 0


def start(
    file: Path | None = None,
    *,
    at: str = "",
    model: str = DEFAULT_MODEL,
    quant: str = "",
    draft: str = "",
    max_tokens: int = 128,
    temperature: float = 0.0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
    max_seconds: float | None = None,
    seed: int = 0,
    min_logprob: float | None = None,
    as_json: bool = False,
) -> None:
    """Continue `file`, or standard input, at the cursor `at`, and print what comes; see `edge-phi complete --help`.

    Raises:
        InvalidCall: the text, the cursor, a setting or the model is not to be had.
        EdgePhiError: the model fails.
    """
    from .decode import DecodeSettings
    from .session import open_session

    settings = DecodeSettings(
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        max_seconds=math.inf if max_seconds is None else max_seconds,
        seed=seed,
        min_logprob=min_logprob,
    )
    cursor = parse_cursor(at) if at else None
    name = str(file) if file else "standard input"
    buffer = read_buffer(file) if file else _read_stdin()
    if not buffer.text:
        raise InvalidCall(f"{name}: is empty: nothing to continue")
    try:
        offset = buffer.offset(*cursor) if cursor else len(buffer.text)
    except InvalidCall as error:
        raise InvalidCall(f"{name}: {error}") from error

    printer = _Printer(buffer)
    with open_session(model, quant=quant or None, draft=draft or None, snapshots=True) as session:
        suggestion = session.complete(
            buffer.text[:offset],
            buffer.text[offset:],
            settings=settings,
            on_step=None if as_json else lambda step: printer.write(step.text),
        )
    if as_json:
        print(json.dumps(_report(suggestion, buffer), indent=2))
        return
    printer.finish()
    if not suggestion.text:
        print("edge-phi: the model adds nothing here", file=sys.stderr)


def _read_stdin() -> Buffer:
    if sys.stdin is None or sys.stdin.isatty():
        raise InvalidCall("no file: give one, or send the text to standard input")
    return decode_buffer(sys.stdin.buffer.read(MAX_FILE_BYTES + 1), "standard input")


def _report(suggestion: Suggestion, buffer: Buffer) -> dict[str, Any]:
    """The suggestion as JSON, its text as it would stand in the file. JSON's escapes make any text safe to show."""
    fields = dataclasses.asdict(suggestion)
    timings = {name: value if value is None else round(value, 3) for name, value in fields.pop("timing").items()}
    return {**fields, "text": suggestion.text.replace("\n", buffer.newline), "timings": timings}


class _Printer:
    """Writes text to standard output as it comes: to a terminal what is safe there, else what belongs in the file."""

    def __init__(self, buffer: Buffer) -> None:
        self._newline = buffer.newline
        self._terminal = sys.stdout.isatty()
        self._last = ""
        if isinstance(sys.stdout, io.TextIOWrapper):
            # A file gets the bytes of a file, whatever the locale; a terminal gets what it can show.
            encoding = None if self._terminal else "utf-8"
            sys.stdout.reconfigure(encoding=encoding, errors="replace", newline="")

    def write(self, text: str) -> None:
        """Write and flush `text`."""
        if text:
            # A buffer of mixed newlines has "\r\n" where the lines at the cursor have.
            print(
                shown(text.replace("\r\n", "\n")) if self._terminal else text.replace("\n", self._newline),
                end="",
                flush=True,
            )
            self._last = text[-1]

    def finish(self) -> None:
        """End the line on a terminal, so that the shell's prompt starts on its own."""
        if self._terminal and self._last not in ("", "\n"):
            print(flush=True)
