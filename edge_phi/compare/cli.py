"""`edge-phi compare`: every form of a model against full precision, and which one to take."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Optional

import typer

from .. import atomic
from ..errors import EdgePhiError, InvalidCall
from ..measure.cli import check_target
from ..store import DEFAULT_MODEL


def compare(
    model: Annotated[str, typer.Argument(help="A model's name, its folder or a GGUF file.")] = DEFAULT_MODEL,
    pick: Annotated[
        str,
        typer.Option(
            metavar="CONDITION", show_default=False,
            help="Choose the form whose first line is there the soonest among those that satisfy, for example, "
            "'first_line_ms<300 and kl<0.02', and say why.",
        ),
    ] = "",
    evaluation: Annotated[
        str,
        typer.Option(
            "--eval", metavar="BENCHMARK[:N]", show_default=False,
            help="Add pass@1 with paired flips: humaneval, mbpp ..., or the first N problems. Long.",
        ),
    ] = "",
    text: Annotated[
        Optional[Path],  # noqa: UP045, as Typer evaluates it on Python 3.10 too
        typer.Option(metavar="FILE", show_default=False, help="Measure fidelity on this text, not on held-out text."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what was measured before.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of the table.")] = False,
    html: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="OUT", show_default=False, help="Write a page with plots to OUT instead of the table."),
    ] = None,
    data: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="DIR", show_default=False, help="The folder with the benchmark's files."),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Open no socket.")] = False,
    allow_weak_sandbox: Annotated[
        bool, typer.Option("--allow-weak-sandbox", help="Run untrusted programs on this machine unprotected.")
    ] = False,
) -> None:  # fmt: skip
    """Compare every form of a model with full precision: size, speed, memory, fidelity, pass@1.

    Small models are converted first to the forms they lack. What was measured is kept: interrupted, the command goes on
    where it was, and it measures again only what has changed.
    """
    # What measures is not loaded to show a command's help.
    from ..measure.forms import make_missing
    from ..measure.progress import progress_on_stderr
    from .cache import Cache, cache_folder
    from .page import to_html
    from .pick import Condition
    from .pick import pick as pick_form
    from .report import pick_lines, print_comparison, to_json
    from .run import CompareSettings, run_comparison

    condition = Condition(pick) if pick else None
    if condition and condition.needs_passes and not evaluation:
        raise InvalidCall("--pick asks for what a benchmark says: give one with --eval, as --eval humaneval")
    if html is not None:
        if as_json:
            raise InvalidCall("--json and --html: one report at a time: give one of them")
        check_target(html)
    with contextlib.ExitStack() as stack:
        settings = CompareSettings(text=text)
        if evaluation:
            from ..evaluate.sandbox import Sandbox
            from .passes import open_evaluation, parse_request

            parse_request(evaluation)
            # Before anything is measured: that should not end in a machine that cannot check.
            sandbox = stack.enter_context(Sandbox(allow_weak=allow_weak_sandbox))
            settings = replace(settings, evaluation=open_evaluation(evaluation, sandbox, data=data, offline=offline))
        progress = stack.enter_context(progress_on_stderr())
        cache = Cache(cache_folder(), fresh=fresh)
        found, missing = make_missing(model, progress)
        comparison = run_comparison(found, progress, cache, settings, skipped=missing)
        if condition:
            comparison = replace(comparison, pick=pick_form(condition, comparison.forms))
        if html is not None:
            atomic.write_bytes(html, to_html(comparison).encode())
            progress.note(f"{html}: written")
            for line in pick_lines(comparison):
                progress.note(line)
    if as_json:
        typer.echo(to_json(comparison))
    elif html is None:
        print_comparison(comparison)
    failed = {one.name for one in (*comparison.bench.failed, *comparison.failed)}
    if failed:
        raise EdgePhiError(
            f"{comparison.bench.model}: {', '.join(sorted(failed))} failed: see the reasons above; the other figures "
            "stand"
        )
    if comparison.pick and comparison.pick.form is None:
        raise EdgePhiError(
            f"{comparison.bench.model}: no form satisfies {pick!r}: see the reasons above, or ask for less"
        )
