"""The question for a path: which file to open, or where to save."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.suggester import Suggester
from textual.widgets import Input, Label

from ..characters import SAFE_LINE, clean, one_line
from ..keys import bindings

_MAX_NAMES = 10_000  # of a folder that are looked at for one that goes on as typed


class AskPath(ModalScreen[Path | None]):
    """A prompt for a path, which Right completes."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen")]

    title_line = ""
    hint = ""

    def __init__(self, value: str = "") -> None:
        self._value = value
        super().__init__()

    def compose(self) -> ComposeResult:
        """The prompt and a line for what is wrong with the answer."""
        with Vertical(classes="dialog"):
            yield Label(self.title_line)
            yield Input(
                clean(self._value),
                placeholder="path/to/file.py",
                restrict=SAFE_LINE,
                compact=True,
                suggester=_PathSuggester(),
                select_on_focus=False,
            )
            yield Label(self.hint, id="hint", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the path unless it cannot be one."""
        if not event.value.strip():
            return
        path = Path(event.value.strip())
        try:
            objection = self.objection(path := path.expanduser())
        except (OSError, RuntimeError, ValueError) as error:  # a name too long, an unknown ~user
            objection = f"That cannot be a file: {one_line(str(error))}"
        if objection:
            self.query_one("#hint", Label).update(objection)
        else:
            self.dismiss(path)

    def objection(self, path: Path) -> str:
        """What is wrong with `path`; nothing if it will do."""
        if path.is_dir():
            return "That is a folder: add a file name"
        if not path.parent.is_dir():
            return "That folder does not exist"
        return ""

    def action_close(self) -> None:
        """Close without a path."""
        self.dismiss(None)


class OpenPath(AskPath):
    """Which file to open; one that is not there is begun."""

    title_line = "Open"
    hint = "Enter opens, → completes, Esc cancels"


class SaveAs(AskPath):
    """Where to save. A file that is there is replaced only if asked twice."""

    title_line = "Save as"
    hint = "Enter saves, → completes, Esc cancels"

    _confirmed: Path | None = None

    def objection(self, path: Path) -> str:
        """As above, and a file that is there."""
        if not (objection := super().objection(path)) and path.exists() and path != self._confirmed:
            self._confirmed = path
            return "That file exists: Enter again replaces it"
        return objection


class _PathSuggester(Suggester):
    """The first name in the folder that goes on as typed, if a terminal may show it."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        if not value or value.endswith("/"):
            return None
        head, slash, start = value.rpartition("/")
        try:
            entries = Path(head + slash or ".").expanduser().iterdir()
            names = [
                entry.name + ("/" if entry.is_dir() else "")
                for entry, _ in zip(entries, range(_MAX_NAMES), strict=False)
                if entry.name.startswith(start)
            ]
        except (OSError, RuntimeError, ValueError):
            return None
        fit = sorted(name for name in names if clean(name) == name and "\n" not in name)
        return head + slash + fit[0] if fit else None
