"""The tour of the first start: what to do first, with the keys as they are set."""

from __future__ import annotations

from typing import ClassVar

from rich.table import Table
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Label, Static

from ..commands import keys_of
from ..keys import bindings

_STEPS = (
    ("open", "Open a file; or just type, and save it later."),
    ("suggest", "Ask for a suggestion. One comes by itself, too, when you stop typing: it is grey."),
    ("accept", "Take all of it. Any other key goes on typing."),
    ("accept-word", "Take its next word only."),
    ("race", "See int4 and full precision write the same completion side by side."),
    ("save", "Save."),
    ("help", "Every key there is. What does something now stands at the bottom."),
)


class Tour(ModalScreen[None]):
    """One page; shown again by its key."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("tour")]

    def compose(self) -> ComposeResult:
        """The first things to do."""
        table = Table.grid(padding=(0, 2), expand=True)
        table.add_column(no_wrap=True, style="bold")
        table.add_column(ratio=1)
        for id_, words in _STEPS:
            table.add_row(keys_of(self.app, id_)[0], words)
        with Vertical(classes="dialog", id="tour"):
            yield Label("A code assistant that runs on this machine alone", classes="title", markup=False)
            yield Static(table)
            yield Label(f"{', '.join(keys_of(self.app, 'tour-end'))}: begin", id="hint", markup=False)

    def action_close(self) -> None:
        """Begin."""
        self.dismiss()

    def on_click(self) -> None:
        """A click begins, too."""
        self.dismiss()
