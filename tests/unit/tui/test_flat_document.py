"""What the view knows of the lines is what measuring all of them would give, however they came about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from textual.document._document import Document as Lines

from edge_phi.tui.widgets.flat_document import FlatDocument

if TYPE_CHECKING:
    from conftest import Stage

texts = st.text(st.sampled_from("ab\t\n漢"), max_size=6)


@given(texts, st.lists(st.tuples(texts, st.floats(0, 1), st.floats(0, 1)), max_size=8))
@settings(deadline=None)
def test_the_widest_line_is_known_after_any_edits(text: str, edits: list[tuple[str, float, float]]) -> None:
    lines = Lines(text)
    flat = FlatDocument(lines, tab_width=4)
    for new, *places in edits:
        rows = [round(place * (lines.line_count - 1)) for place in places]
        start, end = sorted((row, len(lines[row]) // 2) for row in rows)
        if "\t" in lines.text + new and "漢" in lines.text + new:
            continue  # Textual's own measure takes a wide character before a tab for one cell
        result = lines.replace_range(start, end, new)
        flat.wrap_range(start, end, result.end_location)
        assert flat.width == lines.get_size(4).width and flat.height == lines.line_count


async def test_a_line_that_grows_can_be_scrolled_to_its_end_and_undone(stage: Stage) -> None:
    async with stage.open("short\n" * 3, size=(40, 10)):
        before = stage.editor.virtual_size
        await stage.press(*"long" * 20)
        assert stage.editor.virtual_size.width > 80 and stage.editor.scroll_offset.x > 0
        while stage.editor.document.text != "short\n" * 3:
            await stage.press("ctrl+z")
        assert stage.editor.virtual_size == before
