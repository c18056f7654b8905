"""The command that writes exercises."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from edge_phi.errors import InvalidCall


def exercises(
    out: Annotated[Path, typer.Argument(help="The folder of shards to write.")],
    count: Annotated[int, typer.Option(help="How many distinct exercises to write.")] = 30_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that draw and verify; the result does not depend on it.")] = 1,
) -> None:
    """Draw exercises from the grammar, run each in a process of its own, and write those that hold as record shards.

    Columns beside every record's: `prompt`, `solution`, `tests` (assertions, or ""), `examples` (calls and the `repr`
    of their results, "" for None) and `tags`.

    Raises:
        InvalidCall: `count` or `workers` is less than 1, or `out` holds something else.
    """
    from ..steps import Counts
    from .step import write_exercises

    if count < 1 or workers < 1:
        raise InvalidCall("--count and --workers take a number of at least 1")

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    counts: Counts = write_exercises(out, count, seed=seed, workers=workers, say=say)
    say(f"{counts.records_in:,} drawn, {counts.records_out:,} kept, {counts.tokens_out:,} tokens")
    for reason, number in sorted(counts.dropped.items(), key=lambda item: -item[1]):
        say(f"{number:>9,} dropped: {reason}")
    print(out)
