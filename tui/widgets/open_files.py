"""Every open file in an editor of its own, one of them shown, with a row of tabs once there are two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import ContentSwitcher

from ..document import Document
from .code_editor import CodeEditor

if TYPE_CHECKING:
    from textual.widgets import Tab, Tabs

    from .file_tabs import FileTabs


class OpenFiles(Vertical):
    """Never empty: when the last file is closed, there is a scratch text. The tabs are made for the second file."""

    @dataclass
    class Shown(Message):
        """Another editor is the one that is shown."""

        editor: CodeEditor

    def __init__(self, document: Document) -> None:
        super().__init__()
        self._number = 1
        self._order = [CodeEditor(document, id="file-1")]  # as the tabs stand
        self._shown = self._order[0]
        self._tabs: FileTabs | None = None

    def compose(self) -> ComposeResult:
        """The editors, of which one is shown."""
        with ContentSwitcher(initial=self._shown.id):
            yield self._shown

    @property
    def shown(self) -> CodeEditor:
        """The editor that is shown."""
        return self._shown

    def __iter__(self) -> Iterator[CodeEditor]:  # type: ignore[override]
        return iter(tuple(self._order))

    def find(self, path: Path) -> CodeEditor | None:
        """The editor of the file at `path`, if it is open."""
        wanted = path.resolve()
        return next((editor for editor in self if editor.file.path and editor.file.path.resolve() == wanted), None)

    async def add(self, document: Document) -> CodeEditor:
        """Open an editor for `document` and show it; an untouched scratch text makes room."""
        idle = self._shown if len(self._order) == 1 and self._shown.untouched else None
        self._number += 1
        editor = CodeEditor(document, id=f"file-{self._number}")
        self._order.append(editor)
        await self.query_one(ContentSwitcher).mount(editor)
        if self._tabs is None:
            from .file_tabs import FileTabs

            self._tabs = FileTabs(*map(self._tab, self._order))
            await self.mount(self._tabs, before=0)
        else:
            await self._tabs.add_tab(self._tab(editor))
        self.show(editor)
        if idle is not None:
            await self.close(idle)
        self._show_tabs()
        return editor

    async def close(self, editor: CodeEditor) -> None:
        """Close an editor, whatever is in it."""
        if len(self._order) == 1:
            await self.add(Document())
        place = self._order.index(editor)
        self._order.remove(editor)
        if editor is self._shown:
            self.show(self._order[min(place, len(self._order) - 1)])
        if self._tabs is not None:
            await self._tabs.remove_tab(editor.id)
        await editor.remove()
        self._show_tabs()

    def show(self, editor: CodeEditor) -> None:
        """Show `editor` and give it the keys."""
        if editor is not self._shown:
            self._shown.drop_ghost()
        self._shown = editor
        self.query_one(ContentSwitcher).current = editor.id
        if self._tabs is not None:
            self._tabs.active = editor.id or ""
        self.post_message(self.Shown(editor))
        editor.focus()

    def step(self, by: int) -> None:
        """Show the next file in the order of the tabs, or the one before; around the ends."""
        self.show(self._order[(self._order.index(self._shown) + by) % len(self._order)])

    def rename(self, editor: CodeEditor) -> None:
        """Write the name and the mark of `editor` on its tab."""
        if self._tabs is not None:
            self._tabs.rename(editor.id or "", self._label(editor))

    def on_tabs_tab_activated(self, event: Tabs.TabActivated) -> None:
        """A click on a tab; the method's name binds it, so that the first frame waits for no tabs' module."""
        event.stop()
        editor = next((editor for editor in self if editor.id == event.tab.id), None)
        if editor is not None and editor is not self._shown and event.tabs.active == event.tab.id:
            self.show(editor)

    def _show_tabs(self) -> None:
        if self._tabs is not None:
            self._tabs.display = len(self._order) > 1

    def _tab(self, editor: CodeEditor) -> Tab:
        from textual.widgets import Tab

        return Tab(self._label(editor), id=editor.id)

    def _label(self, editor: CodeEditor) -> Content:
        return Content(f"{editor.file.name}{' ●' if editor.modified else ''}")
