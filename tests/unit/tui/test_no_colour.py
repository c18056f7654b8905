"""NO_COLOR: no colours, and still one sees the cursor, what is selected and what is only suggested."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rich.segment import Segment

if TYPE_CHECKING:
    from conftest import Stage


def segments(stage: Stage) -> list[Segment]:
    return [segment for strip in stage.app.screen._compositor.render_strips() for segment in strip]


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light", "high-contrast", "high-contrast-light"])
async def test_what_colours_say_is_said_without_them(stage: Stage, monkeypatch: pytest.MonkeyPatch, theme: str) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stage.say("suggested")
    async with stage.open("def f():\n    marked\n    return ", (100, 30)):
        stage.app.theme = theme
        stage.editor.cursor_blink = False
        await stage.ask(line=3, column=12)
        await stage.pilot.pause(0.05)
        found = segments(stage)
        styles = [one.style for one in found if one.style]
        assert not any(style.color or style.bgcolor for style in styles)
        ghost = [one.style for one in found if "uggested" in one.text and one.style]
        assert ghost and all(style.dim and style.italic for style in ghost)
        assert [one.text for one in found if one.text == "s" and one.style and one.style.reverse]  # under the cursor
        assert not any(one.style and (one.style.reverse or one.style.dim) for one in found if "return" in one.text)

        stage.editor.move_cursor((1, 4))
        stage.editor.move_cursor((1, 10), select=True)
        await stage.pilot.pause(0.05)
        marked = [one.style for one in segments(stage) if "marked" in one.text and one.style]
        assert marked and all(style.reverse for style in marked)
