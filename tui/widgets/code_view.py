"""A view of Python code: lines are drawn once and coloured where they are seen; a ghost's rows stand among them."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from typing import ClassVar, NamedTuple

from rich.segment import Segment
from rich.text import Text
from textual import events
from textual.cache import LRUCache
from textual.document._document_navigator import DocumentNavigator
from textual.geometry import Offset, Region, Size, Spacing
from textual.strip import Strip
from textual.timer import Timer
from textual.widgets import TextArea
from textual.widgets.text_area import Location, Selection

from ..document import Document
from .code_theme import code_theme
from .flat_document import FlatDocument
from .python_document import PythonDocument
from .rows_now import draw_rows

_COLOUR_LIMIT = 1_000_000  # characters; beyond, the first parse alone would be felt
_COLOUR_WIDTH = 20_000  # cells; the parser reads a line that is longer again and again
_AT_ONCE_SECONDS = 0.004  # what parsing after every key may take; where it takes longer, it waits for a pause
_ECHO_SECONDS = 0.03  # from a key to the colours it changes: what was typed is drawn first
_PAUSE_SECONDS = 0.15
_SLICE_SECONDS, _BREATH_SECONDS = 0.003, 0.002  # that parsing goes on at a time, and is left for keys
_BRACKET_REACH = 20_000  # characters searched for the other bracket at every move of the cursor
_WIDTH_STEP = 64  # cells
_STRIPS = 512  # drawn lines that are kept
_LONG_LINE = 5_000  # cells; where a line is longer, only what is in view is drawn


class _View(NamedTuple):
    """What the rows of a view have in common."""

    frame: tuple[object, ...]
    scroll_y: int
    cursor_row: int
    cursor: tuple[object, ...]
    selection: Selection | None
    bracket: Location | None
    ghosts: list[Text]
    lines: Sequence[str]

    def at(self, y: int) -> tuple[Text | None, int]:
        """The line of the ghost in row `y` of the view, or else the row of the document."""
        row = self.scroll_y + y
        below = row - self.cursor_row
        if below <= 0 or not self.ghosts:
            return None, row
        return (self.ghosts[below - 1], row) if below <= len(self.ghosts) else (None, row - len(self.ghosts))


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
        self._parse_seconds = math.inf  # of the last parse
        self._parsing_seconds = 0.0  # of the one that is under way
        self._edited_s = -math.inf
        self._colouring: Timer | None = None
        self._looks: dict[int, tuple[object, ...]] = {}  # of the rows of the view, as they were drawn last
        self._unsure = False  # whether any row may look other than it was drawn
        self._styled = False  # whether the theme has its styles from the style sheet
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
        self._highlights = self.document.colours  # type: ignore[assignment]  # of tuples
        self._has_colours = len(text) <= _COLOUR_LIMIT
        self._parse_seconds, self._edited_s = math.inf, -math.inf
        self._refresh_size()
        if self.is_mounted:
            self.call_after_refresh(self._show_colours)

    def _build_highlight_map(self) -> None:
        """After an edit: its colours come when it has been drawn."""
        self._line_cache.clear()
        self._edited_s, self._parsing_seconds = time.monotonic(), 0.0
        if self._colouring is None and self._parse_seconds < math.inf:
            self._colour_in(_ECHO_SECONDS)

    def _colour_in(self, seconds: float) -> None:
        self._colouring = self.set_timer(seconds, self._show_colours)

    @property
    def _width(self) -> int:
        """Cells of the widest line, and of the gutter."""
        return self._document_size.width

    def _show_colours(self) -> None:
        """Parse a little at a time, where that takes long not while somebody types; then draw what has changed."""
        self._colouring = None
        document = self.document
        if not (isinstance(document, PythonDocument) and self._has_colours and self._width <= _COLOUR_WIDTH):
            return
        if self._parse_seconds > _AT_ONCE_SECONDS and time.monotonic() - self._edited_s < _PAUSE_SECONDS:
            self._colour_in(_PAUSE_SECONDS)
            return
        began_s = time.perf_counter()
        parsed = document.parse(_SLICE_SECONDS)
        self._parsing_seconds += time.perf_counter() - began_s
        if parsed:
            self._parse_seconds, self._parsing_seconds = self._parsing_seconds, 0.0
            self.refresh()
        else:
            self._colour_in(_BREATH_SECONDS)

    # -- drawing

    def draw_now(self) -> None:
        """Draw the rows that look other than they were drawn, if that can be done without the rest of the screen."""
        if self._unsure and self.is_mounted and not self._layout_required and (rows := self._changed_rows()):
            self._styles_cache.set_dirty(*(Region(0, y, 1, 1) for y in rows))
            self._unsure = False
            self._unsure = not draw_rows(self, rows)

    def _set_dirty(self, *regions: Region) -> None:
        """Which rows have to be drawn is found when they are drawn, by how they look: after a key, one of many."""
        self._unsure = True

    def _exchange_repaint_regions(self) -> Collection[Region]:
        self._mark_changed()
        return super()._exchange_repaint_regions()

    def _mark_changed(self) -> None:
        """Have those rows drawn that look other than they were drawn last."""
        if not self._unsure:
            return
        rows = self._changed_rows()
        self._unsure = False
        if len(rows) == self.size.height:
            super()._set_dirty()
        elif rows:
            super()._set_dirty(*(Region(0, y, self.size.width, 1) for y in rows))

    def _changed_rows(self) -> list[int]:
        self._colour()
        view = self._view()
        return [y for y in range(self.size.height) if self._look(y, view) != self._looks.get(y)]

    def _colour(self) -> None:
        """Know the colours of the lines in view."""
        if isinstance(self.document, PythonDocument):
            bottom = min(self.scroll_offset.y + self.size.height, self.document.line_count)
            top = min(max(0, self.scroll_offset.y - len(self._ghost_rows)), bottom)
            self.document.colour(range(top, bottom))

    def render_lines(self, crop: Region) -> list[Strip]:
        """Draw the rows that changed, and take the others as they are."""
        self._mark_changed()
        if not self._styled:
            self._styled = True
            self._theme.apply_css(self)
        return super(TextArea, self).render_lines(crop)  # TextArea looks all its styles up for every frame

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
        view = self._view()
        look = self._looks[y] = self._look(y, view)
        ghost, row = view.at(y)
        if ghost is not None:
            return self._render_ghost_row(ghost)
        strip = self._strips.get(look)
        if strip is None:
            strip = self._strips[look] = self._render_line(row - self.scroll_offset.y)
        return strip

    def _view(self) -> _View:
        """What all rows have in common, found once for all of them."""
        selection, bracket = self.selection, self._matching_bracket_location
        return _View(
            (self.theme, self.size, self.gutter_width, self.virtual_size.width, self.scroll_offset.x),
            self.scroll_offset.y,
            self.cursor_location[0],
            (self.cursor_location[1], self._draw_cursor, self._has_cursor, self.suggestion, bool(self._ghost_rows)),
            None if selection.is_empty else selection,
            bracket if selection.is_empty and self._has_cursor else None,
            self._ghost_rows,
            self.document.lines,
        )

    def _look(self, y: int, view: _View) -> tuple[object, ...]:
        """All that the drawing of row `y` of the view depends on."""
        ghost, row = view.at(y)
        if ghost is not None:
            return view.frame, ghost.plain
        if row >= len(view.lines):
            return (view.frame,)
        selection, bracket, is_cursors = view.selection, view.bracket, row == view.cursor_row
        if selection is not None:
            top, bottom = sorted(selection)
            selection = selection if top[0] <= row <= bottom[0] else None
        return (
            view.frame,
            view.lines[row],
            row,
            self._highlights[row],
            selection,
            bracket if bracket is not None and (is_cursors or row == bracket[0]) else None,
            view.cursor if is_cursors else None,
        )

    def notify_style_update(self) -> None:
        """Forget all lines: their colours changed."""
        self._strips.clear()
        self._looks.clear()
        self._styled = False
        super().notify_style_update()

    def _set_theme(self, theme: str) -> None:
        super()._set_theme(theme)
        self._styled = False

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
