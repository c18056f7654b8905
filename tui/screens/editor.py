"""The one screen: an editor, the model's suggestion in it, and what both engines took."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Footer, TextArea

from edge_phi.errors import EdgePhiError

from .. import policy
from ..characters import clean, one_line
from ..comparison import EngineView
from ..document import Document
from ..engine import Engine, EngineChoice, Event, Finished, Loaded, LoadFailed, Progress, Stopped
from ..keys import bindings
from ..widgets.code_editor import CodeEditor
from ..widgets.latency_panel import LatencyPanel
from ..widgets.title_bar import TitleBar
from .save_as import SaveAs

_UPRIGHT_PANEL = (100, 20)  # columns and lines from which the panel stands at the side
_PANEL_LINES = 14  # lines below which there is no room for it
_PALETTE_COLUMNS = 76  # columns below which the footer has room for the app's own keys only


@dataclass(frozen=True)
class _Request:
    ticket: int
    before: str
    after: str


class EditorScreen(Screen[None], inherit_bindings=False):
    """Edits one document with two engines: the quantized one suggests, the baseline is timed on the same prompt."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("editor"), *bindings("everywhere")]

    @dataclass
    class Reported(Message):
        """Something happened in an engine's thread."""

        view: str  # "quantized" or "baseline"
        event: Event

    def __init__(
        self,
        document: Document,
        quantized: EngineChoice,
        baseline: EngineChoice | None,
        *,
        pause_seconds: float = policy.PAUSE_SECONDS,
    ) -> None:
        super().__init__()
        self.document = document
        self._quantized, self._baseline = quantized, baseline
        self._engines = {"quantized": self._engine("quantized", quantized)}
        if baseline is not None:
            self._engines["baseline"] = self._engine("baseline", baseline)
        self._pause_seconds = pause_seconds
        self._pause: Timer | None = None
        self._request: _Request | None = None  # the one whose answer is wanted or shown
        self._tickets = 0
        self._load_failure = ""
        self._saving = asyncio.Lock()
        self._may_overwrite = False

    def compose(self) -> ComposeResult:
        """Title, editor and panel, keys."""
        yield TitleBar()
        with Container(id="work"):
            yield CodeEditor(self.document)
            yield LatencyPanel(self._quantized.model)
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Load the quantized engine at once; the baseline only when there is something to compare."""
        self.editor = self.query_one(CodeEditor)
        self.panel = self.query_one(LatencyPanel)
        self.title_bar = self.query_one(TitleBar)
        self._saved_lines = list(self.editor.document.lines)
        self.title_bar.file_name = self.document.name
        self.panel.quantized = EngineView(self._quantized.engine, self._quantized.quant, "loading")
        if self._baseline is None:
            self.panel.baseline = EngineView("", "float32", "none")
        else:
            self.panel.baseline = EngineView(self._baseline.engine, self._baseline.quant)
        self.title_bar.state = f"loading {self.panel.quantized.quant}…"
        self._engines["quantized"].start()
        self.editor.focus()

    async def on_unmount(self) -> None:
        """Stop both engines; without blocking the loop their last reports go to."""
        await asyncio.gather(*(asyncio.to_thread(engine.close) for engine in self._engines.values()))

    def on_resize(self, event: events.Resize) -> None:
        """Stand the panel where there is room for it."""
        width, height = event.size
        self.panel.upright = width >= _UPRIGHT_PANEL[0] and height >= _UPRIGHT_PANEL[1]
        self.set_class(self.panel.upright, "-wide")
        self.panel.display = height >= _PANEL_LINES
        self.set_class(width < _PALETTE_COLUMNS, "-narrow")

    @property
    def modified(self) -> bool:
        """Whether there is anything to save."""
        return self.editor.document.lines != self._saved_lines

    # -- suggestions

    def action_suggest(self) -> None:
        """Ask for a suggestion at the cursor now."""
        if self._load_failure:
            self._complain(self._load_failure)
        elif policy.worth_asking(self._prompt()[0]):
            self._ask()
        else:
            self.notify("Type something first: there is nothing to continue", timeout=3)

    def action_accept(self) -> None:
        """Make the suggestion part of the text."""
        self.editor.accept_ghost()

    def action_dismiss_suggestion(self) -> None:
        """Take the suggestion away and stop the model."""
        self.editor.drop_ghost()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Tab and Esc are for a suggestion only while there is one; else Tab indents."""
        if action in ("accept", "dismiss_suggestion"):
            ghost = self.editor.ghost if self.is_mounted else None
            return ghost is not None and (action != "accept" or bool(ghost.remaining))
        return super().check_action(action, parameters)

    @on(TextArea.Changed)
    def _text_changed(self) -> None:
        self._cancel("baseline")  # never at the cost of the next suggestion
        self.title_bar.modified = self.modified
        if self._pause is not None:
            self._pause.stop()
        self._pause = self.set_timer(self._pause_seconds, self._typing_paused)

    @on(TextArea.SelectionChanged)
    def _cursor_moved(self, event: TextArea.SelectionChanged) -> None:
        self.title_bar.place = event.selection.end

    @on(CodeEditor.GhostChanged)
    def _ghost_changed(self, event: CodeEditor.GhostChanged) -> None:
        if self._request is not None and event.lost == self._request.ticket:
            self._request = None
            self._cancel("quantized")
            self._cancel("baseline")
            self._be_ready()
        self.refresh_bindings()

    def _typing_paused(self) -> None:
        if self.app.screen is not self or self._load_failure:
            return
        request = self._request
        if request is None:
            before, after = self._prompt()
            if self.editor.selection.is_empty and policy.comes_by_itself(before, after):
                self._ask()
        elif self.panel.quantized.ticket == request.ticket and self.panel.baseline.ticket != request.ticket:
            self._time_baseline(request)  # typing what was suggested had stopped it

    def _prompt(self) -> tuple[str, str]:
        lines, (row, column) = self.editor.document.lines, self.editor.cursor_location
        before = self.document.true_text([*lines[:row], lines[row][:column]])
        return before, self.document.true_text([lines[row][column:], *lines[row + 1 :]])

    def _ask(self) -> None:
        self._tickets += 1
        request = self._request = _Request(self._tickets, *self._prompt())
        self.editor.expect_ghost(request.ticket)
        self._cancel("baseline")
        self._engines["quantized"].request(request.ticket, request.before, request.after)
        if self.panel.quantized.load_ms is not None:
            self._update_view("quantized", state="thinking")
            self.title_bar.state = "thinking…"

    def _time_baseline(self, request: _Request) -> None:
        if engine := self._engines.get("baseline"):
            state = "loading" if self.panel.baseline.load_ms is None else "running"
            self._update_view("baseline", state=state, ticket=None, suggestion=None)
            engine.request(request.ticket, request.before, request.after)

    def _cancel(self, view: str) -> None:
        if engine := self._engines.get(view):
            engine.cancel()

    def _be_ready(self) -> None:
        if self.panel.quantized.load_ms is not None and not self._load_failure:
            self._update_view("quantized", state="ready")
            self.title_bar.state = "ready"

    # -- what the engines report

    def _engine(self, view: str, choice: EngineChoice) -> Engine:
        def report(event: Event) -> None:
            try:
                self.post_message(self.Reported(view, event))
            except RuntimeError:  # the app's loop ended while the thread was at work
                self._engines[view].cancel()

        return Engine(choice.open_session, report, name=f"{view} engine", ahead=choice.ahead)

    @on(Reported)
    def _reported(self, message: Reported) -> None:
        view, event = message.view, message.event
        if isinstance(event, Loaded):
            self._update_view(view, load_ms=event.load_ms, state="ready")
            if view == "quantized":
                self.title_bar.state = "thinking…" if self._request else "ready"
        elif isinstance(event, LoadFailed):
            self._update_view(view, state="failed")
            if view == "quantized":
                self._load_failure = event.line
                self.title_bar.state = "no model"
                self.editor.drop_ghost()
            else:
                del self._engines[view]  # never asked again
            self._complain(event.line)
        elif self._request is None or event.ticket != self._request.ticket:
            if view == "baseline" and isinstance(event, Stopped):
                self._update_view(view, state="paused")
        elif view == "quantized":
            self._suggestion_reported(event, self._request)
        else:
            self._baseline_reported(event)

    def _suggestion_reported(self, event: Progress | Finished | Stopped, request: _Request) -> None:
        if isinstance(event, Progress):
            self.editor.grow_ghost(request.ticket, clean(event.text), complete=False)
            self.title_bar.state = f"{event.tokens} tokens…"
        elif isinstance(event, Finished):
            suggestion = event.suggestion
            text = clean(suggestion.text)
            self._update_view("quantized", state="ready", ticket=request.ticket, suggestion=suggestion)
            self.title_bar.state = f"{suggestion.tokens} tokens" if text else "no suggestion"
            self.editor.grow_ghost(request.ticket, text, complete=True)
            self._time_baseline(request)
        else:
            self._request = None
            self.editor.drop_ghost()
            self._be_ready()
            if event.line:
                self._complain(event.line)

    def _baseline_reported(self, event: Progress | Finished | Stopped) -> None:
        if isinstance(event, Progress):
            self._update_view("baseline", state=f"{event.tokens} tokens")
        elif isinstance(event, Finished):
            self._update_view("baseline", state="ready", ticket=event.ticket, suggestion=event.suggestion)
        else:
            self._update_view("baseline", state="failed" if event.line else "paused")
            if event.line:
                self._complain(event.line)

    def _update_view(self, view: str, **changes: object) -> None:
        setattr(self.panel, view, replace(getattr(self.panel, view), **changes))

    def _complain(self, line: str) -> None:
        self.notify(one_line(line), severity="error", timeout=10, markup=False)

    # -- saving

    def action_save(self) -> None:
        """Save, asking for a path where there is none."""
        if self.app.screen is self:
            self.run_worker(self.save(), group="save")

    async def save(self) -> bool:
        """Save in a thread of its own; False if it failed or was called off. Needs a worker: it may ask."""
        async with self._saving:
            path = self.document.path or await self.app.push_screen_wait(SaveAs())
            if path is None:
                return False
            if self.document.changed_on_disk() and not self._may_overwrite:
                self._may_overwrite = True
                self._complain(f"{self.document.name} was changed on disk: save again to overwrite it")
                return False
            lines = list(self.editor.document.lines)
            try:
                size = await asyncio.to_thread(self.document.save, lines, path)
            except EdgePhiError as error:
                self._complain(str(error))
                return False
            self._saved_lines, self._may_overwrite = lines, False
            self.title_bar.file_name, self.title_bar.modified = self.document.name, self.modified
            self.notify(f"Saved {self.document.name}, {size:,} bytes", timeout=3, markup=False)
            return True

    async def settled(self) -> bool:
        """Whether nothing is left to save, once a save that is going on has ended."""
        async with self._saving:
            return not self.modified
