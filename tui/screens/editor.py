"""The one screen: editors, the model's suggestion in the one that is shown, and what both engines took."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Vertical
from textual.message import Message
from textual.timer import Timer
from textual.widgets import DirectoryTree, TextArea

from edge_phi.errors import EdgePhiError

from .. import policy
from ..document import Document, open_document
from ..engine import EngineChoice
from ..journal import Journal, Unsaved, unsaved
from ..keys import bindings
from ..running import Program, doctests, lines_of
from ..widgets.code_editor import CodeEditor
from ..widgets.find_bar import FindBar
from ..widgets.key_bar import KeyBar
from ..widgets.latency_panel import LatencyPanel
from ..widgets.open_files import OpenFiles
from ..widgets.output_pane import OutputPane
from ..widgets.project_tree import ProjectTree
from ..widgets.title_bar import TitleBar
from .ask_path import OpenPath, SaveAs
from .confirm_quit import ConfirmQuit
from .recover import Recover
from .suggesting import SuggestingScreen

_UPRIGHT_PANEL = (100, 20)  # columns and lines from which the panel stands at the side
_PANEL_LINES = 14  # lines below which there is no room for it
_PALETTE_COLUMNS = 76  # columns below which the footer has room for the app's own keys only
_FLUSH_SECONDS, _EXIT_SECONDS = 2.0, 3.0  # what a signal to end may take
_JOURNAL_SECONDS = 0.5  # of typing that a power cut may cost


class EditorScreen(SuggestingScreen):
    """Edits files with two engines: the quantized one suggests, the baseline is timed on the same prompt."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("editor"), *bindings("everywhere")]

    @dataclass
    class NotKept(Message):
        """Unsaved text cannot be written down for the next start."""

        line: str

    def __init__(
        self,
        document: Document,
        quantized: EngineChoice,
        baseline: EngineChoice | None,
        *,
        pause_seconds: float = policy.PAUSE_SECONDS,
    ) -> None:
        super().__init__(quantized, baseline, pause_seconds=pause_seconds)
        self.files = OpenFiles(document)
        self._saving = asyncio.Lock()
        self._overwrite: CodeEditor | None = None  # what the user was warned of and may save all the same
        self._journal = Journal(self._not_kept)
        self._journaling: Timer | None = None

    def compose(self) -> ComposeResult:
        """Title, editor and panel, keys."""
        yield TitleBar()
        with Container(id="work"):
            with Vertical(id="desk"):
                yield self.files
                yield FindBar()
                yield OutputPane()
            yield LatencyPanel(self.quantized.model)
        yield KeyBar()

    def on_mount(self) -> None:
        """Load the quantized engine, and ask what becomes of what an earlier editor left."""
        self.panel = self.query_one(LatencyPanel)
        self.title_bar = self.query_one(TitleBar)
        self._show_title()
        self.start_engines()
        self.editor.focus()
        self.run_worker(self._offer_leftovers(), group="recover")

        if not self.app.is_headless:
            self._watch_signals()

    async def on_unmount(self) -> None:
        """Leave what is not saved for the next start, unless quitting has settled that."""
        self._write_journal()
        await asyncio.to_thread(self._journal.close, forget=False)

    def on_resize(self, event: events.Resize) -> None:
        """Stand the panel where there is room for it."""
        width, height = event.size
        self.panel.upright = width >= _UPRIGHT_PANEL[0] and height >= _UPRIGHT_PANEL[1]
        self.set_class(self.panel.upright, "-wide")
        self.panel.display = height >= _PANEL_LINES
        self.set_class(width < _PALETTE_COLUMNS, "-narrow")

    @property
    def editor(self) -> CodeEditor:
        """The one that is shown."""
        return self.files.shown

    @property
    def document(self) -> Document:
        """The file that is shown."""
        return self.editor.file

    @property
    def modified(self) -> bool:
        """Whether there is anything to save."""
        return any(editor.modified for editor in self.files)

    @on(TextArea.Changed)
    def _changed(self) -> None:
        self._show_title()
        if self._journaling is None:
            self._journaling = self.set_timer(_JOURNAL_SECONDS, self._write_journal)

    @on(TextArea.SelectionChanged)
    def _cursor_moved(self, event: TextArea.SelectionChanged) -> None:
        if event.text_area is self.editor:
            self.title_bar.place = event.selection.end

    @on(OpenFiles.Shown)
    def _file_shown(self, event: OpenFiles.Shown) -> None:
        self.title_bar.place = self.editor.selection.end
        self.query_one(FindBar).display = False
        self._show_title()
        self.refresh_bindings()

    def _show_title(self) -> None:
        self.title_bar.file_name, self.title_bar.modified = self.document.name, self.editor.modified
        self.files.rename(self.editor)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Esc closes a pane only while there is one."""
        if action == "close_pane":
            return self.is_mounted and self.query_one(OutputPane).display
        return super().check_action(action, parameters)

    # -- files

    def action_open(self) -> None:
        """Ask for a file and open it."""
        self.run_worker(self._ask_and_open(), group="open")

    def action_step_file(self, by: int) -> None:
        """Show the next open file, or the one before."""
        self.files.step(by)

    def action_close_file(self) -> None:
        """Close the file that is shown, asking first if it is not saved."""
        self.run_worker(self._close(self.editor), group="save")

    def action_toggle_tree(self) -> None:
        """Show the project's files and give them the keys; hide them if they have them."""
        trees = self.query(ProjectTree)
        if not trees:
            tree = ProjectTree((self.document.path.parent if self.document.path else Path()).resolve())
            tree.show_root = False
            self.query_one("#work").mount(tree, before=0)
            tree.focus()
        elif (tree := trees.first()).has_focus or not tree.display:
            tree.display = not tree.display
            (tree if tree.display else self.editor).focus()
        else:
            tree.focus()

    @on(DirectoryTree.FileSelected)
    def _file_chosen(self, event: DirectoryTree.FileSelected) -> None:
        self.run_worker(self.open_file(event.path), group="open")

    async def open_file(self, path: Path) -> bool:
        """Show the file at `path`, opening it if it is not; False, with a word why, if it cannot be."""
        try:
            if (editor := await asyncio.to_thread(self.files.find, path)) is not None:
                self.files.show(editor)
                return True
            document = await asyncio.to_thread(open_document, path)
        except (EdgePhiError, OSError, RuntimeError) as error:
            self.complain(str(error))
            return False
        await self.files.add(document)
        return True

    async def _ask_and_open(self) -> None:
        folder = self.document.path.parent if self.document.path else Path()
        path = await self.app.push_screen_wait(OpenPath("" if folder == Path() else f"{folder}/"))
        if path is not None:
            await self.open_file(path)

    async def _close(self, editor: CodeEditor) -> None:
        if editor.modified:
            answer = await self.app.push_screen_wait(ConfirmQuit(editor.file.name))
            if answer == "stay" or (answer == "save" and not await self.save(editor)):
                return
        self._journal.drop(editor.id or "")
        await self.files.close(editor)

    # -- finding

    def action_find(self) -> None:
        """Ask what to find."""
        self.query_one(FindBar).open("find", self.editor)

    def action_find_again(self, step: int) -> None:
        """Go to the next match of what was looked for last, or the one before."""
        bar = self.query_one(FindBar)
        if bar.wanted:
            bar.find_again(self.editor, step)
        else:
            self.action_find()

    def action_go_to_line(self) -> None:
        """Ask for a line."""
        self.query_one(FindBar).open("line", self.editor)

    # -- running

    def action_run_file(self) -> None:
        """Run the text as a script."""
        program = Program(self.document.name, self.document.true_text(self.editor.document.lines))
        self.run_worker(self._run(program), group="run", exclusive=True)

    def action_run_doctests(self) -> None:
        """Run the doctests of the function at the cursor."""
        source = self.document.true_text(self.editor.document.lines)
        try:
            program = doctests(source, self.editor.cursor_location[0])
        except EdgePhiError as error:
            self.complain(str(error))
        else:
            self.run_worker(self._run(program), group="run", exclusive=True)

    def action_close_pane(self) -> None:
        """Close what stands below the text."""
        self.query_one(OutputPane).display = False
        self.editor.focus()
        self.refresh_bindings()

    async def _run(self, program: Program) -> None:
        pane = self.query_one(OutputPane)
        pane.show(program.title, ["running…"])
        self.refresh_bindings()
        try:
            lines = await asyncio.to_thread(_run_in_sandbox, program)
        except EdgePhiError as error:
            lines = [str(error)]
        pane.show(program.title, lines)

    # -- saving

    def action_save(self) -> None:
        """Save, asking for a path where there is none."""
        if self.app.screen is self:
            self.run_worker(self.save(self.editor), group="save")

    def action_save_as(self) -> None:
        """Save as another file."""
        if self.app.screen is self:
            self.run_worker(self.save(self.editor, elsewhere=True), group="save")

    async def save(self, editor: CodeEditor | None = None, *, elsewhere: bool = False) -> bool:
        """Save in a thread of its own; False if it failed or was called off. Needs a worker: it may ask."""
        editor = editor or self.editor
        document = editor.file
        async with self._saving:
            path = document.path
            if path is None or elsewhere:
                path = await self.app.push_screen_wait(SaveAs(str(path or "")))
                if path is None:
                    return False
            elif (how := document.changed_on_disk()) and self._overwrite is not editor:
                self._overwrite = editor
                again = "overwrite it" if how == "changed" else "write it again"
                self.complain(f"{document.name} was {how} on disk: save again to {again}")
                return False
            lines = list(editor.document.lines)
            try:
                size = await asyncio.to_thread(document.save, lines, path)
            except EdgePhiError as error:
                self.complain(str(error))
                return False
            self._overwrite = None
            editor.mark_saved(lines)
            if not editor.modified:
                self._journal.drop(editor.id or "")
            self.files.rename(editor)
            self._show_title()
            self.notify(f"Saved {document.name}, {size:,} bytes", timeout=3, markup=False)
            return True

    async def may_quit(self) -> bool:
        """Ask about what is not saved; True once nothing is left to save or its loss was agreed to."""
        async with self._saving:  # one that is going on may leave nothing to ask
            left = [editor for editor in self.files if editor.modified]
        if left:
            others = f" and {len(left) - 1} more" if len(left) > 1 else ""
            answer = await self.app.push_screen_wait(ConfirmQuit(left[0].file.name + others))
            if answer == "stay":
                return False
            if answer == "save":
                for editor in left:
                    if not await self.save(editor):
                        return False
        await asyncio.to_thread(self._journal.close, forget=True)
        return True

    # -- what is not saved

    def _not_kept(self, line: str) -> None:
        """Called in the journal's thread."""
        with contextlib.suppress(RuntimeError):  # the app's loop has ended
            self.post_message(self.NotKept(line))

    @on(NotKept)
    def _tell_not_kept(self, message: NotKept) -> None:
        self.complain(message.line)

    def _write_journal(self) -> None:
        self._journaling = None
        for editor in self.files:
            if editor.modified:
                self._journal.keep(editor.id or "", _snapshot(editor))
            else:
                self._journal.drop(editor.id or "")

    def _watch_signals(self) -> None:
        if sys.platform != "win32":
            for number in (signal.SIGHUP, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, self._told_to_end, 128 + number)

    def _told_to_end(self, exit_code: int) -> None:
        """Write down what is not saved, then end; at once if the terminal, which may be gone, does not let go."""
        self._write_journal()
        self._journal.flush(_FLUSH_SECONDS)
        deadline = threading.Timer(_EXIT_SECONDS, os._exit, [exit_code])
        deadline.daemon = True
        deadline.start()
        self.app.exit(return_code=exit_code)

    async def _offer_leftovers(self) -> None:
        leftovers = await asyncio.to_thread(self._journal.leftovers)
        texts = [text for leftover in leftovers for text in leftover.texts]
        if not texts:
            return
        answer = await self.app.push_screen_wait(Recover(texts))
        if answer == "later":
            return
        if answer == "recover":
            for text in texts:
                await self._recover(text)
            self._write_journal()
            if not await asyncio.to_thread(self._journal.flush):
                return  # it is still where it was
        for leftover in leftovers:
            await asyncio.to_thread(leftover.forget)

    async def _recover(self, text: Unsaved) -> None:
        """Open the file as it is now, and put the text over it: undo shows what is on disk."""
        path = Path(text.path) if text.path else None
        try:
            document = await asyncio.to_thread(open_document, path) if path and path.exists() else None
        except EdgePhiError as error:
            self.complain(str(error))
            document = None
        if document is None:
            document = Document(path, text.newline, text.bom, text.encoding)
        editor = self.files.find(path) if path else None
        if editor is None:
            editor = await self.files.add(document)
        editor.restore(text.text)


def _snapshot(editor: CodeEditor) -> Callable[[], Unsaved]:
    """What the journal's thread turns into text, of the lines as they are now."""
    file, lines = editor.file, list(editor.document.lines)
    return lambda: unsaved(file.true_text(lines), file.path, file.newline, file.bom, file.encoding)


def _run_in_sandbox(program: Program) -> list[str]:
    from edge_phi.evaluate.sandbox import Sandbox

    with Sandbox() as sandbox:
        return lines_of(sandbox.run(program.source))
