"""The command that writes exercises to a file."""

from __future__ import annotations

import gzip
import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from edge_phi.atomic import atomic_file
from edge_phi.errors import InvalidCall

from .stream import Report, generate


def exercises(
    out: Annotated[Path, typer.Argument(help="Where to write the JSON lines, compressed with gzip.")],
    count: Annotated[int, typer.Option(help="How many distinct exercises to write.")] = 30_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same file.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that draw and verify; the result does not depend on it.")] = 1,
) -> None:
    """Draw exercises from the grammar, run each in a process of its own, and write those that hold.

    Each line is an object with `id`, `source`, `path`, `license`, `text`, `prompt`, `solution`, `examples`
    (pairs of a call and the `repr` of its result, "" for None) and `tags`.

    Raises:
        InvalidCall: `count` or `workers` is less than 1, or the folder of `out` does not exist.
    """
    if count < 1 or workers < 1:
        raise InvalidCall("--count and --workers take a number of at least 1")
    if not out.parent.is_dir():
        raise InvalidCall(f"{out.parent}: no such folder: create it or choose another place for the exercises")
    report = Report()
    started = time.monotonic()
    with atomic_file(out) as file, gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
        for exercise in generate(count, seed=seed, workers=workers, report=report):
            record = {
                "id": exercise.id,
                "source": "exercises",
                "path": f"exercises/{exercise.id}.py",
                "license": "Apache-2.0",
                "text": exercise.text,
                "prompt": exercise.prompt,
                "solution": exercise.solution,
                "examples": exercise.examples,
                "tags": exercise.tags,
            }
            packed.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
            if sys.stderr.isatty() and report.kept % 100 == 0:
                rate = report.kept / (time.monotonic() - started)
                sys.stderr.write(f"\r{report.kept}/{count} exercises, {rate:.0f}/s ")
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    for line in summary(report):
        sys.stderr.write(line + "\n")


def summary(report: Report) -> list[str]:
    """Say how many were kept, and how many dropped for which reason, most frequent first."""
    return [
        f"{report.drawn} drawn, {report.kept} kept",
        *(f"{number:>8} dropped: {reason}" for reason, number in report.dropped.most_common()),
    ]
