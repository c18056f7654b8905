"""A Python editor that shows a suggestion of many lines as ghost text, where it would go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.document._edit import Edit
from textual.message import Message
from textual.widgets.text_area import EditResult, Selection

from ..document import Document
from ..finding import Match
from ..ghost import Ghost
from ..keys import bindings
from .code_view import CodeView


class CodeEditor(CodeView, inherit_bindings=False):
    """Edits one file; a suggestion at the cursor goes on while what is typed is what it says, else it goes."""

    # Those of a suggestion come first: they share keys with the text, which has them while there is none.
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("suggestion"), *bindings("text")]

    @dataclass
    class GhostChanged(Message):
        """A ghost is expected, can now be accepted, or is gone."""

        lost: int | None  # the ticket that is wanted no more: whoever answers it may stop

    def __init__(self, document: Document, *, id: str | None = None) -> None:
        self._ghost: Ghost | None = None
        self._ghost_state = (False, False)  # whether one is expected, whether it can be accepted
        super().__init__(document, id=id)
        self._saved_lines = list(self.document.lines)  # as they are on disk

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
            self.draw_now()

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
        self.show_ghost(ghost.remaining if ghost else None)
        self._ghost_state = (ghost is not None, ghost is not None and bool(ghost.remaining))
        if self._ghost_state != before or lost is not None:
            self.post_message(self.GhostChanged(lost))

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
        else:
            await super()._on_key(event)
        event.prevent_default()
        self.draw_now()

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
