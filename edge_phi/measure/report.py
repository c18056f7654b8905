"""A report in words: as a table for a terminal and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

from rich import box
from rich.console import Console
from rich.table import Table

from .figures import Figures, Ratios, Report, agreeing_share
from .machine import busy_line

# Columns that hold a figure and its ratio side by side; in fewer, one goes below the other, and a table of the standard
# forms fits 80.
_WIDE = 120

# Where there is no terminal, nobody's lines are too long.
_PLAIN_WIDTH = 160


def to_json(report: Report) -> str:
    """One JSON document, the names and units of `figures.Report`."""
    return json.dumps(asdict(report) | {"ttft_prompt": report.ttft_prompt.name}, indent=2)


def print_report(report: Report, console: Console | None = None) -> None:
    """The table, then what it was measured against, on what and how, to stdout."""
    console = console or Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    header, *rows = cells = table_cells(report)
    for column, title in enumerate(header):
        narrow = max(len(word) for row in cells for word in row[column].split())
        table.add_column(
            title, justify="left" if column == 0 else "right", overflow="fold",
            max_width=narrow if console.width < _WIDE else None,
        )  # fmt: skip
    for figures, row in zip(report.artifacts, rows, strict=True):
        table.add_row(*row, style="dim" if figures.name == report.baseline else None)
    console.print(table)
    console.print()
    for line in notes(report):
        console.print(line, soft_wrap=True)


def table_cells(report: Report) -> list[list[str]]:
    """A header and a row for each form; a ratio to the baseline stands behind its figure, as in "12.5 0.40x"."""
    header = [
        "form", "load ms", "TTFT ms", "prefill tok/s", "decode tok/s", "ITL ms p50, p95",
        "peak RSS MB", "file MB", "same tokens",
    ]  # fmt: skip
    return [header, *(_row(figures, figures.name == report.baseline) for figures in report.artifacts)]


def notes(report: Report) -> list[str]:
    """What a reader of the table must know: the baseline, the machine, the method, and what is not in it."""
    lines = [
        f"{report.model}; marked x: the ratio to {report.baseline}, the full-precision baseline; same tokens: how "
        "much of its greedy text comes before the first difference."
        if report.baseline
        else f"{report.model}; no full-precision form of it could be measured, so there are no ratios.",
    ]
    return [printable(line) for line in [*lines, *machine_notes(report)]]


def machine_notes(report: Report) -> list[str]:
    """What speed and memory were measured on and how, and the forms that were not."""
    machine = report.machine
    memory = f", {machine.memory_bytes / 1e9:.0f} GB" if machine.memory_bytes else ""
    threads = sorted({figures.threads for figures in report.artifacts})
    prompts = ", ".join(str(prompt.tokens) for prompt in report.prompts)
    versions = sorted({figures.engine_version for figures in report.artifacts} - {f"edge-phi {machine.edge_phi}"})
    bases = [figures.base_rss_bytes for figures in report.artifacts if figures.base_rss_bytes]
    lines = [
        f"{machine.cpu}, {machine.cores} cores usable ({', '.join(machine.instruction_sets) or 'no named extensions'})"
        f"{memory}, {machine.system}, {machine.python}, edge-phi {machine.edge_phi}; {'; '.join(versions)}.",
        f"{' or '.join(map(str, threads))} threads; prompts of {prompts} tokens, {report.new_tokens} tokens decoded "
        f"greedily after each; TTFT and prefill are of the longest; medians of {report.rounds} "
        "interleaved rounds, every form in a process of its own.",
    ]
    if bases:
        lines.append(f"Of each peak RSS, {max(bases) / 1e6:.0f} MB are the Python interpreter with numpy.")
    if machine.busy:
        lines.append(busy_line(machine))
    lines += [f"skipped {one.name}: {one.reason}" for one in report.skipped]
    lines += [f"failed {one.name}: {one.reason}" for one in report.failed]
    return [printable(line) for line in lines]


def printable(text: str) -> str:
    """`text` on one line and without control characters, which a file's or a folder's name may hold."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def short(value: float) -> str:
    """`value` with three digits that count, or with all before the point."""
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def _row(figures: Figures, is_baseline: bool) -> list[str]:
    ratios = None if is_baseline else figures.ratios

    def ratio(of: Callable[[Ratios], float | None]) -> str:
        value = of(ratios) if ratios else None
        return "" if value is None else f" {value:.2f}x"

    peak = "unknown" if figures.peak_rss_bytes is None else f"{figures.peak_rss_bytes / 1e6:.0f}"
    agreement = None if is_baseline else figures.agreement
    return [
        printable(figures.name),
        f"{figures.load_ms:.0f}",
        f"{short(figures.ttft_ms)}{ratio(lambda ratios: ratios.ttft_ms)}",
        f"{figures.prefill_tokens_per_s:.0f}",
        f"{short(figures.decode_tokens_per_s)}{ratio(lambda ratios: ratios.decode_tokens_per_s)}",
        f"{short(figures.itl_p50_ms)}, {short(figures.itl_p95_ms)}",
        f"{peak}{ratio(lambda ratios: ratios.peak_rss_bytes)}",
        f"{short(figures.file_bytes / 1e6)}{ratio(lambda ratios: ratios.file_bytes)}",
        "-" if is_baseline else f"{agreeing_share(agreement):.0%}" if agreement else "",
    ]
