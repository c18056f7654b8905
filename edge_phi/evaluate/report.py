"""Results in words: a table for a terminal, and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from ..measure.report import printable
from .pass_at_k import Estimate
from .score import OUTCOMES, Result, Score

_PLAIN_WIDTH = 160
_NAMED = 12  # of the problems that were left out


def to_json(results: Sequence[Result]) -> str:
    """One JSON document: a list of results."""
    return json.dumps([found.to_json() for found in results], indent=2)


def print_results(results: Sequence[Result], console: Console | None = None) -> None:
    """A row for each result, then what a reader must know, to stdout."""
    console = console or Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    header, *rows = table_cells(results)
    for column, title in enumerate(header):
        table.add_column(title, justify="left" if column < 3 else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for found in results:
        for line in notes(found):
            console.print(line, soft_wrap=True)


def table_cells(results: Sequence[Result]) -> list[list[str]]:
    """A header and the rows: one a result, and two more where it is known what the training data came near to."""
    ks = sorted({k for found in results for k in found.score.pass_at_k})
    header = ["benchmark", "model", "prompt", "problems", *(f"pass@{k} %, 95 %" for k in ks)]
    header += [outcome.replace("_", " ") for outcome in OUTCOMES]
    rows = []
    for found in results:
        settings = found.settings
        name = [str(settings["benchmark"]), f"{settings['model']} {settings.get('form', '')}".strip()]
        row = [*name, str(settings.get("prompt", "-")), str(found.score.problems), *_estimates(found.score, ks)]
        rows.append([printable(cell) for cell in row + [str(found.outcomes[outcome]) for outcome in OUTCOMES]])
        for part, label in ((found.similar, "similar"), (found.other, "not similar")):
            if part is not None:
                cells = ["", f"  of these {label}", "", str(part.problems), *_estimates(part, ks)]
                rows.append(cells + [""] * len(OUTCOMES))
    return [header, *rows]


def notes(found: Result) -> list[str]:
    """What the numbers of a result do not say by themselves."""
    settings, lines = found.settings, []
    name = f"{settings['benchmark']}, {settings['model']}"
    if found.errors:
        lines.append(
            f"NOT JUDGED: {len(found.errors)} problems have an infrastructure error and are not in the score: "
            f"{_some(found.errors)}. Run the same command again to try them again."
        )
    if found.missing:
        lines.append(
            f"MISSING: {len(found.missing)} problems have no completion and are not in the score: "
            f"{_some(found.missing)}."
        )
    if found.dropped:
        lines.append(f"{found.dropped} damaged or unknown lines were left out.")
    if found.empty:
        lines.append(f"{found.empty} completions are empty.")
    if found.too_long:
        lines.append(f"{found.too_long} prompts do not fit the model's context.")
    if found.unfinished:
        lines.append(f"{found.unfinished} completions used up their {settings.get('max_tokens')} tokens.")
    if found.score.bound is not None:
        none = "none" if found.score.solved == 0 else "all"
        lines.append(
            f"The bootstrap says nothing where {none} of {found.score.problems} problems are solved: the exact 95 % "
            f"bound is {found.score.bound:.1%} from there."
        )
    if found.similar is not None:
        tau = "" if found.tau is None else f" (tau {found.tau:g})"
        lines.append(f"Similar: the training data holds something similar{tau}.")
    speed = f", {found.tokens / found.generation_s:.1f} tokens/s" if found.generation_s else ""
    lines.append(
        f"{name}: {found.tokens} tokens in {found.generation_s:.0f} s{speed}; checked in {found.checking_s:.0f} s of "
        "workers."
    )
    return [printable(line) for line in lines]


def percent(estimate: Estimate) -> str:
    """As in "12.2 [7.3, 17.7]"."""
    return f"{100 * estimate.value:.1f} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def _estimates(score: Score, ks: Sequence[int]) -> list[str]:
    return [percent(score.pass_at_k[k]) if k in score.pass_at_k else "-" for k in ks]


def _some(task_ids: Sequence[str]) -> str:
    return ", ".join(task_ids[:_NAMED]) + (f" and {len(task_ids) - _NAMED} more" if len(task_ids) > _NAMED else "")
