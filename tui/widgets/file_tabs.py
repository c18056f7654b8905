"""A row of tabs, one for each open file."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Tab, Tabs


class FileTabs(Tabs, can_focus=False):
    """Textual's tabs, on one line, for the mouse; the keys for them are the screen's."""

    def rename(self, id: str, label: Content) -> None:
        """Write `label` on the tab with that id, if it is there yet."""
        for tab in self.query(f"#{id}").results(Tab):
            if tab.label != label:
                tab.label = label
