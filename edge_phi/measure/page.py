"""A report as one HTML page that needs nothing else: plots drawn as SVG, light or dark as the reader's system is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from .figures import Report
from .report import notes, printable, short, table_cells

# The geometry of a plot, in SVG units: names, bars and values side by side.
_WIDTH = 560
_BARS_FROM = 112
_BARS_TO = 424
_ROW = 34
_BAR = 16
_DOT = 2.5

_STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf8; --card: #ffffff; --ink: #1d2129; --faint: #667080;
  --line: #e3e1dc; --bar: #2f6fb3; --share: #9dbfe3; --base: #a3a9b3; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171c; --card: #1c2027; --ink: #e6e8ec;
  --faint: #98a1b0; --line: #2d333d; --bar: #5b9be0; --share: #35547a; --base: #6b7482; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 3rem; max-width: 76rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; }
h2 { font-size: 1rem; margin: 0 0 .5rem; }
h2 small, .lead, footer { color: var(--faint); font-weight: normal; }
.lead { margin: .25rem 0 1.5rem; }
.plots { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(28rem, 100%), 1fr)); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem 1.1rem;
  margin: 0; overflow-x: auto; }
svg { display: block; width: 100%; height: auto; font: 13px system-ui, sans-serif; }
svg text { fill: var(--ink); } svg .value { text-anchor: end; font-variant-numeric: tabular-nums; }
svg .ratio { fill: var(--faint); }
.bar { fill: var(--bar); } .bar.baseline { fill: var(--base); } .share { fill: var(--share); }
.rule { stroke: var(--faint); stroke-dasharray: 3 4; } .dot { fill: var(--card); stroke: var(--ink); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { text-align: right; padding: .4rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { color: var(--faint); font-weight: 600; }
thead th { white-space: normal; vertical-align: bottom; } tbody tr:last-child > * { border-bottom: 0; }
tr.baseline { color: var(--faint); } .table { margin-top: 1rem; }
footer { margin-top: 1.25rem; font-size: .88rem; } footer p { margin: .35rem 0; }
"""


@dataclass(frozen=True)
class _Bar:
    """One form in one plot."""

    name: str
    value: float
    ratio: float | None
    dots: tuple[float, ...]  # the same figure of each round
    share: float  # the first part of the bar, set apart


def to_html(report: Report) -> str:
    """The page; everything in it that comes from outside is escaped."""
    base, *details = notes(report)
    tokens = report.ttft_prompt.tokens
    plots = [
        _plot(report, "Decode speed", "tokens/s; more is better", _bars(report, "decode_tokens_per_s")),
        _plot(report, "Time to first token", f"ms after {tokens} tokens; less is better", _bars(report, "ttft_ms")),
        _plot(
            report, "Peak memory", "resident MB, the first part the interpreter's; less is better",
            _bars(report, "peak_rss_bytes", unit=1e6, share="base_rss_bytes"),
        ),
        _plot(report, "Size on disk", "MB; less is better", _bars(report, "file_bytes", unit=1e6)),
    ]  # fmt: skip
    title = escape(f"{printable(report.model)}: speed, memory and size")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{title}</h1>
<p class="lead">{escape(base)} A dot is one round, the dashed line is the baseline.</p>
<div class="plots">
{"".join(plots)}</div>
<div class="card table">
{_table(report)}</div>
<footer>
{"".join(f"<p>{escape(line)}</p>" for line in details)}
</footer>
</body>
</html>
"""


def _bars(report: Report, field: str, *, unit: float = 1.0, share: str | None = None) -> list[_Bar]:
    """A bar for each form that has the figure, with the ratio and the rounds that go by the same name."""
    return [
        _Bar(
            name=figures.name,
            value=value / unit,
            ratio=getattr(figures.ratios, field, None),
            dots=tuple(getattr(latency, field) for latency in figures.rounds if hasattr(latency, field)),
            share=((getattr(figures, share) if share else None) or 0) / unit,
        )
        for figures in report.artifacts
        if (value := getattr(figures, field)) is not None
    ]


def _plot(report: Report, title: str, unit: str, bars: Sequence[_Bar]) -> str:
    if not bars:
        return ""
    most = max(max(bar.value, *bar.dots, 0) for bar in bars) or 1
    height = len(bars) * _ROW
    rows = "".join(_bar(bar, place, most, bar.name == report.baseline) for place, bar in enumerate(bars))
    rule = "".join(
        f'<line class="rule" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}"/>'
        for x in (_x(bar.value, most) for bar in bars if bar.name == report.baseline)
    )
    heading = f"<h2>{escape(title)} <small>{escape(unit)}</small></h2>"
    label = escape(f"{title}, {unit}")
    return (
        f'<figure class="card">{heading}<svg viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{label}">{rule}{rows}</svg></figure>\n'
    )


def _bar(bar: _Bar, place: int, most: float, is_baseline: bool) -> str:
    middle = place * _ROW + _ROW / 2
    top, text_y = middle - _BAR / 2, middle + 4.5
    end, share_end = _x(bar.value, most), _x(min(bar.share, bar.value), most)
    kind = "bar baseline" if is_baseline else "bar"
    ratio = "" if bar.ratio is None or is_baseline else f"{bar.ratio:.2f}x"
    parts = [
        f'<text x="0" y="{text_y}">{escape(printable(bar.name))}</text>',
        f'<rect class="{kind}" x="{_BARS_FROM}" y="{top}" width="{end - _BARS_FROM:.1f}" height="{_BAR}" rx="3"/>',
        f'<rect class="share" x="{_BARS_FROM}" y="{top}" width="{share_end - _BARS_FROM:.1f}" height="{_BAR}" rx="3"/>',
        *(f'<circle class="dot" cx="{_x(dot, most):.1f}" cy="{middle}" r="{_DOT}"/>' for dot in bar.dots),
        f'<text class="value" x="496" y="{text_y}">{short(bar.value)}</text>',
        f'<text class="value ratio" x="{_WIDTH}" y="{text_y}">{ratio}</text>',
    ]
    return f"<g>{''.join(parts)}</g>"


def _x(value: float, most: float) -> float:
    return _BARS_FROM + (_BARS_TO - _BARS_FROM) * value / most


def _table(report: Report) -> str:
    header, *rows = table_cells(report)
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = ""
    for figures, row in zip(report.artifacts, rows, strict=True):
        kind = ' class="baseline"' if figures.name == report.baseline else ""
        body += f"<tr{kind}>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n"
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>\n"
