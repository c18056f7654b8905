"""A report as one HTML page."""

from __future__ import annotations

from .figures import Report
from .plots import Bar, bar_plot, document, plots, table
from .report import notes, printable, table_cells


def to_html(report: Report) -> str:
    """The page; everything in it that comes from outside is escaped."""
    base, *details = notes(report)
    tokens = report.ttft_prompt.tokens
    names = [figures.name for figures in report.artifacts]
    return document(
        f"{printable(report.model)}: speed, memory and size",
        f"{base} A dot is one round, the dashed line is the baseline.",
        [
            plots(
                [
                    figure_plot(report, "Decode speed", "tokens/s; more is better", "decode_tokens_per_s"),
                    figure_plot(report, "Time to first token", f"ms after {tokens} tokens; less is better", "ttft_ms"),
                    figure_plot(
                        report, "Peak memory", "resident MB, the first part the interpreter's; less is better",
                        "peak_rss_bytes", divisor=1e6, share="base_rss_bytes",
                    ),
                    figure_plot(report, "Size on disk", "MB; less is better", "file_bytes", divisor=1e6),
                ]
            ),
            table(table_cells(report), marked=names.index(report.baseline) if report.baseline in names else None),
        ],
        details,
    )  # fmt: skip


def figure_plot(
    report: Report, title: str, unit: str, field: str, *, divisor: float = 1.0, share: str | None = None
) -> str:
    """Bars of one field of `Figures`, with the ratio and the rounds that go by the same name."""
    bars = [
        Bar(
            name=figures.name,
            value=value / divisor,
            ratio=getattr(figures.ratios, field, None),
            dots=tuple(getattr(latency, field) for latency in figures.rounds if hasattr(latency, field)),
            share=((getattr(figures, share) if share else None) or 0) / divisor,
        )
        for figures in report.artifacts
        if (value := getattr(figures, field)) is not None
    ]
    return bar_plot(title, unit, bars, baseline=report.baseline)
