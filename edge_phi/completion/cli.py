"""`edge-phi complete`: a file and a cursor in, code out, as it comes."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from ..errors import InvalidCall
from ..store import DEFAULT_MODEL
from .buffer import MAX_FILE_BYTES, Buffer, decode_buffer, parse_cursor, read_buffer
from .terminal import shown

if TYPE_CHECKING:
    from .session import Suggestion


def complete(
    file: Annotated[
        Optional[Path],  # noqa: UP045, as Typer evaluates it on Python 3.10 too
        typer.Argument(help="The file to continue; standard input if there is none.", show_default=False),
    ] = None,
    at: Annotated[
        str,
        typer.Option(
            metavar="LINE:COL",
            help="The cursor, both counted from 1, columns in characters; the end of the text if not given.",
            show_default=False,
        ),
    ] = "",
    model: Annotated[
        str, typer.Option("--model", "-m", help="A model's name, its folder, or a GGUF file.")
    ] = DEFAULT_MODEL,
    quant: Annotated[
        str, typer.Option("--quant", "-q", help="A form of the model: onnx:int4, or only int4.", show_default=False)
    ] = "",
    max_tokens: Annotated[int, typer.Option(help="Stop after so many tokens.")] = 128,
    temperature: Annotated[float, typer.Option(help="0 takes the most probable token, more varies.")] = 0.0,
    top_p: Annotated[
        float, typer.Option(help="Of the most probable tokens, those that together have this share.")
    ] = 1.0,
    min_p: Annotated[
        float, typer.Option(help="Only tokens at least this times as probable as the most probable one.")
    ] = 0.0,
    repetition_penalty: Annotated[
        float, typer.Option(help="Above 1, tokens the completion has already become less probable.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the random numbers behind a temperature above 0.")] = 0,
    max_seconds: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Stop after so much time, the text read by then.", show_default=False),
    ] = None,
    min_logprob: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            help="Offer text only while its tokens' mean log-probability is at least this, as -1.5.", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with the timings.")] = False,
) -> None:
    """Continue the code at a cursor, to the end of its block."""
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
    with open_session(model, quant=quant or None, snapshots=True) as session:
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
