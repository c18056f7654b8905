"""Unsaved text: written down, offered again, and never at the cost of what is on disk."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge_phi.errors import EdgePhiError
from edge_phi.tui import journal as journal_module
from edge_phi.tui.journal import Journal, Unsaved, unsaved
from edge_phi.tui.screens.questions import Recover

if TYPE_CHECKING:
    from conftest import Stage

HOSTILE = "\x1b[2J\u202e\ud800\x85 end"


@pytest.fixture
def reports() -> list[str]:
    return []


@pytest.fixture
def journal(tmp_path: Path, reports: list[str]) -> Iterator[Journal]:
    journal = Journal(reports.append, tmp_path)
    yield journal
    journal.close(forget=True)


def text(content: str, path: Path | None = None) -> Unsaved:
    return unsaved(content, path, "\r\n", True, "utf-8")


def after_its_end(root: Path) -> list[Unsaved]:
    """What the next start finds."""
    leftovers = Journal(print, root).leftovers()
    for leftover in leftovers:
        leftover.leave()
    return [found for leftover in leftovers for found in leftover.texts]


def test_the_newest_state_of_each_text_is_offered_once_its_editor_has_ended(journal: Journal, tmp_path: Path) -> None:
    for count in range(20):
        journal.keep("a", lambda count=count: text(f"a{count}"))  # type: ignore[misc]
    journal.keep("b", lambda: text(HOSTILE, Path("b.py")))
    journal.keep("c", lambda: text("saved soon"))
    journal.drop("c")
    assert journal.flush()
    assert after_its_end(tmp_path) == []  # it is still at work
    journal.close(forget=False)
    found = after_its_end(tmp_path)
    assert [one.text for one in found] == ["a19", HOSTILE]
    assert found[1].path == str(Path("b.py").absolute()) and (found[1].newline, found[1].bom) == ("\r\n", True)
    for leftover in Journal(print, tmp_path).leftovers():
        leftover.forget()
    assert list(tmp_path.iterdir()) == []


def test_two_editors_never_offer_the_same(journal: Journal, tmp_path: Path) -> None:
    journal.keep("a", lambda: text("precious"))
    journal.close(forget=False)
    (offered,) = Journal(print, tmp_path).leftovers()
    assert Journal(print, tmp_path).leftovers() == []
    offered.leave()  # "later"
    (offered,) = Journal(print, tmp_path).leftovers()
    offered.forget()
    assert Journal(print, tmp_path).leftovers() == [] and list(tmp_path.iterdir()) == []


def test_nobody_else_may_read_it(journal: Journal, tmp_path: Path) -> None:
    journal.keep("a", lambda: text("secret"))
    journal.flush()
    assert [folder.stat().st_mode & 0o077 for folder in tmp_path.iterdir()] == [0]


def test_what_fails_is_told_once_and_written_with_the_next(
    journal: Journal, reports: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise EdgePhiError(f"{path}: cannot be written (No space left on device): free some space")

    with monkeypatch.context() as patch:
        patch.setattr(journal_module, "write_bytes", full)
        journal.keep("a", lambda: text("first"))
        assert not journal.flush()
        journal.keep("b", lambda: text("second"))
        assert not journal.flush()
    assert len(reports) == 1 and "No space left" in reports[0] and "\n" not in reports[0]
    journal.keep("b", lambda: text("third"))
    assert journal.flush()
    journal.close(forget=False)
    assert sorted(one.text for one in after_its_end(tmp_path)) == ["first", "third"]


def test_asking_never_waits_for_the_disk(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = threading.Event()
    monkeypatch.setattr(journal_module, "write_bytes", lambda path, data: slow.wait(30))
    for _ in range(3):
        journal.keep("a", lambda: text("x"))
    slow.set()
    assert journal.flush()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"text": 1}',
        b"\xff",
        b"[" * 100_000,
        json.dumps({**vars(Unsaved("x", "a\0b", "\n", False, "utf-8", 1.0))}).encode(),
        json.dumps({**vars(Unsaved("x", "", "no newline", False, "utf-8", 1.0))}).encode(),
        json.dumps({**vars(Unsaved("x", "", "\n", False, "utf-8", float("inf")))}).encode(),
    ],
)
def test_what_no_editor_wrote_is_left_alone(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "strange"
    folder.mkdir()
    (folder / "lock").touch()
    (folder / "1.json").write_bytes(content)
    assert after_its_end(tmp_path) == []
    assert (folder / "1.json").exists()


# -- in the app


async def leave_unsaved(stage: Stage, source: str | Path, keys: str) -> None:
    """Run an editor that ends without quitting."""
    async with stage.open(source):
        await stage.pilot.pause(0.1)
        if isinstance(stage.app.screen, Recover):  # of what an earlier one left
            await stage.press("d", "escape")
            await stage.until(lambda: stage.app.screen is stage.screen)
        await stage.press(*keys)


async def test_text_that_was_not_saved_is_offered_and_undo_shows_the_file(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "file.py"
    path.write_bytes(b"old\x1b\r\n")
    await leave_unsaved(stage, path, "new")
    await leave_unsaved(stage, "", "scratch")
    assert path.read_bytes() == b"old\x1b\r\n"
    async with stage.open("other"):
        await stage.until(lambda: isinstance(stage.app.screen, Recover) and "not saved" in stage.drawn())
        drawn = stage.drawn()
        assert "file.py, 2 lines" in drawn and "scratch, 1 line" in drawn
        await stage.press("r")
        await stage.until(lambda: len(list(stage.screen.files)) == 3 and stage.app.screen is stage.screen)
        editors = list(stage.screen.files)
        texts = [editor.file.true_text(editor.document.lines) for editor in editors]
        assert texts == ["other", "newold\x1b\n", "scratch"]
        assert [editor.modified for editor in editors] == [False, True, True]
        stage.screen.files.show(editors[1])
        await stage.press("ctrl+s")
        await stage.until(lambda: path.read_bytes() == b"newold\x1b\r\n")
        await stage.press("ctrl+z")
        assert stage.editor.file.true_text(stage.editor.document.lines) == "old\x1b\n"
    async with stage.open("other"):  # what was recovered and not saved since is not lost either
        await stage.until(lambda: isinstance(stage.app.screen, Recover) and "scratch, 1" in stage.drawn())
        await stage.press("ctrl+d")
        await stage.until(lambda: stage.app.screen is stage.screen)
    async with stage.open("other"):
        await stage.pilot.pause(0.2)
        assert stage.app.screen is stage.screen


async def test_a_file_that_is_gone_comes_back_as_it_was(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "file.py"
    path.write_bytes(b"\xef\xbb\xbfold\r\n")
    await leave_unsaved(stage, path, "new")
    path.unlink()
    async with stage.open(""):
        await stage.until(lambda: isinstance(stage.app.screen, Recover))
        assert Journal(print).leftovers() == []  # nobody else offers it meanwhile
        await stage.press("escape")  # later
    async with stage.open(""):
        await stage.until(lambda: isinstance(stage.app.screen, Recover))
        await stage.press("r")
        await stage.until(lambda: stage.screen.document.path == path)
        await stage.press("ctrl+s")
        await stage.until(path.exists)
        assert path.read_bytes() == b"\xef\xbb\xbfnewold\r\n"


async def test_what_is_typed_is_written_down_soon_and_forgotten_once_saved(
    stage: Stage, tmp_path: Path, own_state: Path
) -> None:
    def written() -> list[str]:
        return [json.loads(file.read_bytes())["text"] for file in own_state.rglob("*.json")]

    async with stage.open(tmp_path / "file.py"):
        await stage.press(*"abc")
        await stage.until(lambda: written() == ["abc"])
        await stage.press("d")
        await stage.until(lambda: written() == ["abcd"])
        await stage.press("ctrl+s")
        await stage.until(lambda: written() == [])
        await stage.press("e", "ctrl+q")
        await stage.until(lambda: stage.app.screen is not stage.screen)
        await stage.press("d")
        await stage.until(lambda: not stage.app.is_running)
    assert [path for path in own_state.rglob("*") if path.is_file()] == []  # its loss was agreed to


async def test_a_full_disk_is_told_in_a_line_and_typing_goes_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, own_state: Path
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise EdgePhiError(f"{path}: cannot be written (No space left on device): free some space")

    async with stage.open(""):
        with monkeypatch.context() as patch:
            patch.setattr(journal_module, "write_bytes", full)
            await stage.press(*"abc")
            await stage.until(lambda: stage.messages() != [])
            assert len(stage.messages()) == 1 and "No space left" in stage.messages()[0]
        await stage.press("d")
        await stage.until(lambda: list(own_state.rglob("*.json")) != [])
        assert stage.editor.document.text == "abcd"
