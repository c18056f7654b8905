"""The terminal app: an editor whose model runs on this machine."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from textual import events
from textual.app import App
from textual.binding import BindingType
from textual.command import Provider
from textual.screen import ModalScreen

from . import policy
from .characters import one_line
from .commands import KeyCommands
from .document import Document
from .engine import EngineChoice
from .keys import bindings
from .race import Lender
from .screens.editor import EditorScreen
from .screens.help import HelpScreen
from .screens.race import RaceScreen
from .settings import Settings, settings_file


class EdgePhiApp(App[None]):
    """Edits one document; `quantized` suggests and `baseline` is timed beside it."""

    TITLE = "edge-phi"
    CSS_PATH = "app.tcss"
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
    ) -> None:
        chosen = self._lend(quantized, baseline)
        self.editor_screen = EditorScreen(document, *chosen, pause_seconds=pause_seconds)
        super().__init__()
        self.last_key_s = 0.0  # on Textual's clock
        settings = settings or Settings()
        self.set_keymap(settings.keymap)
        # The footer looks for this key.
        self.COMMAND_PALETTE_BINDING = settings.keymap.get("palette", self.COMMAND_PALETTE_BINDING).split(",")[0]  # type: ignore[misc]

    def get_default_screen(self) -> EditorScreen:
        """The editor, from the first frame on."""
        return self.editor_screen

    async def on_event(self, event: events.Event) -> None:
        """Note when a key comes: a suggestion's time is counted from it."""
        if isinstance(event, events.Key) and not event.is_forwarded:
            self.last_key_s = event.time
        await super().on_event(event)

    async def action_quit(self) -> None:
        """Quit, asking first when there are unsaved changes."""
        if not isinstance(self.screen, ModalScreen):
            self.run_worker(self._quit(), group="quit")

    def action_help(self) -> None:
        """Show every key there is."""
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
            self.editor_screen.lend_engines()
            self.push_screen(RaceScreen(self.lenders, before, after))

    def copy_to_clipboard(self, text: str) -> None:
        """Copy the true characters, not the editor's stand-ins."""
        super().copy_to_clipboard(self.editor_screen.document.stand_ins.restore(text))

    def _lend(self, quantized: EngineChoice, baseline: EngineChoice | None) -> tuple[EngineChoice, EngineChoice | None]:
        """The same choices, whose sessions a race can borrow."""
        self.lenders = [Lender(choice) for choice in (quantized, baseline) if choice is not None]
        chosen = [replace(lender.choice, open_session=lender.open) for lender in self.lenders]
        return chosen[0], chosen[1] if baseline is not None else None

    async def _quit(self) -> None:
        if await self.editor_screen.may_quit():
            self.exit()
