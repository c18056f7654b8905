"""Rows of one widget, drawn at once.

Textual draws what changed two tasks and a timer after a key, and asks every widget around it for its lines. What is
typed changes a row or two of a widget that nothing stands before: those can be written where they stand.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.control import Control
from textual._compositor import CompositorUpdate
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget


class RowsUpdate(CompositorUpdate):
    """Strips, and where they stand on the screen."""

    def __init__(self, rows: list[tuple[int, int, Strip]]) -> None:
        self._rows = rows

    def render_segments(self, console: Console) -> str:
        """What a terminal has to be told."""
        return "".join(Control.move_to(x, y).segment.text + strip.render(console) for x, y, strip in self._rows)


def draw_rows(widget: Widget, rows: Iterable[int]) -> bool:
    """Draw `rows` of `widget`, counted from its top; False if they cannot be drawn by themselves now."""
    app, screen = widget.app, widget.screen
    if screen is not app.screen or screen._layout_required or app._batch_count or app.is_inline:
        return False
    regions = screen._compositor.visible_widgets
    if widget not in regions:
        return False
    (left, top, _, _), clip = regions[widget]
    width = widget.scrollable_content_region.width  # the scrollbar stands beside it
    places = [Region(left, top + row, width, 1) for row in rows]
    if not all(place.area and place.intersection(clip) == place for place in places):
        return False
    for other, (region, other_clip) in regions.items():  # from the front to the back
        if other is widget:
            break
        before = region.intersection(other_clip)
        if any(before.overlaps(place) for place in places):
            return False
    drawn = []
    for place in places:
        (strip,) = widget.render_lines(Region(0, place.y - top, width, 1))
        drawn.append((place.x, place.y, strip.crop(0, width)))
    app._display(screen, RowsUpdate(drawn))  # type: ignore[arg-type]  # it knows its own updates
    return True
