"""The bench: every form of the model measured against full precision, while one looks on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import tempfile
from datetime import datetime
from pathlib import Path
from typing import IO, ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import DataTable, Label, Static

from edge_phi.atomic import write_bytes
from edge_phi.errors import EdgePhiError
from edge_phi.store import find_model

from ..bench import COLUMNS, Bench, Row, cell
from ..bench_process import INTERRUPTED, command
from ..characters import one_line
from ..keys import bindings
from ..picture import picture
from ..plots import Point, bars, points
from ..widgets.key_bar import KeyBar
from ..widgets.table import Table

_MARKS = "abcdefghijklmnopqrstuvwxyz"
_PLOTS_FROM = 24  # lines of the terminal from which there is room for plots
_LINE_BYTES = 2**26  # of one event; the last has the whole page in it
_LEAST_KL = 1e-6  # nats: what float16 costs; below it two engines' rounding differs as much
_GRACE_S = 8.0


class BenchScreen(Screen[None], inherit_bindings=False):
    """Measures in another process; leaving stops it, and what it has found is kept for the next time."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("bench"), *bindings("screen"), *bindings("everywhere")]

    def __init__(self, model: str) -> None:
        self._model = model
        self.bench = Bench()
        self._column = 0
        self._process: asyncio.subprocess.Process | None = None
        super().__init__()

    def compose(self) -> ComposeResult:
        """How far it is, the table, the plots."""
        yield Label(f"Bench: {one_line(self._model)}", classes="heading", markup=False)
        yield Label("", id="progress", markup=False)
        yield Table()
        with Horizontal(id="plots"):
            yield Static("", id="fidelity", markup=False)
            yield Static("", id="memory", markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        """List what could be measured."""
        self._draw()
        self.query_one(Table).focus()
        self.run_worker(self._list(), group="bench", exclusive=True)

    def on_unmount(self) -> None:
        """Whoever leaves stops it, and does not wait for its end: it ends with its stdin, too."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGINT)

    def on_resize(self, event: events.Resize) -> None:
        """Plots only where there is room."""
        self.query_one("#plots").display = event.size.height >= _PLOTS_FROM
        self.call_after_refresh(self._draw_plots)

    @property
    def measuring(self) -> bool:
        """Whether it is at work."""
        return self._process is not None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Start what is not running, stop what is, export what is done."""
        if action in ("start", "cancel"):
            return self.measuring == (action == "cancel")
        if action == "export":
            return self.bench.json is not None
        return super().check_action(action, parameters)

    def action_start(self, fresh: bool = False) -> None:
        """Measure, or take what was measured before."""
        self.run_worker(self._measure(fresh), group="bench", exclusive=True)

    def action_cancel(self) -> None:
        """Stop."""
        self.run_worker(self._stop(), group="stop", exclusive=True)

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._column = (self._column + 1) % len(COLUMNS)
        self._draw()

    def action_export(self) -> None:
        """Write the page, the figures and a picture of this screen into the working folder."""
        self.run_worker(self._export(), group="export", exclusive=True)

    def action_close(self) -> None:
        """Back to the editor."""
        self.dismiss()

    @on(DataTable.HeaderSelected)
    def _sort_by(self, event: DataTable.HeaderSelected) -> None:
        self._column = event.column_index
        self._draw()

    async def _list(self) -> None:
        def forms() -> list[dict[str, object]]:
            model = find_model(self._model)
            return [{"form": one.name, "file_bytes": one.file_bytes} for one in model.artifacts]

        try:
            self.bench.hear({"kind": "forms", "forms": await asyncio.to_thread(forms)})
        except EdgePhiError as error:
            self.bench.failure = str(error)
        self._draw()

    async def _measure(self, fresh: bool) -> None:
        self.bench = Bench(rows={form: Row(form, row.file_mb) for form, row in self.bench.rows.items()})
        self.bench.doing = "starting"
        with tempfile.TemporaryFile() as errors:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *command(self._model, fresh=fresh),
                    stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=errors,
                    limit=_LINE_BYTES, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                self.bench.failure = f"the measuring process cannot be started ({error.strerror})"
                self._draw()
                return
            self.refresh_bindings()
            self._draw()
            try:
                await self._listen(self._process)
                code = await self._process.wait()
            finally:
                self._process = None
            if code == INTERRUPTED or code < 0:
                self.bench.failure = "stopped; what was measured is kept"
            elif code and not self.bench.failure:
                self.bench.failure = _last_line(errors) or f"the measuring process ended with {code}"
        self._draw()
        self.refresh_bindings()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        with contextlib.suppress(ValueError):  # a line that is too long: the process is ended below
            async for line in process.stdout:
                try:
                    self.bench.hear(json.loads(line))
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    self.bench.notes.append(f"not understood: {error}")
                self._draw()
            return
        process.kill()

    async def _stop(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
            try:
                await asyncio.wait_for(process.wait(), _GRACE_S)
            except asyncio.TimeoutError:
                process.kill()

    async def _export(self) -> None:
        stem = f"{re.sub(r'[^A-Za-z0-9._-]', '_', Path(self._model).name)}-{datetime.now():%Y%m%d-%H%M%S}"
        texts = {
            "html": self.bench.html,
            "json": json.dumps(self.bench.json, indent=2) + "\n",
            "svg": picture(self.app, f"edge-phi bench {self._model}"),
        }

        def write() -> None:
            for kind, text in texts.items():
                write_bytes(Path(f"{stem}.{kind}"), text.encode())

        try:
            await asyncio.to_thread(write)
        except EdgePhiError as error:
            self.notify(one_line(str(error)), severity="error", timeout=10, markup=False)
        else:
            self.notify(f"Written: {stem}.html, .json and .svg", timeout=8, markup=False)

    # -- drawing

    def _draw(self) -> None:
        if not self.query(Table):
            return  # the screen is being left
        self.query_one("#progress", Label).update(self._progress())
        table = self.query_one(Table)
        place = table.cursor_row
        table.clear(columns=True)
        for number, column in enumerate(COLUMNS):
            mark = " ▼" if number == self._column else ""
            table.add_column(Text(f"{column.title}{mark}", justify="left" if number == 0 else "right"))
        for mark, row in zip(_MARKS, self._rows(), strict=False):
            style = "dim" if row.form == self.bench.baseline else ""
            name = Text(f"{mark} {one_line(row.form)}", style)
            figures = [Text(cell(row, column), style, justify="right") for column in COLUMNS[1:]]
            table.add_row(name, *figures)  # type: ignore[arg-type]
        table.move_cursor(row=place)
        self._draw_plots()

    def _rows(self) -> list[Row]:
        return self.bench.sorted_by(COLUMNS[self._column])

    def _progress(self) -> str:
        bench = self.bench
        if bench.failure:
            return one_line(bench.failure)
        if self.measuring:
            note = f"  ({bench.notes[-1]})" if bench.notes else ""
            return one_line(f"[{bench.done}/{bench.total}] {bench.doing}{note}" if bench.total else bench.doing + note)
        if bench.json is not None:
            return f"measured against {one_line(bench.baseline) or 'nothing: there is no full-precision form'}"
        return "Enter measures: some minutes the first time, then only what has changed"

    def _draw_plots(self) -> None:
        box = self.query_one("#plots")
        if not box.display or not box.size.height:
            return
        rows = list(zip(_MARKS, self._rows(), strict=False))
        found = [
            Point(mark, row.decode_tokens_per_s, row.kl)
            for mark, row in rows
            if row.decode_tokens_per_s is not None and row.kl is not None and row.form != self.bench.baseline
        ]
        left, right = self.query_one("#fidelity", Static), self.query_one("#memory", Static)
        plot = points(
            found, left.content_size.width, box.size.height, x_title="tokens/s",
            y_title="KL from full precision, nats (lower right is better)", least_y=_LEAST_KL,
        )  # fmt: skip
        left.update("\n".join(plot))
        memory = [(mark, row.peak_mb) for mark, row in rows if row.peak_mb is not None]
        right.update("\n".join(bars(memory, right.content_size.width, title="peak memory, MB")))


def _last_line(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read()[-4096:].decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""
