"""The question what becomes of text that an earlier editor could not save."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Label

from ..characters import one_line
from ..journal import Unsaved
from ..keys import bindings

Answer = Literal["recover", "discard", "later"]
_SHOWN = 8


class Recover(ModalScreen[Answer]):
    """Open it, throw it away, or leave it for the next start.

    It may come up while somebody types: no letter throws anything away.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("recovery"), *bindings("everywhere")]

    def __init__(self, texts: Sequence[Unsaved]) -> None:
        self._texts = texts
        super().__init__()

    def compose(self) -> ComposeResult:
        """What there is, and three buttons."""
        with Vertical(classes="dialog"):
            yield Label("Text was not saved when the editor ended last:", markup=False)
            for text in self._texts[:_SHOWN]:
                yield Label(_describe(text), markup=False)
            if len(self._texts) > _SHOWN:
                yield Label(f"  and {len(self._texts) - _SHOWN} more", markup=False)
            with Horizontal():
                yield Button("Recover (r)", id="recover", variant="primary", compact=True)
                yield Button("Discard (^d)", id="discard", variant="error", compact=True)
                yield Button("Later (esc)", id="later", compact=True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """A button answers with its id."""
        self.action_answer(event.button.id or "later")

    def action_answer(self, answer: str) -> None:
        """Close with `answer`."""
        self.dismiss(answer)  # type: ignore[arg-type]


def _describe(text: Unsaved) -> str:
    name = one_line(Path(text.path).name) if text.path else "scratch"
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(text.time))
    lines = text.text.count("\n") + 1
    return f"  {name}, {lines:,} line{'s' if lines > 1 else ''}, {when}"
