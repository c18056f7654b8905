"""What a page of figures is made of: plots drawn as SVG and a table, in one HTML file that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from .report import printable, short

# The geometry of bars, in SVG units: names, bars and values side by side.
_WIDTH = 560
_BARS_FROM = 112
_BARS_TO = 424
_ROW = 34
_BAR = 16
_DOT = 2.5

# The geometry of points: a frame with its axes' words on the left and below, and room for names on the right.
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 440, 28, 258
_HEIGHT = 302
_TICKS = 6  # at most, on the axis below
_NAME_HEIGHT = 15

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
svg .tick { text-anchor: middle; font-variant-numeric: tabular-nums; } svg .ratio { fill: var(--faint); }
.bar { fill: var(--bar); } .bar.baseline { fill: var(--base); } .share { fill: var(--share); }
.point { fill: var(--bar); } .axis { stroke: var(--line); fill: none; }
.lead-line { stroke: var(--faint); stroke-width: .7; stroke-dasharray: 1 3; }
.rule { stroke: var(--faint); stroke-dasharray: 3 4; } .dot { fill: var(--card); stroke: var(--ink); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { text-align: right; padding: .4rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { color: var(--faint); font-weight: 600; }
thead th { white-space: normal; vertical-align: bottom; } tbody tr:last-child > * { border-bottom: 0; }
.words { margin-bottom: 1rem; } .words p { margin: .2rem 0; }
tr.baseline { color: var(--faint); } .table { margin-top: 1rem; }
footer { margin-top: 1.25rem; font-size: .88rem; } footer p { margin: .35rem 0; }
"""


@dataclass(frozen=True)
class Bar:
    """One form in one plot of bars."""

    name: str
    value: float
    ratio: float | None = None  # to the baseline's
    dots: tuple[float, ...] = ()  # other values of the same figure, as of each round
    share: float = 0.0  # the first part of the bar, set apart


@dataclass(frozen=True)
class Point:
    """One form in one plot of points."""

    name: str
    x: float
    y: float


def document(title: str, lead: str, body: Sequence[str], notes: Sequence[str]) -> str:
    """A whole page, light or dark as the reader's system is.

    Args:
        title: of the page.
        lead: what to know first.
        body: HTML, as this module's other functions give it.
        notes: a paragraph each.
    """
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<p class="lead">{escape(lead)}</p>
{"".join(body)}<footer>
{"".join(f"<p>{escape(line)}</p>" for line in notes)}
</footer>
</body>
</html>
"""


def plots(drawn: Sequence[str]) -> str:
    """Plots side by side, as far as the page is wide."""
    return f'<div class="plots">\n{"".join(drawn)}</div>\n'


def table(cells: Sequence[Sequence[str]], *, marked: int | None) -> str:
    """A table of text whose first line is its header; the line of the baseline, counted without it, is `marked`."""
    header, *rows = cells
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = ""
    for place, row in enumerate(rows):
        kind = ' class="baseline"' if place == marked else ""
        body += f"<tr{kind}>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n"
    inner = f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>\n"
    return f'<div class="card table">\n{inner}</div>\n'


def card(title: str, lines: Sequence[str]) -> str:
    """Words that stand out."""
    text = "".join(f"<p>{escape(line)}</p>" for line in lines)
    return f'<div class="card words"><h2>{escape(title)}</h2>{text}</div>\n'


def bar_plot(
    title: str, unit: str, bars: Sequence[Bar], *, baseline: str | None, write: Callable[[float], str] = short
) -> str:
    """A bar for each form, with a dashed line where the baseline's ends; nothing if there are none.

    Args:
        title: of the plot.
        unit: what the values are, and which are better.
        bars: from the top down.
        baseline: its name.
        write: a value as text.
    """
    if not bars:
        return ""
    most = max(max(bar.value, *bar.dots, 0) for bar in bars) or 1
    height = len(bars) * _ROW
    rows = "".join(_bar(bar, place, most, bar.name == baseline, write(bar.value)) for place, bar in enumerate(bars))
    rule = "".join(
        f'<line class="rule" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}"/>'
        for x in (_x(bar.value, most) for bar in bars if bar.name == baseline)
    )
    return _figure(title, unit, height, rule + rows)


def point_plot(title: str, unit: str, points: Sequence[Point], *, x_title: str, y_title: str, least_y: float) -> str:
    """A point with its name for each form; y is logarithmic from `least_y`, a power of ten; what is less is there."""
    if not points:
        return ""
    most_x = max(point.x for point in points) * 1.05 or 1
    low = round(math.log10(least_y))
    high = max(low + 1, *(math.ceil(math.log10(max(point.y, least_y))) for point in points))

    def place(point: Point) -> tuple[float, float]:
        share = (math.log10(max(point.y, least_y)) - low) / (high - low)
        return _LEFT + (_RIGHT - _LEFT) * point.x / most_x, _BOTTOM - (_BOTTOM - _TOP) * share

    parts = [f'<path class="axis" d="M{_LEFT} {_TOP}V{_BOTTOM}H{_RIGHT}"/>']
    for power in range(low, high + 1):
        y = _BOTTOM - (_BOTTOM - _TOP) * (power - low) / (high - low)
        parts.append(f'<path class="axis" d="M{_LEFT} {y:.1f}H{_RIGHT}"/>')
        value = f"1e{power}" if power < -3 else f"{10.0**power:g}"
        parts.append(f'<text class="value ratio" x="{_LEFT - 6}" y="{y + 4.5:.1f}">{value}</text>')
    for at in _round_values(most_x):
        x = _LEFT + (_RIGHT - _LEFT) * at / most_x
        parts.append(f'<text class="tick ratio" x="{x:.1f}" y="{_BOTTOM + 17}">{at:g}</text>')
    parts.append(f'<text class="tick ratio" x="{(_LEFT + _RIGHT) / 2}" y="{_BOTTOM + 38}">{escape(x_title)}</text>')
    parts.append(f'<text class="ratio" x="0" y="12">{escape(y_title)}</text>')
    names = _spread([(point, *place(point)) for point in points])
    for point, x, y, name_y in names:
        name = escape(printable(point.name))
        parts.append(f'<path class="lead-line" d="M{x:.1f} {y:.1f}L{_RIGHT + 6} {name_y:.1f}"/>')
        parts.append(f'<text x="{_RIGHT + 10}" y="{name_y + 4.5:.1f}">{name}</text>')
        parts.append(f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{name}</title></circle>')
    return _figure(title, unit, _HEIGHT, "".join(parts))


def _figure(title: str, unit: str, height: float, drawing: str) -> str:
    heading = f"<h2>{escape(title)} <small>{escape(unit)}</small></h2>"
    label = escape(f"{title}, {unit}")
    return (
        f'<figure class="card">{heading}<svg viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{label}">{drawing}</svg></figure>\n'
    )


def _bar(bar: Bar, place: int, most: float, is_baseline: bool, value: str) -> str:
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
        f'<text class="value" x="496" y="{text_y}">{value}</text>',
        f'<text class="value ratio" x="{_WIDTH}" y="{text_y}">{ratio}</text>',
    ]
    return f"<g>{''.join(parts)}</g>"


def _x(value: float, most: float) -> float:
    return _BARS_FROM + (_BARS_TO - _BARS_FROM) * value / most


def _round_values(most: float) -> list[float]:
    """From 0 to at most `most`, in steps of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(most / _TICKS))
    step = next(step * power for step in (1, 2, 5, 10, 20) if most / (step * power) < _TICKS)
    return [step * number for number in range(int(most / step) + 1)]


def _spread(points: Sequence[tuple[Point, float, float]]) -> list[tuple[Point, float, float, float]]:
    """Each point's place and the height of its name, from the top down, no name on another or below the frame."""
    ordered = sorted(points, key=lambda one: (one[2], one[1]))
    heights = [y for _, _, y in ordered]
    for lower in range(1, len(heights)):
        heights[lower] = max(heights[lower], heights[lower - 1] + _NAME_HEIGHT)
    limit = float(_BOTTOM)
    for place in reversed(range(len(heights))):
        heights[place] = min(heights[place], limit)
        limit = heights[place] - _NAME_HEIGHT
    return [(point, x, y, height) for (point, x, y), height in zip(ordered, heights, strict=True)]
