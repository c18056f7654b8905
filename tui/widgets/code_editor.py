"""A Python editor that shows a suggestion of many lines as ghost text, where it would go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

from rich.segment import Segment
from rich.text import Text
from textual import events
from textual.binding import BindingType
from textual.cache import LRUCache
from textual.document._document_navigator import DocumentNavigator
from textual.document._edit import Edit
from textual.document._syntax_aware_document import SyntaxAwareDocument
from textual.geometry import Offset, Region, Size, Spacing
from textual.message import Message
from textual.strip import Strip
from textual.widgets import TextArea
from textual.widgets.text_area import EditResult, LanguageDoesNotExist, Location, Selection

from ..document import Document
from ..finding import Match
from ..ghost import Ghost
from ..keys import bindings
from .code_theme import code_theme
from .flat_document import FlatDocument
from .highlighting import highlights, read_in_chunks

_HIGHLIGHT_LIMIT = 500_000  # characters; beyond, parsing at every key would be felt
_BRACKET_REACH = 20_000  # characters searched for the other bracket at every move of the cursor
_WIDTH_STEP = 64  # cells
_STRIPS = 512  # drawn lines that are kept
_LONG_LINE = 5_000  # cells; where a line is longer, only what is in view is drawn
_HIGHLIGHT_MARGIN = 50  # lines above and below the visible ones that are coloured with them


class CodeEditor(TextArea, inherit_bindings=False):
    """TextArea's one-line suggestion is drawn at the cursor; the ghost's other lines are rows that no document has.

    They stand below the cursor's line and push the rest down: row `r` of the view is line `r` of the document up to
    the cursor, then a ghost line, then line `r - number of ghost lines`. Lines are never wrapped, so that holds.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"code-editor--stand-in"}
    # Those of a suggestion come first: they share keys with the text, which has them while there is none.
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("suggestion"), *bindings("text")]

    @dataclass
    class GhostChanged(Message):
        """A ghost is expected, can now be accepted, or is gone."""

        lost: int | None  # the ticket that is wanted no more: whoever answers it may stop

    def __init__(self, document: Document, *, id: str | None = None) -> None:
        self.file = document
        self._ghost: Ghost | None = None
        self._ghost_state = (False, False)  # whether one is expected, whether it can be accepted
        self._ghost_rows: list[Text] = []  # the ghost's lines below the cursor's
        self._document_size = Size(0, 0)
        self._highlighted = range(0)
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
        language = "python" if len(document.text) <= _HIGHLIGHT_LIMIT else None
        try:
            self._set_document(document.text, language)
        except LanguageDoesNotExist:  # tree-sitter without its Python grammar
            language = None
            self._set_document(document.text, language)
        self.set_reactive(TextArea.language, language)
        self._saved_lines = list(self.document.lines)  # as they are on disk

    def on_mount(self) -> None:
        """Follow the app's theme from dark to light and back."""
        self.watch(self.app, "theme", self._follow_app_theme)

    def _follow_app_theme(self) -> None:
        self.theme = "code-dark" if self.app.current_theme.dark else "code-light"

    # -- the file

    @property
    def modified(self) -> bool:
        """Whether there is anything to save."""
        return self.document.lines != self._saved_lines

    @property
    def untouched(self) -> bool:
        """Whether this is an empty scratch text, of which nobody wants to know."""
        return self.file.path is None and not self.modified and self.document.lines == [""]

    def mark_saved(self, lines: Sequence[str]) -> None:
        """Take note that these `lines` are what the file has now."""
        self._saved_lines = list(lines)

    def restore(self, text: str) -> None:
        """Take back what was not saved, the true text with "\\n" between lines, as an edit that can be undone."""
        self.drop_ghost()
        hidden = self.file.stand_ins.hide(text)
        edit = Edit(hidden, self.document.start, self.document.end, maintain_selection_offset=False)
        self.history.checkpoint()
        super().edit(edit)
        self.history.checkpoint()

    def around_cursor(self) -> tuple[str, str]:
        """The true text before and after the cursor, with "\\n" between lines."""
        lines, (row, column) = self.document.lines, self.cursor_location
        before = self.file.true_text([*lines[:row], lines[row][:column]])
        return before, self.file.true_text([lines[row][column:], *lines[row + 1 :]])

    def select(self, match: Match) -> None:
        """Select what was found and bring it into view."""
        row, column, length = match
        self.selection = Selection((row, column), (row, column + length))
        self.scroll_cursor_visible(center=True)

    # -- the ghost

    @property
    def ghost(self) -> Ghost | None:
        """The suggestion at the cursor, its text still empty while the model thinks."""
        return self._ghost

    def expect_ghost(self, ticket: int) -> None:
        """Be ready for the answer to request `ticket` at the cursor; whatever was shown goes."""
        self._set_ghost(Ghost(ticket, *self.cursor_location))

    def grow_ghost(self, ticket: int, text: str, *, complete: bool) -> None:
        """Show `text`, which is all of the answer so far, unless it is late: then nothing happens."""
        if self._ghost is not None and self._ghost.ticket == ticket:
            grown = self._ghost.grown(text, complete=complete)
            self._set_ghost(grown, lost=ticket if grown is None and not complete else None)

    def drop_ghost(self) -> None:
        """Take the ghost away, wanted no more."""
        if self._ghost is not None:
            self._set_ghost(None, lost=self._ghost.ticket)

    def accept_ghost(self) -> None:
        """Make the ghost part of the text, in one step of its own for undo."""
        if self._ghost is not None:
            text = self._ghost.remaining
            self.drop_ghost()
            self._accept(text)

    def accept_ghost_word(self) -> None:
        """Make the ghost's next word part of the text, in one step of its own for undo; the rest stays."""
        if self._ghost is not None:
            self._accept(self._ghost.next_word())

    def accept_ghost_line(self) -> None:
        """Make the ghost's next line part of the text, in one step of its own for undo; the rest stays."""
        if self._ghost is not None:
            self._accept(self._ghost.next_line())

    def _accept(self, text: str) -> None:
        at = self.cursor_location
        self.history.checkpoint()
        self._replace_via_keyboard(text, at, at)
        self.history.checkpoint()

    def _set_ghost(self, ghost: Ghost | None, *, lost: int | None = None) -> None:
        before, self._ghost = self._ghost_state, ghost
        inline, *below = ghost.remaining.split("\n") if ghost else [""]
        self._ghost_rows = [self._ghost_text(line) for line in below]
        if below:  # what is right of the cursor would follow the last line
            row, column = self.cursor_location
            self._ghost_rows[-1].append_text(self._drawn(self.document[row][column:]))
            self._ghost_rows[-1].expand_tabs(self.indent_width)
        self.suggestion = inline
        self._line_cache.clear()
        self._apply_virtual_size()
        if ghost and below:
            self._scroll_to_ghost()
        self.refresh()
        self._ghost_state = (ghost is not None, ghost is not None and bool(ghost.remaining))
        if self._ghost_state != before or lost is not None:
            self.post_message(self.GhostChanged(lost))

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

    # -- edits

    def edit(self, edit: Edit) -> EditResult:
        """Perform an edit; the ghost goes on if this is what it suggested, else it goes."""
        edit.text = self.file.adopt(edit.text)
        ghost = self._ghost
        if ghost is not None:
            inserts = edit.from_location == edit.to_location == (ghost.row, ghost.column)
            following = ghost.after_typing(edit.text) if inserts else None
            self._ghost = following  # before the cursor moves, which would drop it
            if following is None:
                self._set_ghost(None, lost=ghost.ticket)
        result = super().edit(edit)
        if self._ghost is not None:
            self._set_ghost(self._ghost)
        return result

    def undo(self) -> None:
        """Undo the last batch of edits."""
        self.drop_ghost()
        super().undo()

    def redo(self) -> None:
        """Redo the batch of edits undone last."""
        self.drop_ghost()
        super().redo()

    async def _on_key(self, event: events.Key) -> None:
        """Run what the key is bound to here and now.

        Textual looks for bindings only once a key has bubbled up to the app, and by then the editor may have typed the
        keys after it: on a busy machine Backspace would delete the wrong character.
        """
        enter = event.key == "enter" and not self.read_only
        if enter:
            self._restart_blink()
            self._replace_via_keyboard("\n" + self._next_indentation(), *self.selection)
        handled = enter or await self.app._check_bindings(event.key)
        if handled or event.key == "escape" or event.key.startswith("alt+"):  # Textual would type the letter of Alt+n
            event.stop()  # and TextArea, which would move the focus at Esc, does not see it
            event.prevent_default()

    def _next_indentation(self) -> str:
        """The white space a new line starts with: the ghost's where it goes on there, else the cursor line's.

        After a colon it is one step more.
        """
        remaining = self._ghost.remaining if self._ghost else ""
        if remaining.startswith("\n"):
            line = remaining[1:].split("\n", 1)[0]
            return line[: len(line) - len(line.lstrip(" \t"))]
        row, column = min(self.selection)
        line = self.document[row][:column]
        indentation = line[: len(line) - len(line.lstrip(" \t"))]
        if line.rstrip().endswith(":"):
            indentation += "\t" if "\t" in indentation else " " * self.indent_width
        return indentation

    def action_cursor_right(self, select: bool = False) -> None:
        """Move right, also past a ghost: only Tab accepts."""
        target = self.get_cursor_right_location() if select or self.selection.is_empty else max(*self.selection)
        self.move_cursor(target, select=select)

    def action_document_start(self) -> None:
        """Move to the start of the text."""
        self.move_cursor(self.document.start)

    def action_document_end(self) -> None:
        """Move to the end of the text."""
        self.move_cursor(self.document.end)

    def _watch_selection(self, previous_selection: Selection, selection: Selection) -> None:
        super()._watch_selection(previous_selection, selection)
        ghost = self._ghost
        if ghost is not None and not (selection.start == selection.end == (ghost.row, ghost.column)):
            self.drop_ghost()

    # -- drawing

    def _set_document(self, text: str, language: str | None) -> None:
        super()._set_document(text, language)
        self.wrapped_document = FlatDocument(self.document, tab_width=self.indent_width)
        self.navigator = DocumentNavigator(self.wrapped_document)
        if isinstance(self.document, SyntaxAwareDocument):
            read_in_chunks(self.document)
        self._refresh_size()

    def _build_highlight_map(self) -> None:
        """The colours in view are looked up when they are drawn."""
        self._line_cache.clear()
        self._highlights.clear()
        self._highlighted = range(0)

    def render_lines(self, crop: Region) -> list[Strip]:
        """Colour the lines in view, then draw them."""
        bottom = min(self.scroll_offset.y + self.size.height, self.document.line_count)
        top = min(max(0, self.scroll_offset.y - len(self._ghost_rows)), bottom)
        if self._highlight_query and not (self._highlighted.start <= top and bottom <= self._highlighted.stop):
            margin = _HIGHLIGHT_MARGIN if self._highlighted else 0  # after a key, no more than what is seen
            rows = range(max(0, top - margin), bottom + margin)
            self._line_cache.clear()
            self._highlights.clear()
            self._highlights.update(highlights(self.document, self._highlight_query, rows))
            self._highlighted = rows
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
            style = self.get_component_rich_style("code-editor--stand-in", partial=True)
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
        if self._ghost is not None:
            row = self.cursor_location[0]
            after = self.wrapped_document.line_width(row) if isinstance(self.wrapped_document, FlatDocument) else 0
            inline = self._ghost_text(self.suggestion).cell_len
            widest = max([after + inline, *(text.cell_len for text in self._ghost_rows)])
            width, height = max(width, widest + self.gutter_width + 1), height + len(self._ghost_rows)
        # In steps: lines are drawn as wide as the view can be scrolled, so with each other width all are drawn anew.
        self.virtual_size = Size(-(-width // _WIDTH_STEP) * _WIDTH_STEP, height)
        self._refresh_scrollbars()
