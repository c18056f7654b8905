"""Plots of a few figures in a terminal's cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_EIGHTHS = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True)
class Point:
    """One form in a plot of points."""

    mark: str  # one character
    x: float
    y: float


def points(found: Sequence[Point], width: int, height: int, *, x_title: str, y_title: str, least_y: float) -> list[str]:
    """Marks in a frame of `width` cells and `height` lines, titles and axes included; the highest x is at the right.

    y is logarithmic, from `least_y` up; what is less stands at the bottom. Of two marks in one cell the first is seen.
    """
    columns, lines = width - 8, height - 3
    if columns < 8 or lines < 2 or not found:
        return []
    most_x = max(point.x for point in found) or 1.0
    low = math.log10(least_y)
    high = max(math.log10(max(point.y, least_y)) for point in found)
    high = max(math.ceil(high * 2) / 2, low + 1)
    grid = [[" "] * columns for _ in range(lines)]
    for point in reversed(found):
        share = (math.log10(max(point.y, least_y)) - low) / (high - low)
        column = min(columns - 1, int(point.x / most_x * (columns - 1)))
        grid[lines - 1 - min(lines - 1, round(share * (lines - 1)))][column] = point.mark
    rows = []
    for place, row in enumerate(grid):
        label = {0: f"{10**high:.0e}", lines - 1: f"{least_y:.0e}"}.get(place, "")
        rows.append(f"{label:>6} │{''.join(row)}")
    right = f"{most_x:,.0f}"
    return [
        f"{y_title:<{width}}"[:width],
        *rows,
        f"       └{'─' * columns}",
        f"       0{x_title:^{max(0, columns - len(right) - 1)}}{right}"[:width],
    ]


def bars(found: Sequence[tuple[str, float]], width: int, *, title: str) -> list[str]:
    """A line for each (name, value), the longest bar as wide as there is room."""
    if not found:
        return []
    names = max(len(name) for name, _ in found)
    values = [f"{value:,.0f}" for _, value in found]
    room = width - names - max(map(len, values)) - 2
    if room < 4:
        return []
    most = max(value for _, value in found) or 1.0
    lines = [title[:width]]
    for (name, value), written in zip(found, values, strict=True):
        whole, rest = divmod(round(value / most * room * 8), 8)
        bar = "█" * whole + (_EIGHTHS[rest] if rest else "")
        lines.append(f"{name:<{names}} {bar} {written}")
    return lines
