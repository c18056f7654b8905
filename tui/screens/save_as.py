"""The question where to save what has no file yet."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label

from ..characters import SAFE_LINE, one_line


class SaveAs(ModalScreen[Path | None]):
    """A prompt for a path. A file that is there is replaced only if asked twice."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel")]

    _confirmed: Path | None = None

    def compose(self) -> ComposeResult:
        """The prompt and a line for what is wrong with the answer."""
        with Vertical(classes="dialog"):
            yield Label("Save as")
            yield Input(placeholder="path/to/file.py", restrict=SAFE_LINE, compact=True)
            yield Label("Enter saves, Esc cancels", id="hint", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the path unless it cannot be one."""
        if not event.value.strip():
            return
        path = Path(event.value.strip())
        try:
            objection = self._objection(path := path.expanduser())
        except (OSError, RuntimeError, ValueError) as error:  # a name too long, an unknown ~user
            objection = f"That cannot be a file: {one_line(str(error))}"
        if objection:
            self.query_one("#hint", Label).update(objection)
        else:
            self.dismiss(path)

    def _objection(self, path: Path) -> str:
        if path.is_dir():
            return "That is a folder: add a file name"
        if not path.parent.is_dir():
            return "That folder does not exist"
        if path.exists() and path != self._confirmed:
            self._confirmed = path
            return "That file exists: Enter again replaces it"
        return ""

    def action_cancel(self) -> None:
        """Close without a path."""
        self.dismiss(None)
