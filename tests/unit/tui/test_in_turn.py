"""Keys that are typed faster than what they open, close and focus comes about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from textual import events
from textual.app import App
from textual.keys import _character_to_key

from edge_phi.tui.app import EdgePhiApp
from edge_phi.tui.document import Document
from edge_phi.tui.engine import EngineChoice
from edge_phi.tui.screens.questions import ConfirmQuit

if TYPE_CHECKING:
    from conftest import Stage


def type_at_once(app: App[None], *keys: str) -> None:
    """As a terminal hands them over that has them all already."""
    for key in keys:
        event = events.Key(_character_to_key(key), key) if len(key) == 1 else events.Key(key, None)
        app.post_message(event)


async def test_what_is_typed_before_the_first_frame_is_typed(stage: Stage) -> None:
    class Early(EdgePhiApp):
        def on_load(self) -> None:
            type_at_once(self, *"early", "left", "x")

    app = Early(Document(), EngineChoice("nano", "onnx", "int4", stage.quantized.open), None, pause_seconds=3600)
    async with app.run_test() as stage.pilot:
        await stage.until(lambda: len(app.editor_screen.editor.document.text) == 6)
        assert app.editor_screen.editor.document.text == "earlxy"


async def test_a_path_typed_right_after_the_key_goes_into_the_prompt(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "first.py").write_text("first")
    (tmp_path / "second.py").write_text("second")
    async with stage.open(tmp_path / "first.py"):
        type_at_once(stage.app, "ctrl+o", *"second.py", "enter")
        await stage.until(lambda: stage.editor.file.name == "second.py")
        assert [editor.document.text for editor in stage.screen.files] == ["first", "second"]


async def test_what_is_looked_for_is_typed_right_after_the_key(stage: Stage) -> None:
    async with stage.open("one two"):
        type_at_once(stage.app, "ctrl+f", *"two", "escape", *"2")
        await stage.until(lambda: stage.editor.document.text == "one 2")


@pytest.mark.parametrize("answer", [["escape"], ["right", "right", "enter"]])  # by its key, by its button
async def test_what_is_typed_while_a_question_closes_goes_into_the_text(stage: Stage, answer: list[str]) -> None:
    async with stage.open(""):
        type_at_once(stage.app, "x", "ctrl+q", *answer, *"yz")
        await stage.until(lambda: stage.editor.document.text == "xyz")
        assert stage.app.is_running and stage.app.screen is stage.screen


async def test_nobody_leaves_while_a_question_is_open(stage: Stage) -> None:
    async with stage.open(""):
        type_at_once(stage.app, "x", "ctrl+q", "ctrl+q", "ctrl+q")
        await stage.until(lambda: isinstance(stage.app.screen, ConfirmQuit))
        await stage.press("escape")
        await stage.until(lambda: stage.app.screen is stage.screen)
        await stage.pilot.pause(0.05)
        assert stage.app.screen is stage.screen
