"""The work for a key does not grow with the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge_phi.tui.alt_keys import AltParser
from edge_phi.tui.widgets.flat_document import FlatDocument

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
