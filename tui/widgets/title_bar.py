"""The line at the top: what is edited, whether it is saved, and what the model is doing."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from textual.reactive import reactive
from textual.widget import Widget


class TitleBar(Widget):
    """File name and modified mark on the left, the model's state and the cursor's place on the right."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"title-bar--modified", "title-bar--state"}

    file_name: reactive[str] = reactive("")
    modified: reactive[bool] = reactive(False)
    state: reactive[str] = reactive("")
    place: reactive[tuple[int, int]] = reactive((0, 0))

    def render(self) -> Text:
        """One line; where it is narrow, the file name gives way first."""
        row, column = self.place
        right = Text.assemble(
            (self.state, self.get_component_rich_style("title-bar--state", partial=True)),
            f"  {row + 1}:{column + 1} ",
        )
        mark = " ● " if self.modified else "   "
        room = max(0, self.size.width - right.cell_len - cell_len(mark) - 1)
        name = self.file_name
        if cell_len(name) > room:
            name = set_cell_size(name, max(0, room - 1)) + "…"[:room]
        left = Text.assemble(f" {name}", (mark, self.get_component_rich_style("title-bar--modified", partial=True)))
        gap = " " * max(0, self.size.width - left.cell_len - right.cell_len)
        return Text.assemble(left, gap, right, end="", no_wrap=True)
