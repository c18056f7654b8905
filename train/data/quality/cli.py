"""The command that leaves out what has little educational value."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edge_phi.cores import usable_cores


def quality(
    source: Annotated[Path, typer.Argument(help="The folder of shards to read.")],
    out: Annotated[Path, typer.Argument(help="The folder of shards to write.")],
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Lines of name, tab, 0 or 1, or JSON lines of id, text, label; the bundled ones if not given."
        ),
    ] = None,
    classifier: Annotated[
        str,
        typer.Option(help="forest: as published. linear. features: of the code, no model. combined: both, linear."),
    ] = "combined",
    keep: Annotated[float | None, typer.Option(help="The share of the judged tokens to keep, the best.")] = None,
    threshold: Annotated[float | None, typer.Option(help="The quality to keep from, 0 to 1; 0.5 if not given.")] = None,
    sources: Annotated[
        str | None, typer.Option(help="The sources to judge, with commas between; all Python files if not given.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="A checkpoint folder that embeds; the bundled one.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="An .html to write, and a .json beside it: how well labels are told, examples.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; all cores if not given.")] = None,
) -> None:
    """Leave out documents of low educational value, learnt from labels; print what was dropped."""
    from .report import report as write_report
    from .step import quality as run

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    counts = run(
        source,
        out,
        labels=labels,
        classifier=classifier,
        keep=keep,
        threshold=threshold,
        sources=sources.split(",") if sources is not None else None,
        model=model,
        workers=workers or usable_cores(),
        say=say,
    )
    if report:
        write_report(source, out, report, labels=labels, say=say)
    print(json.dumps(asdict(counts), indent=2))
