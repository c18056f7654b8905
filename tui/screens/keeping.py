"""The part of the editor's screen that loses no text: saving, quitting, and what an editor that was ended has left."""

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

from textual import on
from textual.message import Message
from textual.timer import Timer
from textual.widgets import TextArea

from edge_phi.errors import EdgePhiError

from ..document import Document, open_document
from ..engine import EngineChoice
from ..journal import Journal, Unsaved, unsaved
from ..widgets.code_editor import CodeEditor
from ..widgets.open_files import OpenFiles
from .suggesting import SuggestingScreen

_FLUSH_SECONDS, _EXIT_SECONDS = 2.0, 3.0  # what a signal to end may take
_JOURNAL_SECONDS = 0.5  # of typing that a power cut may cost


class KeepingScreen(SuggestingScreen):
    """A screen with open files; whoever composes it calls `watch_over_text` once they are there.

    Prompts are imported when they are shown.
    """

    @dataclass
    class NotKept(Message):
        """Unsaved text cannot be written down for the next start."""

        line: str

    def __init__(
        self, document: Document, quantized: EngineChoice, baseline: EngineChoice | None, *, pause_seconds: float
    ) -> None:
        super().__init__(quantized, baseline, pause_seconds=pause_seconds)
        self.files = OpenFiles(document)
        self._saving = asyncio.Lock()
        self._overwrite: CodeEditor | None = None  # what the user was warned of and may save all the same
        self._journal = Journal(self._not_kept)
        self._journaling: Timer | None = None

    def watch_over_text(self) -> None:
        """From now on text survives the end of the process; ask what becomes of what an earlier one left."""
        self.run_worker(self._offer_leftovers(), group="recover")
        if not self.app.is_headless:
            self._watch_signals()

    async def on_unmount(self) -> None:
        """Leave what is not saved for the next start, unless quitting has settled that."""
        self._write_journal()
        await asyncio.to_thread(self._journal.close, forget=False)

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
    def _journal_soon(self) -> None:
        if self._journaling is None:
            self._journaling = self.set_timer(_JOURNAL_SECONDS, self._write_journal)

    def show_title(self) -> None:
        """Another file is shown, or the one that is has another name or state."""
        raise NotImplementedError

    # -- saving

    async def save(self, editor: CodeEditor | None = None, *, elsewhere: bool = False) -> bool:
        """Save in a thread of its own; False if it failed or was called off. Needs a worker: it may ask."""
        editor = editor or self.editor
        document = editor.file
        async with self._saving:
            path = document.path
            if path is None or elsewhere:
                from .ask_path import SaveAs

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
            self.show_title()
            self.notify(f"Saved {document.name}, {size:,} bytes", timeout=3, markup=False)
            return True

    async def may_quit(self) -> bool:
        """Ask about what is not saved; True once nothing is left to save or its loss was agreed to."""
        async with self._saving:  # one that is going on may leave nothing to ask
            left = [editor for editor in self.files if editor.modified]
        if left:
            from .questions import ConfirmQuit

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

    async def close_file(self, editor: CodeEditor) -> None:
        """Close a file, asking first if it is not saved."""
        if editor.modified:
            from .questions import ConfirmQuit

            answer = await self.app.push_screen_wait(ConfirmQuit(editor.file.name))
            if answer == "stay" or (answer == "save" and not await self.save(editor)):
                return
        self._journal.drop(editor.id or "")
        await self.files.close(editor)

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
        from .questions import Recover

        answer = await self.app.push_screen_wait(Recover(texts))
        if answer == "recover":
            for text in texts:
                await self._recover(text)
            self._write_journal()
            if not await asyncio.to_thread(self._journal.flush):
                answer = "later"  # it is still where it was
        for leftover in leftovers:
            await asyncio.to_thread(leftover.leave if answer == "later" else leftover.forget)

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
