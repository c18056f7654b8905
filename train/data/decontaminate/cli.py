"""The command that leaves out what comes near to a benchmark."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edge_phi.cores import usable_cores


def decontaminate(
    source: Annotated[Path, typer.Argument(help="The folder of shards to read.")],
    out: Annotated[Path, typer.Argument(help="The folder of shards and reports to write.")],
    benchmarks: Annotated[Path, typer.Option(help="The folder that holds humaneval/, mbpp/ and evalplus/.")],
    tau: Annotated[
        float, typer.Option(help="The match rate of syntax trees, 0.8 to 1, from which on code is dropped.")
    ] = 0.8,
    report_only: Annotated[bool, typer.Option("--report-only", help="Drop nothing, write the reports.")] = False,
    model: Annotated[
        Path | None, typer.Option(help="A checkpoint folder to embed with; the bundled model if not given.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; all cores if not given.")] = None,
) -> None:
    """Leave out what shares 13 words in a row with HumanEval or MBPP, or holds their solutions; print what was dropped.

    report.json lists every hit; decontamination.json has the problems that what is left comes near to, and
    decontamination-before.json those that SOURCE came near to: 'edge-phi eval' reads either beside a model.
    """
    from .step import decontaminate as step

    counts = step(
        source,
        out,
        benchmarks=benchmarks,
        tau=tau,
        report_only=report_only,
        model=model,
        workers=workers or usable_cores(),
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(json.dumps(asdict(counts), indent=2))
