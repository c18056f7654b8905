"""How screens look, at three sizes and in two themes; see tests/looks.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from looks import SIZES, THEMES, check, look

from edge_phi.tui.screens.tour import Tour

if TYPE_CHECKING:
    from conftest import Stage

SOURCE = "def mean(values):\n    # of numbers\n    return "


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
async def test_the_editor_with_a_suggestion(stage: Stage, size: tuple[int, int], theme: str) -> None:
    stage.say("sum(values) / len(values)\n\n\n", "def median(values):\n    pass")
    async with stage.open(SOURCE, size):
        stage.app.theme = theme
        stage.editor.cursor_blink = False
        await stage.ask(line=3, column=12)
        await stage.until(lambda: stage.screen.panel.baseline.suggestion is not None)
        await stage.pilot.pause(0.05)
        check(f"editor-{size[0]}x{size[1]}-{theme}", look(stage.app))


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
async def test_the_tour(stage: Stage, size: tuple[int, int], theme: str) -> None:
    async with stage.open("x = ", size):
        stage.app.theme = theme
        stage.editor.cursor_blink = False
        await stage.press("f10")
        await stage.until(lambda: isinstance(stage.app.screen, Tour) and "next word" in stage.drawn())
        await stage.pilot.pause(0.05)
        check(f"tour-{size[0]}x{size[1]}-{theme}", look(stage.app))
