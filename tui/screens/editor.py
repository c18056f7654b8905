"""The one screen: editors, the model's suggestion in the one that is shown, and what both engines took."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Vertical
from textual.widgets import TextArea

from edge_phi.errors import EdgePhiError

from .. import policy
from ..document import Document, open_document
from ..engine import EngineChoice
from ..keys import bindings
from ..running import Program, doctests, lines_of
from ..widgets.key_bar import KeyBar
from ..widgets.latency_panel import LatencyPanel
from ..widgets.open_files import OpenFiles
from ..widgets.title_bar import TitleBar
from .keeping import KeepingScreen

if TYPE_CHECKING:
    from textual.geometry import Size
    from textual.widgets import DirectoryTree

    from ..widgets.find_bar import FindBar
    from ..widgets.output_pane import OutputPane

_UPRIGHT_PANEL = (100, 20)  # columns and lines from which the panel stands at the side
_PANEL_LINES = 14  # lines below which there is no room for it
_PALETTE_COLUMNS = 76  # columns below which the footer has room for the app's own keys only


class EditorScreen(KeepingScreen):
    """Edits files with two engines: the quantized one suggests, the baseline is timed on the same prompt.

    What the first frame does not show is imported and made when it is first asked for.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("editor"), *bindings("everywhere")]

    def __init__(
        self,
        document: Document,
        quantized: EngineChoice,
        baseline: EngineChoice | None,
        *,
        pause_seconds: float = policy.PAUSE_SECONDS,
    ) -> None:
        super().__init__(document, quantized, baseline, pause_seconds=pause_seconds)

    def compose(self) -> ComposeResult:
        """Title, editor and panel, keys."""
        self.panel = LatencyPanel(self.quantized.model)
        self._fit(self.app.size)  # before there is anything whose style would have to be found twice
        yield TitleBar()
        with Container(id="work"):
            with Vertical(id="desk"):
                yield self.files
            yield self.panel
        yield KeyBar()

    def on_mount(self) -> None:
        """Load the quantized engine, and ask what becomes of what an earlier editor left."""
        self.title_bar = self.query_one(TitleBar)
        self.show_title()
        self.start_engines()
        self.editor.focus()
        self.watch_over_text()

    def on_resize(self, event: events.Resize) -> None:
        """Stand the panel where there is room for it."""
        self._fit(event.size)

    def _fit(self, size: Size) -> None:
        width, height = size
        self.panel.upright = width >= _UPRIGHT_PANEL[0] and height >= _UPRIGHT_PANEL[1]
        self.set_class(self.panel.upright, "-wide")
        self.panel.display = height >= _PANEL_LINES
        self.set_class(width < _PALETTE_COLUMNS, "-narrow")

    @on(TextArea.SelectionChanged)
    def _cursor_moved(self, event: TextArea.SelectionChanged) -> None:
        if event.text_area is self.editor:
            self.title_bar.place = event.selection.end

    @on(OpenFiles.Shown)
    def _file_shown(self, event: OpenFiles.Shown) -> None:
        self.title_bar.place = self.editor.selection.end
        self.query("FindBar").set(display=False)
        self.show_title()
        self.refresh_bindings()

    @on(TextArea.Changed)
    def show_title(self) -> None:
        """The shown file's name, and whether there is anything to save, in the title and on its tab."""
        self.title_bar.file_name, self.title_bar.modified = self.document.name, self.editor.modified
        self.files.rename(self.editor)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Esc closes a pane only while there is one."""
        if action == "close_pane":
            return any(pane.display for pane in self.query("OutputPane"))
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
        self.run_worker(self.close_file(self.editor), group="save")

    def action_toggle_tree(self) -> None:
        """Show the project's files and give them the keys; hide them if they have them."""
        from ..widgets.project_tree import ProjectTree

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

    def on_directory_tree_file_selected(self, event: DirectoryTree.FileSelected) -> None:
        """Open it; the method's name binds it, so that the first frame waits for no tree's module."""
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
        from .ask_path import OpenPath

        folder = self.document.path.parent if self.document.path else Path()
        path = await self.app.push_screen_wait(OpenPath("" if folder == Path() else f"{folder}/"))
        if path is not None:
            await self.open_file(path)

    def action_save(self) -> None:
        """Save, asking for a path where there is none."""
        if self.app.screen is self:
            self.run_worker(self.save(self.editor), group="save")

    def action_save_as(self) -> None:
        """Save as another file."""
        if self.app.screen is self:
            self.run_worker(self.save(self.editor, elsewhere=True), group="save")

    # -- finding

    async def action_find(self) -> None:
        """Ask what to find."""
        (await self._find_bar()).open("find", self.editor)

    async def action_find_again(self, step: int) -> None:
        """Go to the next match of what was looked for last, or the one before."""
        bar = await self._find_bar()
        if bar.wanted:
            bar.find_again(self.editor, step)
        else:
            bar.open("find", self.editor)

    async def action_go_to_line(self) -> None:
        """Ask for a line."""
        (await self._find_bar()).open("line", self.editor)

    async def _find_bar(self) -> FindBar:
        from ..widgets.find_bar import FindBar

        for bar in self.query(FindBar):
            return bar
        bar = FindBar()
        await self.query_one("#desk").mount(bar, after=self.files)
        return bar

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
        self.query("OutputPane").set(display=False)
        self.editor.focus()
        self.refresh_bindings()

    async def _output_pane(self) -> OutputPane:
        from ..widgets.output_pane import OutputPane

        for pane in self.query(OutputPane):
            return pane
        pane = OutputPane()
        await self.query_one("#desk").mount(pane)
        return pane

    async def _run(self, program: Program) -> None:
        pane = await self._output_pane()
        pane.show(program.title, ["running…"])
        self.refresh_bindings()
        try:
            lines = await asyncio.to_thread(_run_in_sandbox, program)
        except EdgePhiError as error:
            lines = [str(error)]
        pane.show(program.title, lines)


def _run_in_sandbox(program: Program) -> list[str]:
    from edge_phi.evaluate.sandbox import Sandbox

    with Sandbox() as sandbox:
        return lines_of(sandbox.run(program.source))
