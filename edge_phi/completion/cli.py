"""`edge-phi complete`: a file and a cursor in, code out, as it comes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from ..store import DEFAULT_MODEL
from .start import start


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
    draft: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="A smaller model of the same tokenizer, to guess ahead where that pays.",
            show_default=False,
        ),
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
    max_seconds: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Stop after so much time, the text read by then.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the random numbers behind a temperature above 0.")] = 0,
    min_logprob: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            help="Offer text only while its tokens' mean log-probability is at least this, as -1.5.", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with the timings.")] = False,
) -> None:
    """Continue the code at a cursor, to the end of its block."""
    start(
        file,
        at=at,
        model=model,
        quant=quant,
        draft=draft,
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        max_seconds=max_seconds,
        seed=seed,
        min_logprob=min_logprob,
        as_json=as_json,
    )
