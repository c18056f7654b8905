"""The models of this machine: what is here, where it came from, whether it is still that; and what suggests."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import DataTable, Label, Static

from edge_phi.errors import EdgePhiError
from edge_phi.inventory import Entry, entries, verify_model
from edge_phi.store import Model, find_model, list_models

from ..characters import one_line
from ..keys import bindings
from ..widgets.key_bar import KeyBar
from ..widgets.table import Table


@dataclass(frozen=True)
class Chosen:
    """A form of a model, as `edge-phi open` takes it."""

    model: str
    form: str


@dataclass(frozen=True)
class _Line:
    name: str  # what finds the model again: its name, or its path
    model: Model
    entry: Entry


class ModelsScreen(Screen[Chosen | None], inherit_bindings=False):
    """Enter lets the form under the cursor suggest from now on."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("models"), *bindings("screen"), *bindings("everywhere")]

    def __init__(self, model: str, suggesting: str, baseline: str) -> None:
        """Show all models and the one named `model`, of which the form `suggesting` is in use."""
        self._model, self._suggesting, self._baseline = model, suggesting, baseline
        self._lines: list[_Line] = []
        self._verdicts: dict[tuple[str, str], str] = {}
        super().__init__()

    def compose(self) -> ComposeResult:
        """The forms, and all that is known of one."""
        yield Label("Models on this machine", classes="heading", markup=False)
        yield Table()
        with VerticalScroll(id="details", can_focus=False):
            yield Static("", markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        """Look without making anybody wait."""
        self.query_one(Table).focus()
        self.run_worker(self._list(), group="models", exclusive=True)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing can be done with no row."""
        return bool(self._lines) if action in ("use", "verify") else super().check_action(action, parameters)

    def action_use(self) -> None:
        """Choose the form under the cursor."""
        line = self._lines[self.query_one(Table).cursor_row]
        if line.entry.problem:
            self.notify(one_line(line.entry.problem), severity="error", timeout=8, markup=False)
        else:
            self.dismiss(Chosen(line.name, line.entry.form))

    def action_verify(self) -> None:
        """Hash all files of the model under the cursor."""
        line = self._lines[self.query_one(Table).cursor_row]
        self.run_worker(self._verify(line), group="verify", exclusive=True)

    def action_close(self) -> None:
        """Back to the editor, with what suggested before."""
        self.dismiss(None)

    @on(DataTable.RowHighlighted)
    def _highlighted(self, event: DataTable.RowHighlighted) -> None:
        if 0 <= event.cursor_row < len(self._lines):
            self.query_one("#details Static", Static).update("\n".join(_details(self._lines[event.cursor_row].entry)))

    async def _list(self) -> None:
        try:
            self._lines = await asyncio.to_thread(_all_forms, self._model)
        except EdgePhiError as error:
            self.notify(one_line(str(error)), severity="error", timeout=10, markup=False)
        self._draw()
        used = [number for number, line in enumerate(self._lines) if self._is_used(line)]
        self.query_one(Table).move_cursor(row=used[0] if used else 0)
        self.refresh_bindings()

    async def _verify(self, line: _Line) -> None:
        for other in self._lines:
            if other.name == line.name:
                self._verdicts[line.name, other.entry.form] = "hashing…"
        self._draw()
        try:
            verdicts = await asyncio.to_thread(verify_model, line.model)
        except EdgePhiError as error:
            self.notify(one_line(str(error)), severity="error", timeout=10, markup=False)
            verdicts = []
        found = {one.form: one.damage or f"as written, {one.files} files" for one in verdicts}
        for other in self._lines:
            if other.name == line.name:
                self._verdicts[line.name, other.entry.form] = found.get(other.entry.form, "not verified")
        self._draw()

    def _is_used(self, line: _Line) -> bool:
        return line.name == self._model and line.entry.form == self._suggesting

    def _draw(self) -> None:
        table = self.query_one(Table)
        place = table.cursor_row
        table.clear(columns=True)
        for title, right in (("", False), ("model", False), ("form", False), ("MB", True), ("precision", False)):
            table.add_column(Text(title, justify="right" if right else "left"))
        table.add_column("verified" if self._verdicts else "made")
        for line in self._lines:
            entry = line.entry
            is_baseline = line.name == self._model and entry.form == self._baseline
            mark = "●" if self._is_used(line) else "=" if is_baseline else " "
            size = "–" if entry.file_bytes is None else f"{entry.file_bytes / 1e6:,.1f}"
            last = self._verdicts.get((line.name, entry.form), "") if self._verdicts else ""
            last = last or entry.problem or entry.made or "no lineage"
            cells = (mark, line.model.name, entry.form, Text(size, justify="right"), entry.precision, last)
            table.add_row(*(Text(one_line(one)) if isinstance(one, str) else one for one in cells))  # type: ignore[arg-type]
        table.move_cursor(row=place)


def _all_forms(model: str) -> list[_Line]:
    """Every form of every model, and of the one that is in use if it is elsewhere."""
    found: dict[str, Model] = {one.name: one for one in list_models()}
    if model not in found:
        found = {model: find_model(model), **found}
    return [_Line(name, one, entry) for name, one in found.items() for entry in entries(one)]


def _details(entry: Entry) -> list[str]:
    lines = [
        f"{entry.form}: {entry.precision}",
        _from_home(entry.path),
        entry.problem or entry.made or "nothing says how it was made",
    ]
    says: dict[str, Any] = entry.lineage or {}
    for title, key in (("made from", "source"), ("files", "files")):
        hashes = says.get(key)
        if isinstance(hashes, dict):
            lines += [f"{title}: {name}  {str(digest)[:16]}…" for name, digest in hashes.items()]
    if says.get("training_data"):
        lines.append(f"trained on: {str(says['training_data'])[:16]}…")
    return [one_line(line) for line in lines]


def _from_home(path: str) -> str:
    """A path as its owner would write it: a screen that is shown around need not say whose home it is."""
    try:
        return str(Path("~") / Path(path).relative_to(Path.home()))
    except (ValueError, RuntimeError):  # elsewhere, or nobody's home is known
        return path
