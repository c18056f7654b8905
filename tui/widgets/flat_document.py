"""A document seen without wrapping: row y is line y, and no key costs a walk over all lines."""

from __future__ import annotations

from textual._cells import cell_len, cell_width_to_column_index
from textual.document._document import Location
from textual.document._wrapped_document import WrappedDocument
from textual.expand_tabs import expand_tabs_inline
from textual.geometry import Offset, clamp


class FlatDocument(WrappedDocument):
    """What TextArea and its navigator ask of a wrapped document, computed when asked instead of kept for all lines."""

    def wrap(self, width: int, tab_width: int | None = None) -> None:
        """Take note of the tab width; there is nothing to wrap."""
        self._tab_width = tab_width or self._tab_width
        self._offset_to_line_info = _Rows()

    def wrap_range(self, start: Location, old_end: Location, new_end: Location) -> None:
        """An edit moves nothing but the lines themselves."""

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
        return Offset(cell_len(expand_tabs_inline(self.document.get_line(row)[: location[1]], self._tab_width)), row)

    def offset_to_location(self, offset: Offset) -> Location:
        """The character nearest to a cell."""
        row = clamp(offset.y, 0, self.height - 1)
        return row, cell_width_to_column_index(self.document.get_line(row), max(0, offset.x), self._tab_width)


class _Rows(list[tuple[int, int]]):
    """TextArea looks up (line, piece of it) for a row."""

    def __getitem__(self, row: int) -> tuple[int, int]:  # type: ignore[override]
        return row, 0
