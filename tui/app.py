"""The terminal app: an editor whose model runs on this machine."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import constants, events
from textual.app import App
from textual.binding import BindingType
from textual.command import Provider
from textual.filter import LineFilter
from textual.screen import ModalScreen

from edge_phi.engines import ENGINES
from edge_phi.errors import EdgePhiError
from edge_phi.store import DEFAULT_MODEL

from . import policy
from .characters import one_line
from .commands import KeyCommands
from .document import Document
from .engine import EngineChoice
from .in_turn import InTurn
from .keys import bindings
from .memory import Memory
from .no_colour import NoColour
from .priority import come_first
from .race import Lender
from .screens.editor import EditorScreen
from .settings import Settings, settings_file
from .themes import CYCLE, THEMES

if TYPE_CHECKING:
    from textual.driver import Driver

    from .screens.models import Chosen

# Who waits for an engine's process hands on what comes within this, whatever is being drawn; Python's own is 5 ms.
_SWITCH_SECONDS = 0.0005

Choose = Callable[[str, "str | None"], "tuple[EngineChoice, EngineChoice | None]"]


class EdgePhiApp(App[None]):
    """Edits one document; `quantized` suggests and `baseline` is timed beside it.

    What a screen needs is imported when it is first shown: the editor's first frame should not wait for it.
    """

    TITLE = "edge-phi"
    CSS_PATH = Path(__file__).with_name("app.tcss")  # whole, so that it is found for a class made of this one
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("everywhere")]
    COMMANDS: ClassVar[set[type[Provider]]] = {KeyCommands}  # type: ignore[assignment]

    def __init__(
        self,
        document: Document,
        quantized: EngineChoice,
        baseline: EngineChoice | None,
        *,
        pause_seconds: float = policy.PAUSE_SECONDS,
        settings: Settings | None = None,
        memory: Memory | None = None,
        model: str = DEFAULT_MODEL,
        choose: Choose | None = None,
    ) -> None:
        """Prepare; nothing is loaded yet.

        Args:
            document: what is edited first.
            quantized: what suggests.
            baseline: full precision, if there is any.
            pause_seconds: without a key before a suggestion comes by itself.
            settings: the user's.
            memory: of the last start; none: nothing is remembered, and there is no tour.
            model: what the bench measures, as `edge-phi open --model` takes it.
            choose: finds other engines by a model and the name of a form.
        """
        chosen = self._lend(quantized, baseline)
        self.editor_screen = EditorScreen(document, *chosen, pause_seconds=pause_seconds)
        super().__init__()
        self.last_key_s = 0.0  # on Textual's clock
        self._in_turn = InTurn(self, super().on_event)
        self._no_colour = NoColour(lambda: self.current_theme.dark)
        settings = settings or Settings()
        self._memory = memory or Memory(tour_seen=True)
        self._model, self._choose = model, choose
        self._written = 0  # functions so far
        for theme in THEMES:
            self.register_theme(theme)
        for name in (settings.theme, self._memory.theme):
            if name in self.available_themes:
                self.theme = name
                break
        self.set_keymap(settings.keymap)
        # The footer looks for this key.
        self.COMMAND_PALETTE_BINDING = settings.keymap.get("palette", self.COMMAND_PALETTE_BINDING).split(",")[0]  # type: ignore[misc]

    def get_driver_class(self) -> type[Driver]:
        """What reads keys and draws; in a terminal of Linux with no threads in between."""
        if sys.platform != "linux" or constants.DRIVER:
            return super().get_driver_class()
        from .terminal import TerminalDriver

        return TerminalDriver

    def get_default_screen(self) -> EditorScreen:
        """The editor, from the first frame on."""
        return self.editor_screen

    def on_mount(self) -> None:
        """Show the tour to whoever has not seen it, and remember the theme from now on."""
        sys.setswitchinterval(_SWITCH_SECONDS)
        if not self.is_headless:
            self.call_after_refresh(come_first)
        self.watch(self, "theme", self._remember_theme, init=False)
        if not gc.isenabled():
            self.call_after_refresh(_collect_from_now_on)
        if not self._memory.tour_seen:
            self._memory.tour_seen = True
            self._remember()
            self.action_tour()

    async def on_event(self, event: events.Event) -> None:
        """Note when a key comes, for a suggestion's time is counted from it, and let it have its turn."""
        if isinstance(event, (events.Key, events.Paste)) and not event.is_forwarded:
            if isinstance(event, events.Key):
                self.last_key_s = event.time
            await self._in_turn.take(event)
        else:
            await super().on_event(event)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A question is answered before one leaves."""
        if action == "quit" and isinstance(self.screen, ModalScreen):
            return False
        return super().check_action(action, parameters)

    async def action_quit(self) -> None:
        """Quit, asking first when there are unsaved changes."""
        self.run_worker(self._quit(), group="quit")

    def action_help(self) -> None:
        """Show every key there is."""
        from .screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(one_line(str(settings_file()))))

    def action_race(self) -> None:
        """Let both engines write the completion at the cursor."""
        before, after = self.editor_screen.editor.around_cursor()
        if len(self.lenders) < 2:
            self.notify("There is no full-precision form here to race against: see the models", timeout=5)
        elif not policy.worth_asking(before):
            self.notify("Type something first: there is nothing to continue", timeout=3)
        else:
            from .screens.race import RaceScreen

            self.editor_screen.lend_engines()
            self.push_screen(RaceScreen(self.lenders, before, after))

    def action_bench(self) -> None:
        """Measure every form of the model."""
        from .screens.bench import BenchScreen

        self.editor_screen.lend_engines(load=False)
        self.push_screen(BenchScreen(self._model))

    def action_models(self) -> None:
        """See what is here, and change what suggests."""
        from .screens.models import ModelsScreen

        screen = self.editor_screen
        baseline = _form(screen.baseline) if screen.baseline else ""
        self.push_screen(ModelsScreen(self._model, _form(screen.quantized), baseline), self._use)

    def action_write_function(self) -> None:
        """Ask what a function should do, and suggest one."""
        self.run_worker(self._write_function(), group="writing", exclusive=True)

    def action_tour(self) -> None:
        """Show the first things to do."""
        from .screens.tour import Tour

        self.push_screen(Tour())

    def action_next_theme(self) -> None:
        """Dark, light, high contrast."""
        place = CYCLE.index(self.theme) if self.theme in CYCLE else -1
        self.theme = CYCLE[(place + 1) % len(CYCLE)]
        self.notify(f"Theme: {self.theme}", timeout=2, markup=False)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """What the cells of every line go through; with NO_COLOR they lose their colours."""
        return [self._no_colour] if self.no_color else super().get_line_filters()

    def copy_to_clipboard(self, text: str) -> None:
        """Copy the true characters, not the editor's stand-ins."""
        super().copy_to_clipboard(self.editor_screen.document.stand_ins.restore(text))

    def _lend(self, quantized: EngineChoice, baseline: EngineChoice | None) -> tuple[EngineChoice, EngineChoice | None]:
        """The same choices, whose sessions a race can borrow."""
        self.lenders = [Lender(choice) for choice in (quantized, baseline) if choice is not None]
        chosen = [replace(lender.choice, open_session=lender.open) for lender in self.lenders]
        return chosen[0], chosen[1] if baseline is not None else None

    def _use(self, chosen: Chosen | None) -> None:
        if chosen is not None and self._choose is not None:
            self.run_worker(self._switch(chosen, self._choose), group="switch", exclusive=True)

    async def _switch(self, chosen: Chosen, choose: Choose) -> None:
        screen = self.editor_screen
        try:
            quantized, baseline = await asyncio.to_thread(choose, chosen.model, chosen.form)
        except EdgePhiError as error:
            screen.complain(str(error))
            return
        self._model = chosen.model
        await screen.use_engines(*self._lend(quantized, baseline))
        screen.panel.show_model(quantized.model)
        self.notify(f"{chosen.form} of {one_line(quantized.model)} suggests from now on", timeout=4, markup=False)

    async def _write_function(self) -> None:
        from .function_prompt import docstring_of, place_of
        from .screens.ask_request import AskRequest
        from .writing import Writing

        screen = self.editor_screen
        request = await self.push_screen_wait(AskRequest())
        if not request:
            return
        screen.lend_engines()
        editor, lender = screen.editor, self.lenders[0]
        before, after = editor.around_cursor()
        self._written += 1
        ticket = -self._written  # no request of the screen's own has it
        editor.expect_ghost(ticket)
        screen.title_bar.state = "writing…"

        def show(text: str, complete: bool) -> None:  # in the engine's thread
            self.call_later(grow, text, complete)

        def grow(text: str, complete: bool) -> None:
            if editor.ghost is None or editor.ghost.ticket != ticket:
                writing.cancel.set()
                return
            editor.grow_ghost(ticket, text, complete=complete)
            if complete:
                screen.title_bar.state = "written"

        writing = Writing(place_of(before), after, docstring_of(request), show)
        await asyncio.to_thread(lender.settled.wait)
        if lender.session is None:
            editor.drop_ghost()
            screen.complain(lender.failure)
            return
        try:
            await asyncio.to_thread(writing.run, lender.session)
        except asyncio.CancelledError:
            writing.cancel.set()
            raise
        except Exception as error:  # whatever an engine raises, the editor and its text live on
            editor.drop_ghost()
            screen.complain(str(error))

    def _remember_theme(self, theme: str) -> None:
        self._memory.theme = theme
        self._remember()

    def _remember(self) -> None:
        self.run_worker(asyncio.to_thread(self._memory.keep), group="memory")

    async def _quit(self) -> None:
        if await self.editor_screen.may_quit():
            self.exit()


def _collect_from_now_on() -> None:
    """Collect garbage, but not among what is there now: to look at all of it takes longer than a key may."""
    gc.freeze()
    gc.enable()


def _form(choice: EngineChoice) -> str:
    """What `--quant` calls it."""
    return f"{ENGINES[choice.engine].form}:{choice.quant}"
