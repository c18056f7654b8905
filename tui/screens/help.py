"""Every key there is, as it is set now."""

from __future__ import annotations

from typing import ClassVar

from rich import box
from rich.table import Table
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Label, Static

from ..commands import keys_of
from ..keys import KEYS, PLACES, bindings
from ..widgets.key_bar import KeyBar


class HelpScreen(Screen[None], inherit_bindings=False):
    """A table for each place; their ids are what the settings file calls them."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen"), *bindings("everywhere")]

    def __init__(self, settings_file: str) -> None:
        self._settings_file = settings_file
        super().__init__()

    def compose(self) -> ComposeResult:
        """A heading, the tables, the keys of this screen."""
        yield Label("Keys", classes="heading")
        with VerticalScroll():
            for place, title in PLACES.items():
                table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False, expand=True)
                table.add_column(title, ratio=3, overflow="fold")
                table.add_column("", ratio=5)
                table.add_column("id", ratio=4, style="dim", overflow="fold")
                for key in KEYS:
                    if key.place == place:
                        table.add_row(", ".join(keys_of(self.app, key.id)), key.help, key.id)
                if table.row_count:
                    yield Static(table)
            yield Static(f'Other keys: in {self._settings_file}, under [keys], as  race = "f11"', markup=False)
        yield KeyBar()

    def action_close(self) -> None:
        """Back to the editor."""
        self.dismiss()
