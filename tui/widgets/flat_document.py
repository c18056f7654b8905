"""A document seen without wrapping: row y is line y, and no key costs a walk over all lines."""

from __future__ import annotations

import re
from collections import Counter

from textual._cells import cell_len, cell_width_to_column_index
from textual.document._document import Location
from textual.document._wrapped_document import WrappedDocument
from textual.expand_tabs import expand_tabs_inline
from textual.geometry import Offset, clamp

# Characters of one cell, those of private use among them, which are the stand-ins of `characters`: a line of nothing
# else need not be looked at character by character.
_NARROW = re.compile("[ -~\u00a1-\u00ac\u00ae-\u02ff\u0391-\u03ff\u0400-\u0482\u048a-\u052f\ue000-\uf8ff]*")


class FlatDocument(WrappedDocument):
    """What TextArea and its navigator ask of a wrapped document, computed when asked instead of kept for all lines.

    Only the lines' widths are kept, for the widest one says how far the view can be scrolled.
    """

    _widths: list[int]
    _counts: Counter[int]
    _widest: int

    def wrap(self, width: int, tab_width: int | None = None) -> None:
        """Take note of the tab width and measure all lines; there is nothing to wrap."""
        self._tab_width = tab_width or self._tab_width
        self._offset_to_line_info = _Rows()
        self._measure_all()

    def wrap_range(self, start: Location, old_end: Location, new_end: Location) -> None:
        """An edit moves nothing but the lines themselves: measure those that are new."""
        first, last = start[0], new_end[0]
        old = self._widths[first : old_end[0] + 1]
        new = [self._cells(line) for line in self.document.lines[first : last + 1]]
        self._widths[first : old_end[0] + 1] = new
        if len(self._widths) != self.height:  # several edits undone at once, of which the range says too little
            self._measure_all()
            return
        self._counts.subtract(old)
        self._counts.update(new)
        self._widest = max(self._widest, *new)
        if not self._counts[self._widest]:
            self._counts += Counter()  # drops those that no line has
            self._widest = max(self._counts)

    def _measure_all(self) -> None:
        self._widths = [self._cells(line) for line in self.document.lines]
        self._counts = Counter(self._widths)
        self._widest = max(self._widths)

    def _cells(self, line: str) -> int:
        return len(line) if _is_narrow(line) else cell_len(expand_tabs_inline(line, self._tab_width))

    @property
    def width(self) -> int:
        """Cells of the widest line."""
        return self._widest

    @property
    def height(self) -> int:
        """Rows, which are lines."""
        return self.document.line_count

    def get_offsets(self, line_index: int) -> list[int]:
        """Where the line is broken: nowhere."""
        return []

    def get_sections(self, line_index: int) -> list[str]:
        """The line in one piece."""
        return [self.document.get_line(line_index)]

    def location_to_offset(self, location: Location) -> Offset:
        """The cell where a character is drawn."""
        row = clamp(location[0], 0, self.height - 1)
        return Offset(self._cells(self.document.get_line(row)[: location[1]]), row)

    def offset_to_location(self, offset: Offset) -> Location:
        """The character nearest to a cell."""
        row = clamp(offset.y, 0, self.height - 1)
        line, cells = self.document.get_line(row), max(0, offset.x)
        if _is_narrow(line):
            return row, min(cells, len(line))
        return row, cell_width_to_column_index(line, cells, self._tab_width)

    def line_width(self, row: int) -> int:
        """Cells of a line."""
        return self._widths[row]


def _is_narrow(line: str) -> bool:
    """Whether a line has as many cells as characters."""
    if line.isascii():
        return "\t" not in line
    return _NARROW.fullmatch(line) is not None


class _Rows(list[tuple[int, int]]):
    """TextArea looks up (line, piece of it) for a row."""

    def __getitem__(self, row: int) -> tuple[int, int]:  # type: ignore[override]
        return row, 0
