"""A stage for the app: two scripted sessions where the texts must be known, and a way to look at the screen."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from edge_phi.completion.decode import GREEDY, DecodeSettings, Step
from edge_phi.completion.session import Suggestion, Timing
from edge_phi.tui import policy
from edge_phi.tui.app import EdgePhiApp
from edge_phi.tui.document import Document, open_document
from edge_phi.tui.engine import WARM_UP_PROMPT, EngineChoice
from edge_phi.tui.memory import Memory
from edge_phi.tui.screens.editor import EditorScreen
from edge_phi.tui.settings import Settings
from edge_phi.tui.widgets.code_editor import CodeEditor

HOSTILE_ANSWER = "answered\x1b]52;c;b3duZWQ=\x07\x1b[2J\x9b31m\x90q\x9c\u202e\u200b\r\n\x1b]0;owned\x1b\\ here\x7f\x85"


class ScriptedSession:
    """Answers with the texts it is given, the last one for ever; holds each piece back while `gate` is shut."""

    def __init__(self, quant: str, slowness: float) -> None:
        self.quant = quant
        self.load_ms = 100.0 * slowness
        self.slowness = slowness
        self.answers: list[list[str]] = [[""]]
        self.gate = threading.Event()
        self.gate.set()
        self.stubborn = False  # does not look at the cancel event
        self.load_error: Exception | None = None
        self.prompts: list[tuple[str, str]] = []
        self.seeds: list[int] = []  # of the settings of each prompt; 0: greedy
        self.cancelled = 0
        self.closed = False

    def open(self) -> ScriptedSession:
        if self.load_error:
            raise self.load_error
        return self

    def complete(
        self,
        before: str,
        after: str = "",
        *,
        settings: DecodeSettings = GREEDY,
        cancel: threading.Event | None = None,
        on_step: Callable[[Step], None] | None = None,
    ) -> Suggestion:
        assert cancel and on_step
        if before == WARM_UP_PROMPT:
            pieces = ["warm"]
        else:
            self.prompts.append((before, after))
            self.seeds.append(settings.seed if settings.temperature else 0)
            pieces = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        finish = "stop"
        for token, piece in enumerate(pieces):
            while before != WARM_UP_PROMPT and not self.gate.wait(0.005):
                if cancel.is_set() and not self.stubborn:
                    break
            if cancel.is_set() and not self.stubborn:
                self.cancelled += 1
                finish = "cancelled"
                break
            on_step(Step(token, piece, 0))
        timing = Timing(self.load_ms, 10 * self.slowness, 50 * self.slowness, 90 / self.slowness, 212, 180)
        return Suggestion("".join(pieces), len(pieces), finish, "nano", "onnx", self.quant, timing)  # type: ignore[arg-type]

    def close(self) -> None:
        self.closed = True


class Stage:
    """The app with scripted sessions, driven by Pilot."""

    def __init__(self) -> None:
        self.quantized = ScriptedSession("int4", 1.0)
        self.baseline = ScriptedSession("float32", 3.0)
        self.app: EdgePhiApp
        self.pilot: Pilot[None]

    def say(self, *pieces: str) -> None:
        """Let both engines answer with `pieces`."""
        self.quantized.answers = [list(pieces)]
        self.baseline.answers = [list(pieces)]

    @contextlib.asynccontextmanager
    async def open(
        self,
        source: str | Path,
        size: tuple[int, int] = (80, 24),
        pause_seconds: float = 3600,
        settings: Settings | None = None,
        memory: Memory | None = None,
    ) -> AsyncIterator[Stage]:
        """Run the app on a scratch buffer with the text `source`, or on a file."""
        document = open_document(source) if isinstance(source, Path) else Document()
        if isinstance(source, str):
            document.text = document.adopt(source)
        quantized = EngineChoice("nano", "onnx", "int4", self.quantized.open)
        baseline = EngineChoice("nano", "onnx", "float32", self.baseline.open)
        self.app = EdgePhiApp(
            document, quantized, baseline, pause_seconds=pause_seconds, settings=settings, memory=memory
        )
        async with self.app.run_test(size=size, notifications=True) as self.pilot:
            await self.until(lambda: self.screen.panel.quantized.state != "loading")
            try:
                yield self
            finally:
                self.quantized.gate.set()
                self.baseline.gate.set()

    @property
    def screen(self) -> EditorScreen:
        return self.app.editor_screen

    @property
    def editor(self) -> CodeEditor:
        return self.screen.editor

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that another thread brings about."""
        for _ in range(2000):
            await self.pilot.pause()
            if condition():
                return
            await self.pilot.pause(0.005)
        pytest.fail("waited in vain")

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def ask(self, *, line: int, column: int) -> None:
        """Put the cursor at a place counted from 1, ask for a suggestion and wait until it is whole."""
        self.editor.move_cursor((line - 1, column - 1))
        await self.pilot.pause()
        await self.press("ctrl+n")
        await self.until(lambda: self.editor.ghost is None or self.editor.ghost.complete)

    def lines(self) -> list[str]:
        """What the editor shows, without line numbers."""
        gutter = self.editor.gutter_width
        rows = range(self.editor.size.height)
        return [self.editor.render_line(row).text[gutter:].rstrip() for row in rows]

    def drawn(self) -> str:
        """Everything on the screen."""
        return "\n".join(strip.text for strip in self.app.screen._compositor.render_strips())

    def messages(self) -> list[str]:
        """Notifications so far."""
        return [notification.message for notification in self.app._notifications]


@pytest.fixture(autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep what the app writes down about unsaved text out of the user's own folder."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder


@pytest.fixture(autouse=True)
def idle_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Full precision is timed without waiting for an idle machine."""
    monkeypatch.setattr(policy, "IDLE_SECONDS", 0.01)


@pytest.fixture
def stage() -> Stage:
    return Stage()
