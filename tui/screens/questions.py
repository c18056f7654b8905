"""The questions about text that is not saved: before it would be lost, and when an earlier editor left some."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Label

from ..characters import one_line
from ..commands import keys_of
from ..journal import Unsaved
from ..keys import KEYS, Place, bindings

_SHOWN = 8  # texts that are named
_VARIANTS: tuple[Literal["primary", "error", "default"], ...] = ("primary", "error", "default")


class Question(ModalScreen[str]):
    """Some lines, and a button for each key of `place`; their actions answer."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
    ]
    place: ClassVar[Place]  # whose first key is the offer, whose second loses text

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        super().__init__()

    def compose(self) -> ComposeResult:
        """What there is, and the buttons."""
        with Vertical(classes="dialog"):
            for line in self._lines:
                yield Label(line, markup=False)
            with Horizontal():
                keys = [key for key in KEYS if key.place == self.place]
                for key, variant in zip(keys, _VARIANTS, strict=True):
                    label = f"{key.label} ({keys_of(self.app, key.id)[0]})"
                    yield Button(label, action=f"screen.{key.action}", variant=variant, compact=True)

    def action_answer(self, answer: str) -> None:
        """Close with `answer`."""
        self.dismiss(answer)


class ConfirmQuit(Question):
    """Save, discard, or go on editing."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("question")]
    place = "question"

    def __init__(self, name: str) -> None:
        super().__init__([f"{name} has unsaved changes."])


class Recover(Question):
    """Open it, throw it away, or leave it for the next start.

    It may come up while somebody types: no letter throws anything away.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("recovery"), *bindings("everywhere")]
    place = "recovery"

    def __init__(self, texts: Sequence[Unsaved]) -> None:
        lines = ["Text was not saved when the editor ended last:", *map(_describe, texts[:_SHOWN])]
        if len(texts) > _SHOWN:
            lines.append(f"  and {len(texts) - _SHOWN} more")
        super().__init__(lines)


def _describe(text: Unsaved) -> str:
    name = one_line(Path(text.path).name) if text.path else "scratch"
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(text.time))
    lines = text.text.count("\n") + 1
    return f"  {name}, {lines:,} line{'s' if lines > 1 else ''}, {when}"
