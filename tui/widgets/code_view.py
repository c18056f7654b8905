"""A view of Python code: lines are drawn once and coloured where they are seen; a ghost's rows stand among them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from itertools import islice
from typing import ClassVar

from rich.segment import Segment
from rich.text import Text
from textual import events
from textual.cache import LRUCache
from textual.document._document_navigator import DocumentNavigator
from textual.geometry import Offset, Region, Size, Spacing
from textual.strip import Strip
from textual.timer import Timer
from textual.widgets import TextArea
from textual.widgets.text_area import Location

from ..document import Document
from .code_theme import code_theme
from .flat_document import FlatDocument
from .python_document import PythonDocument

_COLOUR_LIMIT = 1_000_000  # characters; beyond, the first parse alone would be felt
_COLOUR_WIDTH = 20_000  # cells; the parser reads a line that is longer again and again
_AT_ONCE_SECONDS = 0.002  # what parsing at every key may take; where it takes longer, it waits for a pause
_PAUSE_SECONDS = 0.15
_BRACKET_REACH = 20_000  # characters searched for the other bracket at every move of the cursor
_WIDTH_STEP = 64  # cells
_STRIPS = 512  # drawn lines that are kept
_LONG_LINE = 5_000  # cells; where a line is longer, only what is in view is drawn
_COLOUR_MARGIN = 50  # lines above and below the visible ones that are coloured with them


class CodeView(TextArea, inherit_bindings=False):
    """TextArea's one-line suggestion is drawn at the cursor; the ghost's other lines are rows that no document has.

    They stand below the cursor's line and push the rest down: row `r` of the view is line `r` of the document up to
    the cursor, then a ghost line, then line `r - number of ghost lines`. Lines are never wrapped, so that holds.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"code-view--stand-in"}

    def __init__(self, file: Document, *, id: str | None = None) -> None:
        self.file = file
        self._ghost_rows: list[Text] = []  # the ghost's lines below the cursor's
        self._has_ghost = False
        self._document_size = Size(0, 0)
        self._coloured = range(0)  # the lines whose colours are known
        self._parse_seconds = math.inf  # of the last parse
        self._edited_s = 0.0
        self._pause: Timer | None = None
        self._strips: LRUCache[tuple[object, ...], Strip] = LRUCache(_STRIPS)
        super().__init__(
            soft_wrap=False,
            tab_behavior="indent",
            show_line_numbers=True,
            max_checkpoints=1000,
            id=id,
        )
        self.hide_suggestion_on_blur = False  # a dialog takes the focus; the ghost's other lines stay as well
        self.register_theme(code_theme("code-dark", dark=True))
        self.register_theme(code_theme("code-light", dark=False))
        self._set_document(file.text, None)

    def on_mount(self) -> None:
        """Follow the app's theme from dark to light and back; the first frame comes before colours."""
        self.watch(self.app, "theme", self._follow_app_theme)
        self.call_after_refresh(self._show_colours)

    def _follow_app_theme(self) -> None:
        self.theme = "code-dark" if self.app.current_theme.dark else "code-light"

    # -- the ghost

    def show_ghost(self, text: str | None) -> None:
        """Draw `text` at the cursor, its first line in the cursor's, the others below; None: no ghost."""
        self._has_ghost = text is not None
        if not (text or self.suggestion or self._ghost_rows):
            return  # there was nothing to see, and there is nothing
        inline, *below = (text or "").split("\n")
        self._ghost_rows = [self._ghost_text(line) for line in below]
        if below:  # what is right of the cursor would follow the last line
            row, column = self.cursor_location
            self._ghost_rows[-1].append_text(self._drawn(self.document[row][column:]))
            self._ghost_rows[-1].expand_tabs(self.indent_width)
        self.suggestion = inline
        self._line_cache.clear()
        self._apply_virtual_size()
        if below:
            self._scroll_to_ghost()
        self.refresh()

    def _ghost_text(self, line: str) -> Text:
        text = Text(line, end="", no_wrap=True)
        text.stylize(self.get_component_rich_style("text-area--suggestion"))
        text.expand_tabs(self.indent_width)
        return text

    def _scroll_to_ghost(self) -> None:
        """Bring the ghost's lines into view, the cursor's line first."""
        x, y = self.wrapped_document.location_to_offset(self.cursor_location)
        height = min(1 + len(self._ghost_rows), self.scrollable_content_region.height)
        region = Region(x, y, width=3, height=height)
        self.scroll_to_region(region, spacing=Spacing(right=self.gutter_width), animate=False, force=True)

    # -- colours

    def _set_document(self, text: str, language: str | None) -> None:
        super()._set_document("", None)  # all that it sets up for the text is replaced here
        self.document = PythonDocument(text)
        self.wrapped_document = FlatDocument(self.document, tab_width=self.indent_width)
        self.navigator = DocumentNavigator(self.wrapped_document)
        self._has_colours = len(text) <= _COLOUR_LIMIT
        self._parse_seconds = math.inf
        self._build_highlight_map()
        self._refresh_size()
        if self.is_mounted:
            self.call_after_refresh(self._show_colours)

    def _build_highlight_map(self) -> None:
        """After an edit. The colours in view are looked up when they are drawn."""
        self._line_cache.clear()
        self._highlights.clear()
        self._coloured = range(0)
        self._edited_s = time.monotonic()

    def _parse(self, document: PythonDocument) -> None:
        began_s = time.perf_counter()
        document.parse()
        self._parse_seconds = time.perf_counter() - began_s
        self._highlights.clear()
        self._coloured = range(0)

    @property
    def _width(self) -> int:
        """Cells of the widest line, and of the gutter."""
        return self._document_size.width

    def _show_colours(self) -> None:
        """Parse unless somebody types, else in the next pause; draw what is in view anew."""
        self._pause = None
        if self._parse_seconds < math.inf and time.monotonic() - self._edited_s < _PAUSE_SECONDS:
            self._pause = self.set_timer(_PAUSE_SECONDS, self._show_colours)
        elif isinstance(self.document, PythonDocument) and self._has_colours and self._width <= _COLOUR_WIDTH:
            self._parse(self.document)
            self.refresh()

    # -- drawing

    def render_lines(self, crop: Region) -> list[Strip]:
        """Colour the lines in view, then draw them."""
        document = self.document
        if isinstance(document, PythonDocument) and not document.parsed and self._pause is None:
            if self._parse_seconds <= _AT_ONCE_SECONDS and self._width <= _COLOUR_WIDTH:
                self._parse(document)
            elif self._parse_seconds < math.inf:
                self._pause = self.set_timer(_PAUSE_SECONDS, self._show_colours)
        bottom = min(self.scroll_offset.y + self.size.height, document.line_count)
        top = min(max(0, self.scroll_offset.y - len(self._ghost_rows)), bottom)
        if isinstance(document, PythonDocument) and not (self._coloured.start <= top and bottom <= self._coloured.stop):
            margin = _COLOUR_MARGIN if self._coloured else 0  # after a key, no more than what is seen
            rows = range(max(0, top - margin), bottom + margin)
            self._line_cache.clear()
            self._highlights.clear()
            self._highlights.update(document.highlights(rows))
            self._coloured = rows
        return super().render_lines(crop)

    def _render_line(self, y: int) -> Strip:
        row = self.scroll_offset.y + y
        if row < self.document.line_count and (
            len(self.document.get_line(row)) > _LONG_LINE or self.virtual_size.width > _LONG_LINE
        ):
            return self._render_window(row)
        return super()._render_line(y)

    def _render_window(self, row: int) -> Strip:
        """The part of a line that is in view, without colours: TextArea draws all of it, as wide as the widest line."""
        left, width = self.scroll_offset.x, max(0, self.size.width - self.gutter_width)
        first = self.wrapped_document.offset_to_location(Offset(left, row))[1]
        at = self.wrapped_document.location_to_offset((row, first)).x
        text = self._drawn(self.document.get_line(row)[first : first + width + 1])
        text.pad_right(1)
        (top, start), (bottom, end) = sorted(self.selection)
        cursor_row, column = self.cursor_location
        if not self.selection.is_empty and top <= row <= bottom and (style := self._theme.selection_style):
            last = end - first if row == bottom else len(text)
            text.stylize(style, max(0, start - first) if row == top else 0, max(0, last))
        if row == cursor_row and 0 <= (place := column - first) < len(text):
            if self._ghost_rows:
                text = text[:place]  # the rest is below, after the ghost
                text.pad_right(1)
            text = Text.assemble(text[:place], self._ghost_text(self.suggestion), text[place:])
            if self._draw_cursor and self._theme.cursor_style:
                text.stylize(self._theme.cursor_style, place, place + 1)
        indent = at % self.indent_width  # for the tabs
        text = Text.assemble(" " * indent, text)
        text.expand_tabs(self.indent_width)
        gutter = Segment(f"{row + self.line_number_start:>{self.gutter_width - 2}}  ", self._theme.gutter_style)
        begin = indent + left - at  # a wide character may be cut by the left edge
        line = Strip(text.render(self.app.console)).crop_extend(begin, begin + width, self._theme.base_style)
        return Strip([gutter, *line]).apply_style(self._theme.base_style or self.rich_style)

    def get_line(self, line_index: int) -> Text:
        """A line as it is drawn: pictures in place of what a terminal must not get."""
        line = self.document.get_line(line_index)
        if self._ghost_rows and line_index == self.cursor_location[0]:
            line = line[: self.cursor_location[1]]  # the rest is below, after the ghost
        return self._drawn(line)

    def _drawn(self, line: str) -> Text:
        drawn, pictures = self.file.stand_ins.pictures(line)
        text = Text(drawn, end="", no_wrap=True)
        if pictures:
            style = self.get_component_rich_style("code-view--stand-in", partial=True)
            for column in pictures:
                text.stylize(style, column, column + 1)
        return text

    def render_line(self, y: int) -> Strip:
        """Row `y` of the view: a line of the document or a line of the ghost."""
        cursor_row = self.cursor_location[0]
        below = self.scroll_offset.y + y - cursor_row
        if below <= 0 or not self._ghost_rows:
            return self._render_row(y)
        if below <= len(self._ghost_rows):
            return self._render_ghost_row(self._ghost_rows[below - 1])
        return self._render_row(y - len(self._ghost_rows))

    def _render_row(self, y: int) -> Strip:
        """A line of the document, drawn anew only if what is drawn of it changed: a key changes one line of many.

        TextArea forgets all lines at every edit, and joins the whole text to see whether there is any.
        """
        row = self.scroll_offset.y + y
        if row >= self.document.line_count:
            return self._render_line(y)
        cursor_row, column = self.cursor_location
        selection = self.selection
        top, bottom = sorted(selection)
        bracket = self._matching_bracket_location
        marks_bracket = bracket is not None and selection.is_empty and row in (cursor_row, bracket[0])
        drawn = (
            self.document.get_line(row),
            row,
            self.theme,
            self.size,
            self.gutter_width,
            self.virtual_size.width,
            self.scroll_offset.x,
            tuple(self._highlights[row]) if row in self._highlights else (),
            selection if not selection.is_empty and top[0] <= row <= bottom[0] else None,
            (bracket, self._has_cursor) if marks_bracket else None,
            (column, self._draw_cursor, self._has_cursor, self.suggestion, bool(self._ghost_rows))
            if row == cursor_row
            else None,
        )
        strip = self._strips.get(drawn)
        if strip is None:
            strip = self._strips[drawn] = self._render_line(y)
        return strip

    def notify_style_update(self) -> None:
        """Forget all lines: their colours changed."""
        self._strips.clear()
        super().notify_style_update()

    def _render_ghost_row(self, text: Text) -> Strip:
        gutter = Segment(" " * self.gutter_width, self._theme.gutter_style)
        width = max(self.virtual_size.width, self.region.size.width) - self.gutter_width
        line = Strip(text.render(self.app.console), text.cell_len).crop(self.scroll_offset.x)
        strip = Strip.join([Strip([gutter], self.gutter_width), line.extend_cell_length(width)])
        return strip.apply_style(self._theme.base_style or self.rich_style)

    def _yield_character_locations(self, start: Location) -> Iterable[tuple[str, Location]]:
        return islice(super()._yield_character_locations(start), _BRACKET_REACH)

    def _yield_character_locations_reverse(self, start: Location) -> Iterable[tuple[str, Location]]:
        return islice(super()._yield_character_locations_reverse(start), _BRACKET_REACH)

    def get_target_document_location(self, event: events.MouseEvent) -> Location:
        """The place in the document under the mouse; on a ghost line that is the cursor's line."""
        x = event.x - self.gutter_width + self.scroll_offset.x - self.gutter.left
        y = event.y + self.scroll_offset.y - self.gutter.top
        below = y - self.cursor_location[0]
        if below > 0:
            y -= min(below, len(self._ghost_rows))
        return self.wrapped_document.offset_to_location(Offset(x, y))

    def _refresh_size(self) -> None:
        if isinstance(self.wrapped_document, FlatDocument):  # not yet while TextArea sets up its own
            width, height = self.wrapped_document.width, self.wrapped_document.height
            self._document_size = Size(width + self.gutter_width + 1, height)
        self._apply_virtual_size()

    def _apply_virtual_size(self) -> None:
        """The document and the ghost within it: TextArea clips what it draws to the virtual size."""
        width, height = self._document_size
        if self._has_ghost:
            row = self.cursor_location[0]
            after = self.wrapped_document.line_width(row) if isinstance(self.wrapped_document, FlatDocument) else 0
            inline = self._ghost_text(self.suggestion).cell_len
            widest = max([after + inline, *(text.cell_len for text in self._ghost_rows)])
            width, height = max(width, widest + self.gutter_width + 1), height + len(self._ghost_rows)
        # In steps: lines are drawn as wide as the view can be scrolled, so with each other width all are drawn anew.
        self.virtual_size = Size(-(-width // _WIDTH_STEP) * _WIDTH_STEP, height)
        self._refresh_scrollbars()
