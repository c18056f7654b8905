"""The app around the editor: engines, figures, files, questions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from textual import events
from textual.widgets import Input

from edge_phi.cli import main
from edge_phi.errors import InvalidFile
from edge_phi.tui.screens import suggesting
from edge_phi.tui.screens.ask_path import SaveAs
from edge_phi.tui.screens.questions import ConfirmQuit

if TYPE_CHECKING:
    from conftest import Stage

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\u200b\x85"


# -- suggestions


async def test_a_suggestion_comes_by_itself_after_a_pause(stage: Stage) -> None:
    stage.say("42")
    async with stage.open("", pause_seconds=0.01):
        await stage.press(*"x=")
        await stage.until(lambda: stage.lines()[0] == "x=42")


async def test_none_comes_by_itself_in_the_middle_of_a_line_or_before_anything_is_typed(stage: Stage) -> None:
    stage.say("42")
    async with stage.open("", pause_seconds=0.01):
        await stage.press("enter")
        await stage.pilot.pause(0.1)
        stage.editor.insert("call(one, two, three)")
        stage.editor.move_cursor((1, 5))
        await stage.press("x")
        await stage.pilot.pause(0.1)
        assert stage.quantized.prompts == []


@pytest.mark.parametrize("key", ["ctrl+n", "ctrl+space", "ctrl+@"])
async def test_a_key_asks_at_once_for_what_stands_left_and_right(stage: Stage, key: str) -> None:
    stage.say("42")
    async with stage.open("a\x1b\r\nb c\nd"):
        stage.editor.move_cursor((1, 1))
        await stage.press(key)
        await stage.until(lambda: stage.quantized.prompts != [])
        assert stage.quantized.prompts == [("a\x1b\nb", " c\nd")]


async def test_asking_before_anything_is_typed_says_so(stage: Stage) -> None:
    async with stage.open(""):
        await stage.press("ctrl+n")
        assert "nothing to continue" in stage.messages()[0]
        assert stage.quantized.prompts == []


async def test_the_footer_names_tab_and_escape_only_while_they_do_something(stage: Stage) -> None:
    stage.say("42")
    async with stage.open("x = ", size=(60, 20)):
        await stage.pilot.pause()
        assert "Accept" not in stage.drawn() and "Dismiss" not in stage.drawn()
        await stage.ask(line=1, column=5)
        await stage.pilot.pause()
        keys = "tab Accept ^→ Word esc Dismiss f1 Help ^q Quit"
        assert stage.drawn().splitlines()[-1].split() == keys.split()


# -- both engines


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (160, 50)])
async def test_figures_of_both_engines_stand_side_by_side(stage: Stage, size: tuple[int, int]) -> None:
    stage.say("4", "2")
    async with stage.open("x = ", size):
        await stage.ask(line=1, column=5)
        await stage.until(lambda: stage.screen.panel.baseline.suggestion is not None)
        await stage.pilot.pause()
        drawn = stage.drawn()
        for figure in ["int4", "float32", "onnx", "212", "180", "10.0 ms", "30.0 ms", "150 ms", "90.0", "3.0x"]:
            assert figure in drawn
        assert "nano" in drawn and "same text" in drawn
        assert stage.quantized.prompts == stage.baseline.prompts == [("x = ", "")]


async def test_the_baseline_runs_only_after_the_suggestion_is_shown(stage: Stage) -> None:
    stage.say("4", "2")
    stage.quantized.gate.clear()
    async with stage.open("x = "):
        stage.editor.move_cursor((0, 4))
        await stage.press("ctrl+n")
        await stage.until(lambda: stage.quantized.prompts != [])
        assert stage.baseline.prompts == []
        stage.baseline.gate.clear()
        stage.quantized.gate.set()
        await stage.until(lambda: stage.baseline.prompts != [])
        assert stage.lines()[0] == "x = 42"
        assert stage.screen.panel.quantized.suggestion is not None


async def test_typing_stops_the_baseline_and_a_pause_starts_it_again(stage: Stage) -> None:
    stage.say("4", "2")
    stage.baseline.gate.clear()
    async with stage.open("x = ", pause_seconds=0.01):
        await stage.ask(line=1, column=5)
        await stage.until(lambda: len(stage.baseline.prompts) == 1)
        await stage.press("4")  # as suggested, so the comparison still stands
        await stage.until(lambda: len(stage.baseline.prompts) == 2)
        assert stage.baseline.cancelled == 1
        stage.baseline.gate.set()
        await stage.until(lambda: stage.screen.panel.baseline.suggestion is not None)
        assert stage.baseline.prompts[1] == ("x = ", "")
        assert len(stage.quantized.prompts) == 1


async def test_keys_are_handled_while_both_engines_are_at_work(stage: Stage) -> None:
    stage.say("4", "2")
    async with stage.open("x = "):
        for session in (stage.baseline, stage.quantized):
            session.stubborn = True
        stage.baseline.gate.clear()
        await stage.ask(line=1, column=5)
        await stage.until(lambda: len(stage.baseline.prompts) == 1)
        stage.quantized.gate.clear()
        await stage.press("y", "ctrl+n")
        await stage.until(lambda: len(stage.quantized.prompts) == 2)
        await stage.press("end", *"typed", "enter", *"more")
        assert stage.editor.document.text == "x = ytyped\nmore"
        assert stage.lines()[:2] == ["x = ytyped", "more"]
        assert len(stage.baseline.prompts) == 1  # and both are still in the calls they were in
        assert not stage.quantized.gate.is_set()


async def test_keys_that_come_faster_than_they_are_handled_keep_their_order(stage: Stage, tmp_path: Path) -> None:
    stage.say("42")
    path = tmp_path / "file.py"
    path.write_text("x")
    async with stage.open(path):
        burst = ["end", "enter", "y", "backspace", "z", "left", "w", "end", "tab", "v", "ctrl+s"]
        for key in burst:
            stage.app.post_message(events.Key(key, key if len(key) == 1 else None))
        await stage.until(lambda: path.read_text() != "x")
        assert path.read_text() == "x\nwz  v"


async def test_without_a_baseline_there_is_one_column_of_figures(stage: Stage) -> None:
    stage.say("42")
    stage.baseline.load_error = InvalidFile("model.onnx: missing: get the model again")
    async with stage.open("x = "):
        await stage.ask(line=1, column=5)
        await stage.until(lambda: stage.screen.panel.baseline.state == "failed")
        assert stage.lines()[0] == "x = 42"
        assert stage.messages() == ["model.onnx: missing: get the model again"]
        await stage.ask(line=1, column=5)
        assert stage.lines()[0] == "x = 42"
        assert stage.screen.panel.baseline.state == "failed" and len(stage.messages()) == 1


async def test_a_model_that_cannot_be_loaded_leaves_an_editor(stage: Stage, tmp_path: Path) -> None:
    stage.quantized.load_error = InvalidFile("evil\x1b[2J.onnx:\ntruncated: get the model again")
    path = tmp_path / "new.py"
    async with stage.open(path, pause_seconds=0.01):
        await stage.until(lambda: stage.messages() != [])
        assert stage.messages() == ["evil␛[2J.onnx: truncated: get the model again"]
        await stage.press(*"x=1", "ctrl+s")
        await stage.until(lambda: path.exists())
        assert path.read_text() == "x=1"
        assert "no model" in stage.drawn()


# -- hostile text


async def test_no_control_character_of_a_file_is_drawn_or_lost(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / f"name{HOSTILE}.py"
    path.write_bytes(f"# {HOSTILE}\nx = 1\n".encode())
    async with stage.open(path, size=(160, 50)):
        await stage.pilot.pause()
        drawn = stage.drawn()
        assert not set(drawn) & set(HOSTILE.replace("]0;owned", "").replace("[2J", "").replace("31m", ""))
        assert "# ␛]0;owned␇␛[2J�31m���" in drawn
        await stage.press("z", "ctrl+s")
        await stage.until(lambda: path.read_bytes().startswith(b"z"))
        assert path.read_bytes() == f"z# {HOSTILE}\nx = 1\n".encode()


async def test_no_control_character_of_a_suggestion_is_drawn_or_accepted(stage: Stage) -> None:
    stage.say("1\x1b", "[31m2\u202e", "\x9b3\r\n\u200b", "4\x07")
    async with stage.open("x = "):
        await stage.ask(line=1, column=5)
        assert stage.lines()[:2] == ["x = 1[31m23", "4"]
        await stage.press("tab")
        assert stage.editor.document.text == "x = 1[31m23\n4"


async def test_copying_and_pasting_keeps_true_characters(stage: Stage) -> None:
    async with stage.open("a\x1bb"):
        await stage.press("f7", "ctrl+c")
        assert stage.app.clipboard == "a\x1bb"
        await stage.press("end", "ctrl+v")
        assert stage.screen.document.true_text(stage.editor.document.lines) == "a\x1bba\x1bb"


# -- saving


async def test_saving_keeps_newlines_and_byte_order_mark(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "file.py"
    path.write_bytes(b"\xef\xbb\xbfa = 1\r\nb = 2\r\n")
    async with stage.open(path):
        await stage.press("down", "enter", "c")
        assert "●" in stage.drawn()
        await stage.press("ctrl+s")
        await stage.until(lambda: "●" not in stage.drawn())
        assert path.read_bytes() == b"\xef\xbb\xbfa = 1\r\n\r\ncb = 2\r\n"
        assert stage.messages() == ["Saved file.py, 20 bytes"]


async def test_a_save_that_fails_is_told_and_keeps_the_text(stage: Stage, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    async with stage.open(folder / "file.py"):
        folder.rmdir()
        await stage.press("x", "ctrl+s")
        await stage.until(lambda: stage.messages() != [])
        assert "cannot be written" in stage.messages()[0]
        assert "●" in stage.drawn()
        await stage.press("y")
        assert stage.editor.document.text == "xy"


async def test_somebody_elses_change_is_overwritten_only_when_asked_twice(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "file.py"
    path.write_text("old")
    async with stage.open(path):
        path.write_text("somebody else's")
        await stage.press("x", "ctrl+s")
        await stage.until(lambda: stage.messages() != [])
        assert "changed on disk" in stage.messages()[0] and path.read_text() == "somebody else's"
        await stage.press("ctrl+s")
        await stage.until(lambda: path.read_text() == "xold")


async def test_a_scratch_buffer_asks_for_a_path(stage: Stage, tmp_path: Path) -> None:
    taken, new = tmp_path / "taken.py", tmp_path / "new.py"
    taken.write_text("precious")
    async with stage.open(""):
        await stage.press("x", "ctrl+s")
        await stage.until(lambda: isinstance(stage.app.screen, SaveAs))
        for value, hint in [(tmp_path, "is a folder"), (tmp_path / "no" / "a.py", "not exist"), (taken, "exists")]:
            stage.app.screen.query_one(Input).value = str(value)
            await stage.press("enter")
            assert hint in stage.drawn()
        assert taken.read_text() == "precious"
        stage.app.screen.query_one(Input).value = str(new)
        await stage.press("enter")
        await stage.until(lambda: "new.py" in stage.drawn())
        assert new.read_text() == "x" and stage.app.screen is stage.screen


async def test_escape_calls_the_save_off(stage: Stage) -> None:
    async with stage.open(""):
        await stage.press("x", "ctrl+s")
        await stage.until(lambda: isinstance(stage.app.screen, SaveAs))
        await stage.press("escape")
        await stage.until(lambda: stage.app.screen is stage.screen)
        assert stage.screen.modified


# -- quitting


async def test_quitting_asks_only_about_unsaved_changes(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "file.py"
    async with stage.open(path):
        await stage.press("x", "ctrl+q")
        await stage.until(lambda: isinstance(stage.app.screen, ConfirmQuit))
        await stage.press("escape")
        await stage.until(lambda: stage.app.screen is stage.screen)
        assert stage.app.is_running and stage.editor.document.text == "x"
        await stage.press("ctrl+q")
        await stage.until(lambda: isinstance(stage.app.screen, ConfirmQuit))
        await stage.press("s")
        await stage.until(lambda: not stage.app.is_running)
    assert path.read_text() == "x"
    assert stage.quantized.closed


async def test_quitting_with_nothing_to_save_just_quits(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "file.py"
    path.write_text("same")
    async with stage.open(path):
        await stage.press("x", "backspace", "ctrl+q")  # back at what is on disk
        await stage.until(lambda: not stage.app.is_running)


async def test_changes_can_be_discarded(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "file.py"
    async with stage.open(path):
        await stage.press("x", "ctrl+q")
        await stage.until(lambda: isinstance(stage.app.screen, ConfirmQuit))
        await stage.press("d")
        await stage.until(lambda: not stage.app.is_running)
    assert not path.exists()


async def test_thinking_is_shown_only_where_it_takes_a_while(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suggesting, "_THINKING_SECONDS", 3600.0)  # no answer takes that long
    stage.say("quick")
    async with stage.open("x = "):
        states: list[str] = []
        stage.app.watch(stage.screen.title_bar, "state", lambda state: states.append(state), init=False)
        await stage.ask(line=1, column=5)
        assert states[-1] == "1 tokens" and "thinking…" not in states  # drawing takes the engine's time
        await stage.press("y")
        monkeypatch.setattr(suggesting, "_THINKING_SECONDS", 0.001)
        stage.quantized.gate.clear()
        await stage.press("ctrl+n")
        await stage.until(lambda: "thinking…" in stage.drawn())


# -- looks


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light"])
async def test_code_has_colours_that_fit_the_theme(stage: Stage, theme: str) -> None:
    async with stage.open("def f():\n    return 'text'\n"):
        stage.app.theme = theme
        await stage.pilot.pause()
        stage.editor.render_lines(stage.editor.region.reset_offset)
        colours = {
            segment.text: segment.style.color.triplet
            for segment in stage.editor.render_line(1)
            if segment.style and segment.style.color and segment.style.color.triplet
        }
        keyword = sum(colours["return"])
        assert keyword > 380 if theme == "textual-dark" else keyword < 300
        assert colours["return"] != colours["'text'"]


async def test_the_panel_moves_with_the_size_of_the_terminal(stage: Stage) -> None:
    async with stage.open("x", size=(160, 50)):
        assert stage.screen.panel.region.x > 100
        await stage.pilot.resize_terminal(60, 20)
        await stage.pilot.pause()
        assert stage.screen.panel.region.x == 0 and stage.screen.panel.region.y > 10
        await stage.pilot.resize_terminal(40, 10)
        await stage.pilot.pause()
        assert not stage.screen.panel.display


# -- the command


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("folder", "is a folder"),
        ("binary.py", "binary"),
        ("latin.py", "UTF-8"),
        ("large.py", "limit"),
        ("no/file.py", "folder does not exist"),
    ],
)
def test_a_file_that_cannot_be_edited_is_refused_before_the_app_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, words: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary.py").write_bytes(b"\x00\x01")
    (tmp_path / "latin.py").write_bytes(b"# caf\xe9\n")
    (tmp_path / "large.py").write_bytes(b"#" * 20_000_000)
    assert main(["open", str(tmp_path / name)]) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1
    assert words in output.err and name in output.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--model", "no-such-model"], "no-such-model"), (["--quant", "int3"], "int3"), ([], "needs a terminal")],
)
def test_a_wrong_call_is_told_in_a_line(
    tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["open", "--model", str(tiny_checkpoint), *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
