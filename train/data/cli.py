"""`edge-phi data`: the steps from raw text to what a model is trained on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from edge_phi.errors import InvalidCall

from .collect.cli import collect
from .decontaminate.cli import decontaminate
from .deduplicate.cli import dedup
from .endpoint.cli import app as endpoint
from .exercises.cli import exercises
from .quality.cli import quality

app = typer.Typer(help="Collect documents, generate exercises, and pack both to train on.", no_args_is_help=True)
app.command()(collect)
app.command()(exercises)
app.command()(dedup)
app.command()(decontaminate)
app.command()(quality)
app.add_typer(endpoint)


@app.command("pack")
def pack_command(
    out: Annotated[Path, typer.Argument(help="The folder of token shards to write.")],
    sources: Annotated[
        list[str], typer.Argument(help="NAME=PATH: a .jsonl.gz of documents or a folder of text, as the array NAME.")
    ],
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="A tokenizer.json; trained on the text if not given."),
    ] = None,
    vocabulary: Annotated[int, typer.Option(help="Of the tokenizer to train.")] = 8192,
    benchmarks: Annotated[
        Path | None, typer.Option(help="The folder of humaneval/ and mbpp/: overlap is left out.")
    ] = None,
) -> None:
    """Encode text as token shards, which 'edge-phi train RECIPE --data OUT' reads; NAME is what its mixture says."""
    from .pack_text import pack_text

    named: dict[str, Path] = {}
    for source in sources:
        name, equals, path = source.partition("=")
        if not equals or not name or not path or name in named:
            raise InvalidCall(f"cannot read {source!r}: write each source once, as NAME=PATH")
        named[name] = Path(path)
    pack_text(
        out,
        named,
        tokenizer=tokenizer,
        vocabulary=vocabulary,
        benchmarks=benchmarks,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(out)
