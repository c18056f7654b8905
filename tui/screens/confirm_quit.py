"""The question before unsaved changes are lost."""

from __future__ import annotations

from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Label

from ..keys import bindings

Answer = Literal["save", "discard", "stay"]


class ConfirmQuit(ModalScreen[Answer]):
    """Save, discard, or go on editing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("question"),
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
    ]

    def __init__(self, name: str) -> None:
        self._file_name = name
        super().__init__()

    def compose(self) -> ComposeResult:
        """A line and three buttons."""
        with Vertical(classes="dialog"):
            yield Label(f"{self._file_name} has unsaved changes.", markup=False)
            with Horizontal():
                yield Button("Save (s)", id="save", variant="primary", compact=True)
                yield Button("Discard (d)", id="discard", variant="error", compact=True)
                yield Button("Keep editing (esc)", id="stay", compact=True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """A button answers with its id."""
        self.action_answer(event.button.id or "stay")

    def action_answer(self, answer: str) -> None:
        """Close with `answer`."""
        self.dismiss(answer)  # type: ignore[arg-type]
