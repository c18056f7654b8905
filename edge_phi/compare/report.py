"""A comparison in words: as a table for a terminal and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace

from rich import box
from rich.console import Console
from rich.table import Table

from ..measure.figures import Ratios
from ..measure.report import machine_notes, printable, short
from .forms import Comparison, Form, Passes

# Where there is no terminal, nobody's lines are too long.
_PLAIN_WIDTH = 200


def to_json(comparison: Comparison) -> str:
    """One JSON document: what was measured on and how, then every form with its figures, names and units as here."""
    bench = asdict(comparison.bench)
    del bench["artifacts"], bench["failed"]
    return json.dumps(
        {
            **bench,
            "ttft_prompt": comparison.bench.ttft_prompt.name,
            "text": asdict(comparison.text) if comparison.text else None,
            "forms": [_form_json(form) for form in comparison.forms],
            "failed": [asdict(one) for one in (*comparison.bench.failed, *comparison.failed)],
            "pick": asdict(comparison.pick) if comparison.pick else None,
        },
        indent=2,
    )


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """The table, in two parts where the terminal is narrow, then what a reader must know, to stdout."""
    console = console or Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    cells = table_cells(comparison)
    parts = [cells] if _fits(_table(comparison, cells), console) else _halves(cells)
    for part in parts:
        table = _table(comparison, part)
        console.print(table if _fits(table, console) else _table(comparison, part, narrow=True))
        console.print()
    for line in notes(comparison):
        console.print(line, soft_wrap=True)


def table_cells(comparison: Comparison) -> list[list[str]]:
    """A header and a row for each form; a ratio to the baseline stands behind its figure, as in "12.5 0.40x"."""
    header = [
        "form", "file MB", "load ms", "TTFT ms", "first line ms p50, p95", "decode tok/s", "peak RSS MB",
        "perplexity", "KL mean", "KL p99", "top-1",
    ]  # fmt: skip
    evaluated = any(form.passes for form in comparison.forms)
    if evaluated:
        header += ["pass@1", "gained, lost", "p"]
    rows = []
    for form in comparison.forms:
        cells = [*_speed(form, comparison), *_fidelity(form, comparison)]
        rows.append([*cells, *_passes(form.passes)] if evaluated else cells)
    return [header, *rows]


def notes(comparison: Comparison) -> list[str]:
    """What a reader of the table must know: the baseline, the machine, the method, and what is not in it."""
    bench = comparison.bench
    lines = [
        f"{bench.model}; marked x: the ratio to {bench.baseline}, the full-precision baseline."
        if bench.baseline
        else f"{bench.model}; no full-precision form of it could be measured, so nothing can be compared with it."
    ]
    lines_of = [form.first_line for form in comparison.forms if form.first_line]
    if lines_of:
        lines.append(
            f"First line: from asking for a suggestion to its first whole line, at {lines_of[0].cursors} cursors in "
            f"files that are written on, of which {_range([one.suggested for one in lines_of])} got one; what was read "
            "before is not read again."
        )
    text = comparison.text
    positions = next((form.fidelity.positions for form in comparison.forms if form.fidelity), None)
    if text and positions:
        lines.append(
            f"Perplexity, KL divergence (nats a token, of the form's predictions from {bench.baseline}'s) and top-1 "
            f"agreement: {positions} tokens in {text.windows} windows of {text.tokens}, from {text.source}."
        )
    passes = [form.passes for form in comparison.forms if form.passes]
    if passes:
        lines.append(
            f"pass@1: {passes[0].benchmark}, {passes[0].problems} problems, greedy, in brackets the 95 % interval over "
            "problems; gained and lost: problems that only the form, only the baseline solves; p: exact two-sided "
            "McNemar test."
        )
        lines += [f"without a verdict in {form.name}: {', '.join(form.passes.left_out)}"
                  for form in comparison.forms if form.passes and form.passes.left_out]  # fmt: skip
    days = sorted(form.measured for form in comparison.forms)
    if days and days[0][:10] != days[-1][:10]:
        lines.append(f"Measured between {days[0][:10]} and {days[-1][:10]}: --fresh measures all at once.")
    if busy := [form.name for form in comparison.forms if form.busy]:
        lines.append(
            f"This machine was busy with something else while {', '.join(busy)} were timed: compare again with --fresh "
            "when it is idle."
        )
    now_idle = replace(bench.machine, load_average=None)  # what it does now says nothing of what was timed before
    lines += machine_notes(replace(bench, machine=now_idle))
    lines += [f"failed {one.name}: {one.reason}" for one in comparison.failed]
    return [printable(line) for line in [*lines, *pick_lines(comparison)]]


def first_line_ratio(form: Form, comparison: Comparison) -> float | None:
    """The median time to the first line over the baseline's; None of the baseline itself or where one is unknown."""
    baseline = comparison.baseline
    if baseline is None or form.name == baseline.name or not (form.first_line and baseline.first_line):
        return None
    return form.first_line.p50_ms / baseline.first_line.p50_ms


def pick_lines(comparison: Comparison) -> list[str]:
    """What was chosen and why."""
    pick = comparison.pick
    if pick is None:
        return []
    chosen = f"pick {pick.form}: {pick.why}" if pick.form else f"pick: {pick.why}"
    return [f"{chosen} ({pick.condition})", *(f"not {one.name}: {one.reason}" for one in pick.refused)]


def _table(comparison: Comparison, cells: Sequence[Sequence[str]], *, narrow: bool = False) -> Table:
    """The cells as a table; a `narrow` one has a line for each word of a cell where it must."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    header, *rows = cells
    for column, title in enumerate(header):
        widest_word = max(len(word) for row in cells for word in row[column].split() or [""])
        table.add_column(
            title,
            justify="left" if column == 0 else "right",
            overflow="fold",
            max_width=widest_word if narrow else None,
        )
    for form, row in zip(comparison.forms, rows, strict=True):
        table.add_row(*row, style="dim" if form.name == comparison.bench.baseline else None)
    return table


def _fits(table: Table, console: Console) -> bool:
    return console.measure(table, options=console.options.update(width=10_000)).maximum <= console.width


def _halves(cells: Sequence[Sequence[str]]) -> list[list[list[str]]]:
    """What it costs, and what it is worth, each with the form's name."""
    at = list(cells[0]).index("perplexity")
    return [[list(row[:at]) for row in cells], [[row[0], *row[at:]] for row in cells]]


def _speed(form: Form, comparison: Comparison) -> list[str]:
    figures = form.figures
    baseline = comparison.baseline
    is_baseline = baseline is not None and form.name == baseline.name
    ratios = (not is_baseline and figures.ratios) or Ratios(None, None, None, None)
    line, peak = form.first_line, figures.peak_rss_bytes
    return [
        printable(figures.name),
        f"{short(figures.file_bytes / 1e6)}{_ratio(ratios.file_bytes)}",
        f"{figures.load_ms:.0f}",
        f"{short(figures.ttft_ms)}{_ratio(ratios.ttft_ms)}",
        f"{short(line.p50_ms)}{_ratio(first_line_ratio(form, comparison))}, {short(line.p95_ms)}" if line else "none",
        f"{short(figures.decode_tokens_per_s)}{_ratio(ratios.decode_tokens_per_s)}",
        f"{'unknown' if peak is None else f'{peak / 1e6:.0f}'}{_ratio(ratios.peak_rss_bytes)}",
    ]


def _fidelity(form: Form, comparison: Comparison) -> list[str]:
    if form.fidelity is None:
        return [""] * 4
    found = form.fidelity
    if form.name == comparison.bench.baseline:
        return [f"{found.perplexity:.4g}", "-", "-", "-"]
    return [f"{found.perplexity:.4g}", f"{found.kl_mean:.3g}", f"{found.kl_p99:.3g}", f"{found.top1:.1%}"]


def _passes(passes: Passes | None) -> list[str]:
    if passes is None:
        return [""] * 3
    score = f"{passes.pass_at_1:.1%} [{passes.low:.1%}, {passes.high:.1%}]"
    if passes.gained is None or passes.lost is None or passes.p_value is None:
        return [score, "", ""]
    return [score, f"{len(passes.gained)}, {len(passes.lost)}", f"{passes.p_value:.2g}"]


def _form_json(form: Form) -> dict[str, object]:
    found = asdict(form)
    return {**found.pop("figures"), **found}


def _ratio(value: float | None) -> str:
    return "" if value is None else f" {value:.2f}x"


def _range(values: Sequence[int]) -> str:
    return str(min(values)) if min(values) == max(values) else f"{min(values)} to {max(values)}"
