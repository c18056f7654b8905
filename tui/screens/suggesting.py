"""The part of the editor's screen that asks two engines: one suggests, the other is timed on the same prompt."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from textual import on
from textual._time import get_time
from textual.message import Message
from textual.timer import Timer
from textual.widgets import TextArea

from .. import policy
from ..alternatives import Alternatives
from ..characters import clean, one_line
from ..commands import keys_of
from ..comparison import EngineView
from ..engine import Ended, Engine, EngineChoice, Event, Finished, Loaded, LoadFailed, Progress, Stopped
from ..latency import Course, course_of
from ..widgets.code_editor import CodeEditor
from ..widgets.latency_panel import LatencyPanel
from ..widgets.title_bar import TitleBar
from .known_keys import KnownKeys

if TYPE_CHECKING:
    from edge_phi.completion.suggestion import Suggestion

_THINKING_SECONDS = 0.1  # an answer that comes sooner has nothing drawn before it, for drawing would cost it time
_SOON_SECONDS = 0.005  # before the end of a pause, that count as its end
_GHOST_ACTIONS = frozenset(["accept", "accept_word", "accept_line", "next_suggestion", "previous_suggestion"])


@dataclass(frozen=True)
class _Request:
    ticket: int
    before: str
    after: str
    key_s: float  # when the last key came, on Textual's clock
    asked_s: float


class SuggestingScreen(KnownKeys, inherit_bindings=False):
    """A screen with an editor, a panel and a title; whoever composes it calls `start_engines` once they are there."""

    panel: LatencyPanel
    title_bar: TitleBar

    @dataclass
    class Reported(Message):
        """Something happened in an engine's thread."""

        engine: Engine
        view: str  # "quantized" or "baseline"
        event: Event

    def __init__(self, quantized: EngineChoice, baseline: EngineChoice | None, *, pause_seconds: float) -> None:
        super().__init__()
        self.quantized, self.baseline = quantized, baseline  # what is chosen
        self._engines: dict[str, Engine] = {}
        self._pause_seconds = pause_seconds
        self._pause: Timer | None = None
        self._typed_s = 0.0
        self._idle: Timer | None = None
        self._request: _Request | None = None  # the one whose answer is wanted or shown
        self._alternatives: Alternatives | None = None
        self._tickets = 0
        self._load_failure = ""
        self._ended: set[str] = set()  # the views whose engine ended by itself, and waits to be started again

    @property
    def editor(self) -> CodeEditor:
        """Where suggestions go."""
        raise NotImplementedError

    # -- engines

    def start_engines(self) -> None:
        """Load the quantized engine at once; the baseline only when there is something to compare."""
        self._load_failure = ""
        self._ended.clear()
        self._engines = {"quantized": self._engine("quantized", self.quantized)}
        self.panel.quantized = EngineView(self.quantized.engine, self.quantized.quant, "loading")
        self.panel.baseline = EngineView("", "float32", "none")
        if self.baseline is not None:
            self._engines["baseline"] = self._engine("baseline", self.baseline)
            self.panel.baseline = EngineView(self.baseline.engine, self.baseline.quant)
        self.title_bar.state = f"loading {self.quantized.quant}…"
        self.call_after_refresh(self._load, self._engines["quantized"])  # the first frame comes first

    def _load(self, engine: Engine) -> None:
        if engine in self._engines.values():
            engine.start()

    async def stop_engines(self) -> None:
        """Close both engines; without blocking the loop their last reports go to."""
        engines, self._engines = list(self._engines.values()), {}
        await asyncio.gather(*(asyncio.to_thread(engine.close) for engine in engines))

    async def use_engines(self, quantized: EngineChoice, baseline: EngineChoice | None) -> None:
        """Go on with other engines; the text stays, a suggestion goes."""
        self.editor.drop_ghost()
        self._request = self._alternatives = None
        await self.stop_engines()
        self.quantized, self.baseline = quantized, baseline
        self.start_engines()

    def lend_engines(self, *, load: bool = True) -> None:
        """Stop what both engines do, and load them: somebody else is about to use their sessions, or the cores."""
        self.editor.drop_ghost()
        for engine in self._engines.values():
            engine.cancel()
            if load:
                engine.start()
        if load:
            self._start_ended()

    async def on_unmount(self) -> None:
        """Stop both engines."""
        await self.stop_engines()

    def _engine(self, view: str, choice: EngineChoice) -> Engine:
        def report(event: Event) -> None:
            try:
                self.post_message(self.Reported(engine, view, event))
            except RuntimeError:  # the app's loop ended while the thread was at work
                engine.cancel()

        engine = Engine(choice.open_session, report, f"{view} engine", ahead=choice.ahead)
        return engine

    # -- what the user does

    def action_suggest(self) -> None:
        """Ask for a suggestion at the cursor now."""
        if self._ended:
            self._start_ended()
        if self._load_failure:
            self.complain(self._load_failure)
        elif policy.worth_asking(self.editor.around_cursor()[0]):
            self._ask()
        else:
            self.notify("Type something first: there is nothing to continue", timeout=3)

    def action_accept(self) -> None:
        """Make the suggestion part of the text."""
        self.editor.accept_ghost()

    def action_accept_word(self) -> None:
        """Make the suggestion's next word part of the text."""
        self.editor.accept_ghost_word()

    def action_accept_line(self) -> None:
        """Make the suggestion's next line part of the text."""
        self.editor.accept_ghost_line()

    def action_dismiss_suggestion(self) -> None:
        """Take the suggestion away and stop the model."""
        self.editor.drop_ghost()
        self._cancel("quantized")

    def action_next_suggestion(self) -> None:
        """Show another suggestion for the same place, asking the model where none is known."""
        alternatives = self._alternatives_here()
        if alternatives is None or alternatives.ticket is not None:
            return
        text = alternatives.step(1)
        if text is None:
            alternatives.try_again()
            self._ask_another(alternatives)
        else:
            self._show(alternatives, text)

    def action_previous_suggestion(self) -> None:
        """Show the suggestion before this one."""
        alternatives = self._alternatives_here()
        if alternatives is not None and (text := alternatives.step(-1)) is not None:
            self._show(alternatives, text)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The suggestion's keys are its own only while there is one; else Tab indents."""
        if action in _GHOST_ACTIONS or action == "dismiss_suggestion":
            ghost = self.editor.ghost if self.is_mounted else None
            return ghost is not None and (action not in _GHOST_ACTIONS or bool(ghost.remaining))
        return super().check_action(action, parameters)

    @on(TextArea.Changed)
    def _typing(self) -> None:
        self._cancel("baseline")
        if self._idle is not None:
            self._idle.stop()
        self._typed_s = get_time()
        if self._pause is None:  # one timer for many keys: to make one is work
            self._pause = self.set_timer(self._pause_seconds, self._look_for_pause)

    @on(CodeEditor.GhostChanged)
    def _ghost_changed(self, event: CodeEditor.GhostChanged) -> None:
        if self._request is not None and event.lost == self._request.ticket:
            self._request = None
            if engine := self._engines.get("quantized"):
                engine.follow(*self.editor.around_cursor())  # what it makes may be what comes next
            self._cancel("baseline")
            self._be_ready()
        ghost = self.editor.ghost
        if ghost is None or ghost.remaining:  # else it may be there before its keys were
            self.refresh_bindings()

    def _look_for_pause(self) -> None:
        left = self._typed_s + self._pause_seconds - get_time()
        self._pause = self.set_timer(left, self._look_for_pause) if left > _SOON_SECONDS else None
        if self._pause is None:
            self._typing_paused()

    def _typing_paused(self) -> None:
        if self.app.screen is not self or self._load_failure or "quantized" in self._ended:
            return
        request = self._request
        if request is None:
            before, after = self.editor.around_cursor()
            if self.editor.selection.is_empty and policy.comes_by_itself(before, after):
                self._ask()
        elif self.panel.quantized.ticket == request.ticket and self.panel.baseline.ticket != request.ticket:
            self._await_idle()  # typing what was suggested had stopped it

    # -- requests

    def _ask(self) -> None:
        if "quantized" not in self._engines:
            return  # between two models
        self._tickets += 1
        self._alternatives = None
        now = get_time()
        request = self._request = _Request(
            self._tickets, *self.editor.around_cursor(), getattr(self.app, "last_key_s", now), now
        )
        self.editor.expect_ghost(request.ticket)
        self._cancel("baseline")
        self._engines["quantized"].request(request.ticket, request.before, request.after)
        if self.panel.quantized.load_ms is not None:
            self.set_timer(_THINKING_SECONDS, partial(self._tell_thinking, request))

    def _tell_thinking(self, request: _Request) -> None:
        ghost = self.editor.ghost
        if self._request is request and ghost is not None and not ghost.complete and not ghost.remaining:
            self._update_view("quantized", state="thinking")
            self.title_bar.state = "thinking…"
            self.refresh_bindings()

    def _alternatives_here(self) -> Alternatives | None:
        """Those for the place of the ghost, which begin with it; None while it is still coming."""
        ghost = self.editor.ghost
        if ghost is None or not ghost.complete:
            return None
        before, after = self.editor.around_cursor()
        known = self._alternatives
        if known is None or (known.before, known.after) != (before, after):
            known = self._alternatives = Alternatives(before, after, [ghost.remaining])
        return known

    def _ask_another(self, alternatives: Alternatives) -> None:
        self._tickets += 1
        variant = alternatives.ask(self._tickets)
        self._cancel("baseline")
        self._engines["quantized"].request(self._tickets, alternatives.before, alternatives.after, variant)
        self.title_bar.state = "another…"

    def _another_reported(self, event: Progress | Finished | Stopped, alternatives: Alternatives) -> None:
        if isinstance(event, Progress):
            return
        here = self._alternatives_here() is alternatives
        alternatives.ticket = None
        if isinstance(event, Stopped):
            self._be_ready()
            if event.line:
                self.complain(event.line)
        elif here and alternatives.answer(clean(event.suggestion.text)):
            self._show(alternatives, alternatives.texts[-1])
        elif here and not alternatives.exhausted:
            self._ask_another(alternatives)
        elif not here:
            self._be_ready()
        else:
            self.title_bar.state = "no other"
            self.notify("The model has no other suggestion here", timeout=3)

    def _show(self, alternatives: Alternatives, text: str) -> None:
        ghost = self.editor.ghost
        if ghost is not None:
            self.editor.expect_ghost(ghost.ticket)
            self.editor.grow_ghost(ghost.ticket, text, complete=True)
            self.title_bar.state = f"{alternatives.shown + 1} of {len(alternatives.texts)}"

    def _await_idle(self) -> None:
        """Time full precision once nobody has typed for a while: never at the cost of the next suggestion."""
        if self._idle is not None:
            self._idle.stop()
        self._idle = self.set_timer(policy.IDLE_SECONDS, self._time_baseline)

    def _time_baseline(self) -> None:
        request = self._request
        if request is None or self.app.screen is not self or "baseline" in self._ended:
            return
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

    @on(Reported)
    def _reported(self, message: Reported) -> None:
        view, event = message.view, message.event
        if self._engines.get(view) is not message.engine:
            return  # the last words of one that is used no more
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
            self.complain(event.line)
        elif isinstance(event, Ended):
            self._engine_ended(view, event.line)
        elif self._alternatives is not None and event.ticket == self._alternatives.ticket:
            self._another_reported(event, self._alternatives)
        elif self._request is None or event.ticket != self._request.ticket:
            if view == "baseline" and isinstance(event, Stopped):
                self._update_view(view, state="paused")
        elif view == "quantized":
            self._suggestion_reported(event, self._request, message.time)
        else:
            self._baseline_reported(event)

    def _engine_ended(self, view: str, line: str) -> None:
        """Say so, and how it is started again: not by itself, for what ended it may end the next one."""
        choice = self.quantized if view == "quantized" else self.baseline
        assert choice is not None
        self._engines[view] = self._engine(view, choice)
        self._ended.add(view)
        self._update_view(view, state="ended", load_ms=None)
        if view == "quantized":
            self._request = self._alternatives = None
            self.editor.drop_ghost()
            self.title_bar.state = "engine ended"
        key = keys_of(self.app, "suggest")[0]
        self.complain(f"{choice.quant}: {line}. The text is as it was; {key} starts it again")

    def _start_ended(self) -> None:
        """Start what has ended: the user asks for it."""
        for view in self._ended:
            self._engines[view].start()
            self._update_view(view, state="loading")
        if "quantized" in self._ended:
            self.title_bar.state = f"loading {self.quantized.quant}…"
        self._ended.clear()

    def _suggestion_reported(self, event: Progress | Finished | Stopped, request: _Request, time_s: float) -> None:
        if isinstance(event, Progress):
            self.editor.grow_ghost(request.ticket, clean(event.text), complete=False)
            self.title_bar.state = f"{event.tokens} tokens…"
        elif isinstance(event, Finished):
            suggestion = event.suggestion
            text = clean(suggestion.text)
            course = course_of(request.key_s, request.asked_s, time_s, suggestion, known=event.known)
            self._answered("quantized", request.ticket, suggestion, course)
            self.panel.add(course)
            self.title_bar.state = f"{suggestion.tokens} tokens" if text else "no suggestion"
            self.editor.grow_ghost(request.ticket, text, complete=True)
            self._await_idle()
        else:
            self._request = None
            self.editor.drop_ghost()
            self._be_ready()
            if event.line:
                self.complain(event.line)

    def _baseline_reported(self, event: Progress | Finished | Stopped) -> None:
        if isinstance(event, Progress):
            self._update_view("baseline", state=f"{event.tokens} tokens")
        elif isinstance(event, Finished):
            self._answered("baseline", event.ticket, event.suggestion)
        else:
            self._update_view("baseline", state="failed" if event.line else "paused")
            if event.line:
                self.complain(event.line)

    def _answered(self, view: str, ticket: int, suggestion: Suggestion, course: Course | None = None) -> None:
        # Which engine could load the model is known only now.
        said = {"engine": suggestion.runtime, "suggestion": suggestion, "course": course}
        self._update_view(view, state="ready", ticket=ticket, **said)

    def _update_view(self, view: str, **changes: object) -> None:
        setattr(self.panel, view, replace(getattr(self.panel, view), **changes))

    def complain(self, line: str) -> None:
        """Tell of something that went wrong, in one line."""
        self.notify(one_line(line), severity="error", timeout=10, markup=False)
