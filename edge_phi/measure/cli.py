"""`edge-phi bench`: every form of a model against full precision."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from .. import atomic
from ..errors import EdgePhiError, InvalidCall
from ..store import DEFAULT_MODEL


def bench(
    model: Annotated[str, typer.Option(help="A model's name, its folder or a GGUF file.")] = DEFAULT_MODEL,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of the table.")] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Write a page with plots to OUT instead of the table.")
    ] = None,
) -> None:
    """Measure speed, memory and size of every form of a model, beside full precision.

    Small models are converted first to the forms they lack. Each form runs in a process of its own, three rounds in
    turn, and the figures are medians.
    """
    # What measures is not loaded to show a command's help.
    from .bench import run_bench
    from .forms import make_missing
    from .page import to_html
    from .progress import progress_on_stderr
    from .report import print_report, to_json

    if html is not None:
        if as_json:
            raise InvalidCall("--json and --html: one report at a time: give one of them")
        check_target(html)
    with progress_on_stderr() as progress:
        found, missing = make_missing(model, progress)
        report = run_bench(found, progress, skipped=missing)
        if html is not None:
            atomic.write_bytes(html, to_html(report).encode())
            progress.note(f"{html}: written")
    if as_json:
        typer.echo(to_json(report))
    elif html is None:
        print_report(report)
    if report.failed:
        failed = ", ".join(one.name for one in report.failed)
        raise EdgePhiError(f"{report.model}: {failed} failed: see the reasons above; the other figures stand")


def check_target(path: Path) -> None:
    """Minutes of measuring should not end in a typing error."""
    if path.is_dir():
        raise InvalidCall(f"{path}: a folder: give the name of the page to write")
    if not path.parent.is_dir():
        raise InvalidCall(f"{path}: its folder does not exist: make it, or choose another")
    if not os.access(path.parent, os.W_OK):
        raise InvalidCall(f"{path}: its folder cannot be written to: choose another")
