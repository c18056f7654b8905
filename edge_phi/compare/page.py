"""A comparison as one HTML page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..measure.fidelity import Fidelity
from ..measure.page import figure_plot
from ..measure.plots import Bar, Point, bar_plot, card, document, plots, point_plot, table
from ..measure.report import printable
from .forms import Comparison, Form
from .report import first_line_ratio, notes, pick_lines, table_cells

_LEAST_KL = 1e-6  # nats: what float16 costs; below it two engines' rounding differs as much


def to_html(comparison: Comparison) -> str:
    """The page; everything in it that comes from outside is escaped."""
    lead, *details = notes(comparison)
    names = [form.name for form in comparison.forms]
    picked = [printable(line) for line in pick_lines(comparison)]
    baseline = comparison.bench.baseline
    return document(
        f"{printable(comparison.bench.model)}: every form against full precision",
        f"{lead} In bars of speed and memory a dot is one round; the dashed line is the baseline.",
        [
            *([card("Choice", picked)] if picked else []),
            plots([*_trade_offs(comparison), *_speed(comparison), *_quality(comparison)]),
            table(table_cells(comparison), marked=names.index(baseline) if baseline in names else None),
        ],
        [line for line in details if line not in picked],
    )


def _trade_offs(comparison: Comparison) -> list[str]:
    baseline = comparison.bench.baseline

    def points(x: Callable[[Form], float | None]) -> list[Point]:
        found = [
            (form.name, x(form), form.fidelity)
            for form in comparison.forms
            if form.fidelity and form.name != baseline  # its divergence from itself is no place on a logarithmic axis
        ]
        return [Point(name, at, fidelity.kl_mean) for name, at, fidelity in found if at is not None]

    unit = "lower left is better; baseline left out"
    y_title = "KL divergence, nats"
    return [
        point_plot(
            "Fidelity and the wait for a line",
            unit,
            points(lambda form: form.first_line.p50_ms if form.first_line else None),
            x_title="ms to the first line, median",
            y_title=y_title,
            least_y=_LEAST_KL,
        ),
        point_plot(
            "Fidelity and size",
            unit,
            points(lambda form: form.figures.file_bytes / 1e6),
            x_title="MB on disk",
            y_title=y_title,
            least_y=_LEAST_KL,
        ),
    ]


def _speed(comparison: Comparison) -> list[str]:
    bench = replace(comparison.bench, artifacts=tuple(form.figures for form in comparison.forms))
    first_lines = [
        Bar(form.name, form.first_line.p50_ms, first_line_ratio(form, comparison), (form.first_line.p95_ms,))
        for form in comparison.forms
        if form.first_line
    ]
    tokens = bench.ttft_prompt.tokens
    return [
        bar_plot(
            "Time to the first line", "ms; bar: median, dot: 95th percentile", first_lines,
            baseline=bench.baseline,
        ),
        figure_plot(bench, "Decode speed", "tokens/s; more is better", "decode_tokens_per_s"),
        figure_plot(bench, "Time to first token", f"ms after {tokens} tokens; less is better", "ttft_ms"),
        figure_plot(bench, "Load", "ms, with the engine's import; less is better", "load_ms"),
        figure_plot(
            bench, "Peak memory", "resident MB, the first part the interpreter's; less is better", "peak_rss_bytes",
            divisor=1e6, share="base_rss_bytes",
        ),
        figure_plot(bench, "Size on disk", "MB; less is better", "file_bytes", divisor=1e6),
    ]  # fmt: skip


def _quality(comparison: Comparison) -> list[str]:
    baseline = comparison.bench.baseline

    def bars(value: Callable[[Fidelity], float], dot: Callable[[Fidelity], float] | None = None) -> list[Bar]:
        return [
            Bar(form.name, value(form.fidelity), dots=(dot(form.fidelity),) if dot else ())
            for form in comparison.forms
            if form.fidelity and form.name != baseline
        ]

    passes = [
        Bar(form.name, 100 * form.passes.pass_at_1, dots=(100 * form.passes.low, 100 * form.passes.high))
        for form in comparison.forms
        if form.passes
    ]
    return [
        bar_plot(
            "KL divergence from full precision", "nats; bar: mean, dot: 99th percentile",
            bars(lambda found: found.kl_mean, lambda found: found.kl_p99), baseline=baseline,
            write=lambda kl: f"{kl:.3g}",
        ),
        bar_plot(
            "Another first choice than full precision", "% of tokens; less is better",
            bars(lambda found: 100 * (1 - found.top1)), baseline=baseline,
        ),
        bar_plot("pass@1", "%; dots: 95 % interval; more is better", passes, baseline=baseline),
    ]  # fmt: skip
