"""`edge-phi data`: the steps from raw text to what a model is trained on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from .collect import collect, standard_library, text_folder, write_documents
from .exercises.cli import exercises

app = typer.Typer(help="Collect documents and generate exercises to train on.", no_args_is_help=True)
app.command()(exercises)


@app.command("collect")
def collect_command(
    out: Annotated[Path, typer.Argument(help="The .jsonl.gz to write.")],
    corpus: Annotated[Path | None, typer.Option(help="A folder of SET/*.jsonl.gz beside the standard library.")] = None,
    benchmarks: Annotated[
        Path | None, typer.Option(help="The folder of humaneval/ and mbpp/: overlap is left out.")
    ] = None,
) -> None:
    """Collect Python's standard library and text sets; print the manifest."""
    sources = [standard_library()] + ([text_folder(corpus)] if corpus else [])
    collection = collect(sources, benchmarks=benchmarks)
    write_documents(out, collection.documents)
    print(f"{out}: {len(collection.documents):,} documents", file=sys.stderr)
    print(json.dumps(collection.manifest, indent=2))
