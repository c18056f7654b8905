"""One line below the text that asks what to find, or which line to go to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Literal

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Label

from ..characters import SAFE_LINE
from ..finding import count, find
from ..keys import bindings
from .code_editor import CodeEditor

_PLACE = re.compile(r"\s*(\d{1,9})(?:\s*:\s*(\d{1,9})?)?\s*")


class FindBar(Horizontal):
    """Finding goes on while the text is typed; it starts where the cursor was when the bar was opened."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("finding")]

    @dataclass
    class Closed(Message):
        """The keys belong to the text again."""

    def __init__(self) -> None:
        super().__init__()
        self.display = False
        self.wanted = ""  # what was looked for last
        self._purpose: Literal["find", "line"] = "find"
        self._origin = (0, 0)

    def compose(self) -> ComposeResult:
        """What is asked, the answer, and what came of it."""
        yield Label("Find", id="purpose")
        yield Input(restrict=SAFE_LINE, compact=True, select_on_focus=True)
        yield Label("", id="outcome", markup=False)

    def open(self, purpose: Literal["find", "line"], editor: CodeEditor) -> None:
        """Ask; what is selected is what to find."""
        self._editor, self._purpose, self.display = editor, purpose, True
        self._origin = min(editor.selection)
        self.query_one("#purpose", Label).update("Find" if purpose == "find" else "Line")
        self.query_one("#outcome", Label).update("" if purpose == "find" else f"of {editor.document.line_count}")
        selected = editor.selected_text
        asked = self.query_one(Input)
        with self.prevent(Input.Changed):
            asked.value = "" if purpose == "line" else selected if selected and "\n" not in selected else self.wanted
        asked.focus()

    def action_close(self) -> None:
        """Back to the text."""
        self.display = False
        self._editor.focus()

    def action_find_again(self, step: int) -> None:
        """Go to the next match, or the one before."""
        if self._purpose == "find":
            self.find_again(self._editor, step)

    def find_again(self, editor: CodeEditor, step: int) -> None:
        """Go from the cursor to the next match of what was looked for last, or to the one before."""
        start, end = sorted(editor.selection)
        self._go(editor, end if step > 0 else start, backwards=step < 0)

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        if self._purpose == "find":
            self.wanted = event.value
            self._go(self._editor, self._origin)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self._purpose == "find":
            self.wanted = event.value
            self.find_again(self._editor, 1)
        elif place := _PLACE.fullmatch(event.value):
            line = min(max(1, int(place[1])), self._editor.document.line_count)
            self._editor.move_cursor((line - 1, max(0, int(place[2] or 1) - 1)), center=True)
            self.action_close()
        else:
            self.query_one("#outcome", Label).update("write 12 or 12:5")

    def _go(self, editor: CodeEditor, start: tuple[int, int], *, backwards: bool = False) -> None:
        outcome = self.query_one("#outcome", Label)
        lines = editor.document.lines
        match = find(lines, self.wanted, start, backwards=backwards)
        if match is None:
            outcome.update("" if not self.wanted else "not found")
            if not self.display and self.wanted:
                self.notify(f"Not found: {self.wanted}", timeout=3, markup=False)
            return
        number, total = count(lines, self.wanted, match)
        outcome.update(f"{number} of {total}")
        editor.select(match)
