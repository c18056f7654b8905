"""The colours of a text that was edited are those of the same text read anew."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_phi.tui.widgets import code_view
from edge_phi.tui.widgets.python_document import PythonDocument

if TYPE_CHECKING:
    from conftest import Stage

pieces = st.lists(st.sampled_from(["def f(x):\n", "    return 'é'\n", '"""', "# 漢 ", "if x", "\n", "\ud800", "1 + "]))
texts = pieces.map("".join)


@given(texts, st.lists(st.tuples(texts, st.floats(0, 1), st.floats(0, 1), st.booleans()), max_size=6))
@settings(deadline=None)
def test_edits_are_noted_where_they_were(text: str, edits: list[tuple[str, float, float, bool]]) -> None:
    document = PythonDocument(text)
    document.parse()
    document.colour(range(document.line_count))
    for new, first, second, parse in edits:
        rows = [round(place * (document.line_count - 1)) for place in (first, second)]
        start, end = ((row, len(document[row]) // 2) for row in rows)
        document.replace_range(start, end, new)
        assert all(0 <= row < document.line_count for row in document.colours)
        if parse:
            document.parse()
            document.colour(range(document.line_count // 2))
    document.parse()
    fresh = PythonDocument(document.text)
    fresh.parse()
    assert fresh.lines == document.lines
    for one in (document, fresh):
        one.colour(range(one.line_count))
    assert document.colours == fresh.colours


def test_colours_move_with_the_text_until_it_is_parsed() -> None:
    document = PythonDocument("x = 'a'\nreturn 1  # end\n")
    document.parse()
    document.colour(range(3))
    before = dict(document.colours)
    document.replace_range((1, 0), (1, 0), "é")  # two bytes
    assert document.colours == before | {1: tuple((a + 2, b and b + 2, name) for a, b, name in before[1])}
    document.replace_range((0, 0), (0, 0), "\n\n")
    assert document.colours[2] == before[0] and document.colours[0] == ()
    document.replace_range((0, 0), (2, 0), "")
    assert document.colours[0] == before[0] and document.colours[1][0][0] == 2


def test_a_parse_in_pieces_comes_to_the_same() -> None:
    text = "def f(x):\n    return 'a'  # b\n" * 3000
    document, whole = PythonDocument(text), PythonDocument(text)
    assert whole.parse() and not document.parse(0)  # that it has to stop shows that it can
    document.replace_range((0, 0), (0, 0), "# ")
    whole.replace_range((0, 0), (0, 0), "# ")
    while not document.parse(0.001):
        pass
    whole.parse()
    for one in (document, whole):
        one.colour(range(40))
    assert document.colours == whole.colours != {}


async def test_what_is_typed_is_drawn_before_it_is_parsed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage.open("x = 1\n" * 50):
        document = stage.editor.document
        assert isinstance(document, PythonDocument)
        await stage.until(lambda: document.parsed)
        drawn: list[str] = []
        parse, draw = document.parse, stage.editor._render_line
        monkeypatch.setattr(document, "parse", lambda seconds: drawn.append("parse") or parse(seconds))
        monkeypatch.setattr(stage.editor, "_render_line", lambda y: drawn.append(draw(y).text) or draw(y))
        await stage.press("#")
        await stage.until(lambda: document.parsed)
        typed = next(place for place, one in enumerate(drawn) if "#x = 1" in one)
        assert typed < drawn.index("parse")
        monkeypatch.setattr(code_view, "_AT_ONCE_SECONDS", -1.0)
        monkeypatch.setattr(code_view, "_PAUSE_SECONDS", math.inf)
        drawn.clear()
        await stage.press(*"'''abc")
        await stage.pilot.pause(0.1)
        assert "parse" not in drawn and not document.parsed


async def test_after_the_pause_the_colours_are_right(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_view, "_AT_ONCE_SECONDS", -1.0)
    monkeypatch.setattr(code_view, "_SLICE_SECONDS", 0.0)
    async with stage.open("return 1\nreturn 2\n" * 500):
        document = stage.editor.document
        assert isinstance(document, PythonDocument)
        await stage.until(lambda: document.parsed)

        def colour_of_second() -> object:
            return [one.style.color for one in stage.editor.render_line(1) if "eturn" in one.text and one.style]

        before = colour_of_second()
        stage.editor.move_cursor((1, 0))
        await stage.press("#")
        await stage.until(lambda: document.parsed and colour_of_second() != before)  # a comment now
