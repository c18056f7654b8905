"""The prompt for what a function should do."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label

from ..characters import SAFE_LINE
from ..keys import bindings


class AskRequest(ModalScreen[str]):
    """One line; empty if called off."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("prompt")]

    def compose(self) -> ComposeResult:
        """The question and its line."""
        with Vertical(classes="dialog"):
            yield Label("Write a function that …", markup=False)
            yield Input(placeholder="returns the mean of a list", restrict=SAFE_LINE, compact=True)
            yield Label("Enter writes it as a suggestion, Esc cancels", id="hint", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """An empty line is no request."""
        if event.value.strip():
            self.dismiss(event.value.strip())

    def action_cancel(self) -> None:
        """Write nothing."""
        self.dismiss("")
