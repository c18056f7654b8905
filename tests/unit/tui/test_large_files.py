"""The work for a key does not grow with the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rich.text import Text
from textual._compositor import ChopsUpdate

from edge_phi.tui.alt_keys import AltParser
from edge_phi.tui.widgets.flat_document import FlatDocument
from edge_phi.tui.widgets.key_bar import KeyBar
from edge_phi.tui.widgets.latency_panel import LatencyPanel
from edge_phi.tui.widgets.rows_now import RowsUpdate, draw_rows

if TYPE_CHECKING:
    from conftest import Stage


@pytest.mark.parametrize("lines", [300, 20_000])  # with colours and without
async def test_a_key_draws_one_line_and_measures_one(stage: Stage, lines: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage.open("".join(f"value_{n} = compute({n}, 'text')\n" for n in range(lines))):
        editor = stage.editor
        editor.move_cursor((lines // 2, 9))
        await stage.press("x")
        drawn: list[int] = []
        measured: list[str] = []
        draw, measure = editor._render_line, FlatDocument._cells
        monkeypatch.setattr(editor, "_render_line", lambda y: drawn.append(y) or draw(y))
        monkeypatch.setattr(FlatDocument, "_cells", lambda self, line: measured.append(line) or measure(self, line))
        await stage.press("y")
        rows = set(drawn)
        assert len(rows) <= 2 and len(measured) < 20  # the cursor's line; it is measured up to the cursor as well
        assert f"value_{lines // 2}"[:9] + "xy" in "".join(stage.lines())


@pytest.mark.parametrize("lines", [300, 20_000])
async def test_a_key_draws_its_row_before_and_without_anything_else(
    stage: Stage, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage.open("".join(f"value_{n} = compute({n}, 'text')\n" for n in range(lines)), (120, 40)):
        editor, app = stage.editor, stage.app
        editor.move_cursor((lines // 2, 9))
        editor.cursor_blink = False
        await stage.press("x")
        await stage.until(lambda: editor.document.parsed and editor._colouring is None)  # colours have come
        drawn: list[object] = []
        done: list[str] = []
        monkeypatch.setattr(app, "_display", lambda screen, update: drawn.append(update))
        monkeypatch.setattr(editor.document, "parse", lambda seconds: done.append("parse") or True)
        monkeypatch.setattr(stage.screen, "_refresh_layout", lambda **_: done.append("layout"))
        monkeypatch.setattr(LatencyPanel, "render", lambda self: done.append("panel") or Text())
        monkeypatch.setattr(KeyBar, "render", lambda self: done.append("keys") or Text())
        await stage.press("y")
        await stage.pilot.pause(0.1)
        first, *others = [update for update in drawn if update is not None]
        assert isinstance(first, RowsUpdate) and set(done) <= {"parse"}
        ((_, row, strip),) = first._rows
        assert row == editor.region.y + editor._cursor_offset[1] - editor.scroll_offset.y
        assert f"value_{lines // 2}"[:9] + "xy" in strip.text
        assert all(isinstance(update, ChopsUpdate) for update in others)
        assert {row for update in others for row, _, _ in update.spans} <= {stage.screen.title_bar.region.y}


async def test_nothing_is_drawn_over_what_stands_before_the_text(stage: Stage) -> None:
    async with stage.open("x = 1\n" * 100, (120, 40)):
        stage.screen.panel.display = False
        await stage.pilot.pause()
        assert draw_rows(stage.editor, [30]) and draw_rows(stage.editor, range(38))
        stage.app.notify("something", timeout=300)
        await stage.until(lambda: bool(stage.app.screen.query("Toast")))
        await stage.pilot.pause()
        covered = stage.app.screen.query_one("Toast").region.y - stage.editor.region.y
        assert draw_rows(stage.editor, [0]) and not draw_rows(stage.editor, [0, covered])
        await stage.press("f10")
        await stage.until(lambda: stage.app.screen is not stage.screen)
        assert not draw_rows(stage.editor, [0])


def test_alt_is_kept_with_signs_as_it_is_with_letters() -> None:
    parser = AltParser()
    keys = {
        sign: [(event.key, event.character) for event in parser._sequence_to_key_events(sign, alt=True)]
        for sign in "][n"
    }
    assert keys == {
        "]": [("alt+right_square_bracket", None)],
        "[": [("alt+left_square_bracket", None)],
        "n": [("alt+n", "n")],
    }
    assert [event.key for event in parser._sequence_to_key_events("]")] == ["right_square_bracket"]
