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
    for new, first, second, parse in edits:
        rows = [round(place * (document.line_count - 1)) for place in (first, second)]
        start, end = ((row, len(document[row]) // 2) for row in rows)
        document.replace_range(start, end, new)
        if parse:
            document.parse()
    document.parse()
    fresh = PythonDocument(document.text)
    fresh.parse()
    everywhere = range(document.line_count)
    assert fresh.lines == document.lines
    assert document.highlights(everywhere) == fresh.highlights(everywhere)


async def test_where_parsing_is_slow_it_waits_for_a_pause(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage.open("x = 1\n" * 50):
        document = stage.editor.document
        assert isinstance(document, PythonDocument)
        await stage.until(lambda: document.parsed)
        parses: list[str] = []
        parse = document.parse
        monkeypatch.setattr(document, "parse", lambda: parses.append(document.text) or parse())
        await stage.press("#")
        assert len(parses) <= 1 and document.parsed  # fast: at once, and once
        monkeypatch.setattr(code_view, "_AT_ONCE_SECONDS", -1.0)
        monkeypatch.setattr(code_view, "_PAUSE_SECONDS", math.inf)
        parses.clear()
        await stage.press(*"'''abc")
        assert parses == [] and not document.parsed


async def test_after_the_pause_the_colours_are_right(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_view, "_AT_ONCE_SECONDS", -1.0)
    async with stage.open("return 1\nreturn 2\n"):
        document = stage.editor.document
        assert isinstance(document, PythonDocument)
        await stage.until(lambda: document.parsed)

        def colour_of_last() -> object:
            return [one.style.color for one in stage.editor.render_line(1) if "eturn" in one.text and one.style]

        before = colour_of_last()
        stage.editor.move_cursor((1, 0))
        await stage.press("#")
        await stage.until(lambda: document.parsed and colour_of_last() != before)  # a comment now
