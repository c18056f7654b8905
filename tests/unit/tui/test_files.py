"""Several files, the project's tree, finding, and files that change underneath."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input, Tab

from edge_phi.tui.screens.ask_path import OpenPath, SaveAs
from edge_phi.tui.screens.questions import ConfirmQuit
from edge_phi.tui.widgets.file_tabs import FileTabs
from edge_phi.tui.widgets.find_bar import FindBar
from edge_phi.tui.widgets.project_tree import ProjectTree

if TYPE_CHECKING:
    from conftest import Stage


def tabs(stage: Stage) -> list[str]:
    return [tab.label_text for tab in stage.screen.query(Tab)]


async def open_by_key(stage: Stage, path: Path) -> None:
    await stage.press("ctrl+o")
    await stage.until(lambda: isinstance(stage.app.screen, OpenPath))
    stage.app.screen.query_one(Input).value = str(path)
    await stage.press("enter")
    await stage.until(lambda: stage.screen.document.path == path and stage.app.screen is stage.screen)


async def test_files_stand_in_tabs_each_with_its_own_text_and_undo(stage: Stage, tmp_path: Path) -> None:
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("1")
    two.write_text("2")
    async with stage.open(one):
        assert not any(tabs.display for tabs in stage.screen.query(FileTabs))  # one file needs none
        await stage.press("x")
        await open_by_key(stage, two)
        await stage.pilot.pause()
        assert tabs(stage) == ["one.py ●", "two.py"] and "one.py ●" in stage.drawn()
        await stage.press("y")
        assert stage.editor.document.text == "y2"
        await stage.press("ctrl+pagedown")
        assert stage.editor.document.text == "x1" and "one.py" in stage.drawn().splitlines()[0]
        await stage.press("ctrl+z", "ctrl+z")
        assert stage.editor.document.text == "1"
        await stage.press("ctrl+pageup", "ctrl+s")
        await stage.until(lambda: two.read_text() == "y2")
        assert one.read_text() == "1" and tabs(stage) == ["one.py", "two.py"]
        await stage.pilot.click(stage.screen.query(Tab).first())
        await stage.until(lambda: stage.screen.document.path == one)


async def test_a_file_that_is_open_is_shown_not_opened_again(stage: Stage, tmp_path: Path) -> None:
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("1")
    async with stage.open(one):
        await open_by_key(stage, two)
        await open_by_key(stage, one)
        assert len(list(stage.screen.files)) == 2


async def test_an_empty_scratch_text_makes_room_and_the_last_file_leaves_one(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    path.write_text("1")
    async with stage.open(""):
        await open_by_key(stage, path)
        await stage.until(lambda: tabs(stage) == ["one.py"])
        await stage.press("x", "ctrl+w")
        await stage.until(lambda: isinstance(stage.app.screen, ConfirmQuit))
        await stage.press("d")
        await stage.until(lambda: tabs(stage) == ["scratch"])
        assert path.read_text() == "1" and stage.editor.document.text == "" and stage.editor.has_focus


async def test_a_file_that_cannot_be_opened_is_told_in_a_line(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "binary.py").write_bytes(b"\0")
    async with stage.open("x"):
        assert not await stage.screen.open_file(tmp_path / "binary.py")
        await stage.until(lambda: stage.messages() != [])
        assert "binary" in stage.messages()[0] and stage.editor.document.text == "x"


async def test_a_suggestion_does_not_follow_to_another_file(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "two.py"
    stage.say("42")
    async with stage.open("x = "):
        await stage.ask(line=1, column=5)
        first = stage.editor
        await open_by_key(stage, path)
        assert first.ghost is None
        await stage.press("tab")
        assert stage.editor.document.text == "    " and first.document.text == "x = "


async def test_the_path_is_completed_from_the_folder(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "evil\x1b[2J").write_text("")
    (tmp_path / "module.py").write_text("1")
    async with stage.open("x"):
        await stage.press("ctrl+o")
        await stage.until(lambda: isinstance(stage.app.screen, OpenPath))
        asked = stage.app.screen.query_one(Input)
        for start, goes_on in [("mo", "module.py"), ("ev", None)]:
            asked.value = f"{tmp_path}/{start}"
            await stage.pilot.pause(0.05)
            assert asked._suggestion == ("" if goes_on is None else f"{tmp_path}/{goes_on}")


async def test_the_project_tree_opens_files_and_shows_no_control_characters(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "main.py"
    path.write_text("1")
    (tmp_path / "evil\x1b[2J[b].py").write_text("2")
    (tmp_path / ".git").mkdir()
    async with stage.open(path, size=(100, 30)):
        await stage.press("ctrl+b")
        await stage.until(lambda: "main.py" in "".join(stage.drawn().splitlines()[1:]))
        drawn = stage.drawn()
        assert "evil␛[2J[b].py" in drawn and "\x1b" not in drawn and ".git" not in drawn
        tree = stage.screen.query_one(ProjectTree)
        assert tree.has_focus
        await stage.press("down", "enter")  # files in the order of their names
        await stage.until(lambda: stage.editor.document.text == "2")
        await stage.press("ctrl+b", "ctrl+b")
        assert not tree.display and stage.editor.has_focus


# -- finding


async def test_finding_goes_on_while_typing_and_around_the_end(stage: Stage) -> None:
    async with stage.open("alpha\nBeta alpha\nalpha\n"):
        stage.editor.move_cursor((0, 3))
        await stage.press("ctrl+f", *"alp")
        assert stage.editor.selection == ((1, 5), (1, 8))
        assert "2 of 3" in stage.drawn()
        await stage.press("enter")
        assert stage.editor.selection.start == (2, 0)
        await stage.press("down")
        assert stage.editor.selection.start == (0, 0)
        await stage.press("up", "escape")
        assert stage.editor.selection.start == (2, 0) and stage.editor.has_focus
        await stage.press("f3")
        assert stage.editor.selection.start == (0, 0)
        await stage.press("f4")
        assert stage.editor.selection.start == (2, 0)
        await stage.press("ctrl+f", "ctrl+a", *"zeta")
        assert "not found" in stage.drawn()


async def test_what_is_selected_is_what_to_find(stage: Stage) -> None:
    async with stage.open("one two\none"):
        await stage.press("ctrl+shift+right", "ctrl+f")
        assert stage.screen.query_one(FindBar).query_one(Input).value == "one"
        await stage.press("enter")
        assert stage.editor.selection.start == (1, 0)


@pytest.mark.parametrize(("typed", "cursor"), [("3", (2, 0)), ("2:3", (1, 2)), ("99", (3, 0)), ("2:99", (1, 5))])
async def test_go_to_line(stage: Stage, typed: str, cursor: tuple[int, int]) -> None:
    async with stage.open("one\ntwo!!\nthree\n"):
        await stage.press("ctrl+g", *typed.replace(":", ""))
        stage.screen.query_one(FindBar).query_one(Input).value = typed
        await stage.press("enter")
        assert stage.editor.cursor_location == cursor and stage.editor.has_focus


async def test_no_line_is_told(stage: Stage) -> None:
    async with stage.open("one"):
        await stage.press("ctrl+g", "x", "enter")
        assert "write 12 or 12:5" in stage.drawn()


# -- on disk


async def test_a_file_that_vanished_is_written_again_only_when_asked_twice(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "file.py"
    path.write_text("old")
    async with stage.open(path):
        path.unlink()
        await stage.press("x", "ctrl+s")
        await stage.until(lambda: stage.messages() != [])
        assert "deleted on disk: save again" in stage.messages()[0] and not path.exists()
        await stage.press("ctrl+s")
        await stage.until(lambda: path.exists() and path.read_text() == "xold")


async def test_a_read_only_file_is_told_and_can_be_saved_elsewhere(stage: Stage, tmp_path: Path) -> None:
    path, other = tmp_path / "file.py", tmp_path / "other.py"
    path.write_text("old")
    path.chmod(0o444)
    async with stage.open(path):
        await stage.press("x", "ctrl+s")
        await stage.until(lambda: stage.messages() != [])
        assert "is read-only" in stage.messages()[0] and path.read_text() == "old" and stage.screen.modified
        await stage.press("alt+s")
        await stage.until(lambda: isinstance(stage.app.screen, SaveAs))
        stage.app.screen.query_one(Input).value = str(other)
        await stage.press("enter")
        await stage.until(lambda: other.exists())
        assert other.read_text() == "xold" and stage.screen.document.path == other
        await stage.until(lambda: not stage.screen.modified)


async def test_quitting_asks_about_every_file(stage: Stage, tmp_path: Path) -> None:
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    async with stage.open(one):
        await stage.press("1")
        await open_by_key(stage, two)
        await stage.press("2", "ctrl+q")
        await stage.until(lambda: isinstance(stage.app.screen, ConfirmQuit))
        assert "one.py and 1 more" in stage.drawn()
        await stage.press("s")
        await stage.until(lambda: not stage.app.is_running)
    assert one.read_text() == "1" and two.read_text() == "2"
