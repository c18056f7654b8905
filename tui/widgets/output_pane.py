"""What a program printed, below the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from ..characters import one_line, visible
from ..keys import bindings


class OutputPane(VerticalScroll, can_focus=True):
    """Lines as they came, with pictures for what a terminal would obey."""

    BINDINGS: ClassVar[list[BindingType]] = [binding for binding in bindings("text") if binding.id == "close-pane"]

    def __init__(self) -> None:
        super().__init__()
        self.display = False
        self._lines = Static()

    def on_mount(self) -> None:
        """The lines are one widget."""
        self.mount(self._lines)

    def show(self, title: str, lines: Sequence[str]) -> None:
        """Show `lines` under `title`, the last of them in view."""
        self.border_title = Content(one_line(title))
        self._lines.update(Text(visible("\n".join(lines)), no_wrap=False, end=""))
        self.display = True
        self.call_after_refresh(self.scroll_end, animate=False)

    @property
    def text(self) -> str:
        """What is shown."""
        return str(self._lines.render())
