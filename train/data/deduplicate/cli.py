"""The command that leaves out copies."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edge_phi.cores import usable_cores


def dedup(
    source: Annotated[Path, typer.Argument(help="The folder of shards to read.")],
    out: Annotated[Path, typer.Argument(help="The folder of shards to write.")],
    threshold: Annotated[
        float,
        typer.Option(help="The Jaccard similarity, on runs of five words, from which on two are near-duplicates."),
    ] = 0.8,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; all cores if not given.")] = None,
) -> None:
    """Leave out exact copies and near-duplicates of earlier documents; print what was dropped."""
    from .step import deduplicate

    counts = deduplicate(
        source,
        out,
        threshold=threshold,
        workers=workers or usable_cores(),
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(json.dumps(asdict(counts), indent=2))
