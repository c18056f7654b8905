"""The command that collects."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edge_phi.errors import EdgePhiError, InvalidCall


def collect(
    out: Annotated[Path, typer.Argument(help="The folder of shards to write.")],
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="NAME=PATH of a folder (.py, .md, .rst, .txt, JSON lines, Parquet) or of one .jsonl, .jsonl.gz,"
            " .jsonl.zst or .parquet; the PATH of a folder of SET/*.jsonl.gz; standard_library; installed.",
        ),
    ],
    license: Annotated[
        list[str] | None,
        typer.Option(
            help="Also allow this licence: an SPDX identifier, a pattern such as 'CC-BY-SA-*', or 'unknown'."
            " Permissive licences are allowed anyway. May be repeated."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes; the shards do not depend on it.")] = 1,
) -> None:
    """Bring licensed text and code that is readable, hand-written and free of secrets into shards; print the counts."""
    from .run import collect_records
    from .sources import parse_sources

    if workers < 1:
        raise InvalidCall("--workers takes a number of at least 1")
    counts = collect_records(
        parse_sources(sources),
        out,
        licenses=license or (),
        workers=workers,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(f"{counts.records_in:,} seen, {counts.records_out:,} kept", file=sys.stderr)
    for reason, number in sorted(counts.dropped.items(), key=lambda item: (-item[1], item[0])):
        print(f"{number:>9,} dropped: {reason}", file=sys.stderr)
    print(json.dumps(asdict(counts), indent=2))
    if not counts.records_out:
        raise EdgePhiError(f"{out}: nothing was fit to keep: the reasons are above")
