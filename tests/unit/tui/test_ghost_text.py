"""What the user sees of a suggestion, and what becomes of it at the next key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rich.cells import set_cell_size
from textual.geometry import Region

from edge_phi.tui.widgets import code_view

if TYPE_CHECKING:
    from conftest import Stage

SOURCE = "def mean(values):\n\n\nprint(mean([1, 2]))\n"
BODY = ["\n    total", " = sum(values)\n", "    return total / len(values)"]
BODY_LINES = ["def mean(values):", "    total = sum(values)", "    return total / len(values)"]


async def ghost_in(stage: Stage) -> None:
    stage.say(*BODY)
    await stage.ask(line=1, column=18)


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (160, 50), (300, 80)])
async def test_all_lines_are_drawn_below_the_cursor_and_push_the_rest_down(stage: Stage, size: tuple[int, int]) -> None:
    async with stage.open(SOURCE, size):
        await ghost_in(stage)
        assert stage.lines()[:7] == [*BODY_LINES, "", "", "print(mean([1, 2]))", ""]
        assert stage.editor.document.text == SOURCE
        numbers = [stage.editor.render_line(row).text[:3] for row in range(7)]
        assert numbers == ["1  ", "   ", "   ", "2  ", "3  ", "4  ", "5  "]


async def test_it_looks_unlike_text(stage: Stage) -> None:
    async with stage.open(SOURCE):
        await ghost_in(stage)
        styles = {
            row: {
                segment.style.italic for segment in stage.editor.render_line(row) if segment.text.strip(" 0123456789")
            }
            for row in (1, 5)
        }
        assert styles == {1: {True}, 5: {None}}


async def test_the_first_line_goes_between_what_is_left_and_right_of_the_cursor(stage: Stage) -> None:
    stage.say("values, width")
    async with stage.open("x = mean()\n" + "a" * 3):
        await stage.ask(line=1, column=10)
        assert stage.lines()[:2] == ["x = mean(values, width)", "aaa"]  # wider than any line of the document


async def test_tab_accepts_and_one_undo_takes_it_back(stage: Stage) -> None:
    async with stage.open(SOURCE):
        await stage.press("x", "backspace")
        await ghost_in(stage)
        await stage.press("tab")
        accepted = "\n".join(BODY_LINES) + SOURCE.removeprefix("def mean(values):")
        assert stage.editor.document.text == accepted
        assert stage.editor.cursor_location == (2, 30)
        assert stage.lines()[:7] == [*BODY_LINES, "", "", "print(mean([1, 2]))", ""]
        await stage.press("ctrl+z")
        assert stage.editor.document.text == SOURCE
        assert stage.editor.cursor_location == (0, 17)
        await stage.press("ctrl+y")
        assert stage.editor.document.text == accepted


async def test_words_and_lines_are_taken_one_by_one_each_undone_by_itself(stage: Stage) -> None:
    async with stage.open(SOURCE):
        await ghost_in(stage)
        await stage.press("ctrl+right")
        assert stage.editor.document.text.startswith("def mean(values):\n    total\n\n\n")
        assert stage.lines()[:3] == BODY_LINES  # the rest stays
        await stage.press("ctrl+right")
        assert stage.editor.document.text.startswith("def mean(values):\n    total =\n")
        await stage.press("shift+tab")
        assert stage.editor.document.text.startswith("def mean(values):\n    total = sum(values)\n\n\n")
        assert stage.lines()[:3] == BODY_LINES
        await stage.press("shift+tab")
        assert stage.editor.document.text == "\n".join(BODY_LINES) + SOURCE.removeprefix("def mean(values):")
        assert stage.editor.ghost is None
        texts = []
        for _ in range(4):
            await stage.press("ctrl+z")
            texts.append(stage.editor.document.text.removesuffix(SOURCE.removeprefix("def mean(values):")))
        heads = ["\n    total = sum(values)", "\n    total =", "\n    total", ""]
        assert texts == [f"def mean(values):{head}" for head in heads]


async def test_without_a_suggestion_its_keys_are_the_texts(stage: Stage) -> None:
    async with stage.open("one two"):
        await stage.press("ctrl+right", "shift+tab", "alt+n", "alt+right_square_bracket")
        assert stage.editor.cursor_location == (0, 3) and stage.editor.document.text == "one two"


async def test_what_is_right_of_the_cursor_is_drawn_after_its_last_line(stage: Stage) -> None:
    stage.say("\n    1,\n    2\t,\n")
    async with stage.open("x = f()\ny"):
        await stage.ask(line=1, column=7)
        shown = stage.lines()[:5]
        assert shown == ["x = f(", "    1,", "    2   ,", ")", "y"]
        await stage.press("tab")
        assert stage.lines()[:5] == shown  # as it was drawn, so it is
        assert stage.editor.cursor_location == (3, 0)


async def test_others_for_the_same_place_are_stepped_through(stage: Stage) -> None:
    stage.quantized.answers = [["one"], ["two"], ["two"], ["three"]]
    async with stage.open("x = "):
        await stage.ask(line=1, column=5)
        for key, shown in [
            ("alt+right_square_bracket", "two"),
            ("alt+n", "three"),  # the second answer brought nothing new
            ("alt+left_square_bracket", "two"),
            ("alt+p", "one"),
            ("alt+p", "one"),
            ("alt+n", "two"),
        ]:
            await stage.press(key)
            await stage.until(lambda shown=shown: stage.lines()[0] == f"x = {shown}")  # type: ignore[misc]
        assert stage.quantized.seeds == [0, 1, 2, 3]
        assert [before for before, _ in stage.quantized.prompts] == ["x = "] * 4
        await stage.press("tab")
        assert stage.editor.document.text == "x = two"


async def test_others_go_on_from_what_was_taken_of_the_first(stage: Stage) -> None:
    stage.quantized.answers = [["one more"], [" less"]]
    async with stage.open("x = "):
        await stage.ask(line=1, column=5)
        await stage.press("ctrl+right", "alt+n")
        await stage.until(lambda: stage.lines()[0] == "x = one less")
        assert stage.quantized.prompts[-1] == ("x = one", "")
        await stage.press("alt+p")
        assert stage.lines()[0] == "x = one more"


async def test_when_the_model_has_no_other_it_says_so_and_the_first_stays(stage: Stage) -> None:
    stage.say("one")
    async with stage.open("x = "):
        await stage.ask(line=1, column=5)
        await stage.press("alt+n")
        await stage.until(lambda: stage.messages() != [])
        assert "no other suggestion" in stage.messages()[0]
        assert stage.lines()[0] == "x = one"


async def test_another_that_comes_after_a_key_is_not_shown(stage: Stage) -> None:
    stage.quantized.answers = [["one"], ["two"]]
    stage.quantized.stubborn = True
    async with stage.open("x = "):
        await stage.ask(line=1, column=5)
        stage.quantized.gate.clear()
        await stage.press("alt+n")
        await stage.until(lambda: len(stage.quantized.prompts) == 2)
        await stage.press("o")
        stage.quantized.gate.set()
        await stage.until(lambda: "another" not in stage.screen.title_bar.state)
        assert stage.lines()[0] == "x = one" and stage.editor.document.text == "x = o"


async def test_tab_indents_where_there_is_nothing_to_accept(stage: Stage) -> None:
    async with stage.open("x"):
        await stage.press("tab")
        assert stage.editor.document.text == "    x"


async def test_escape_dismisses_it(stage: Stage) -> None:
    async with stage.open(SOURCE):
        before = stage.lines()
        await ghost_in(stage)
        await stage.press("escape")
        assert stage.editor.ghost is None
        assert stage.lines() == before
        assert stage.editor.document.text == SOURCE
        assert stage.editor.has_focus
        await stage.press("tab")  # nothing is left to accept
        assert stage.editor.document.text.startswith("def mean(values):   ")


async def test_typing_what_was_suggested_keeps_the_rest(stage: Stage) -> None:
    async with stage.open(SOURCE):
        await ghost_in(stage)
        await stage.press("enter")  # brings the indentation of the suggestion
        await stage.press(*"total")
        assert stage.editor.document.text.startswith("def mean(values):\n    total\n")
        assert stage.lines()[:3] == BODY_LINES
        await stage.press("tab")
        assert stage.editor.document.text.startswith("\n".join(BODY_LINES) + "\n\n")
        assert len(stage.quantized.prompts) == 1  # nothing was asked again


@pytest.mark.parametrize("keys", [["x"], ["backspace"], ["delete"], ["left"], ["down"], ["shift+left"], ["ctrl+z"]])
async def test_any_other_edit_or_move_drops_it(stage: Stage, keys: list[str]) -> None:
    async with stage.open(SOURCE):
        await stage.press("y", "backspace")
        await ghost_in(stage)
        await stage.press(*keys)
        assert stage.editor.ghost is None
        assert "    return total / len(values)" not in stage.lines()
        assert stage.editor.virtual_size.height == stage.editor.document.line_count


async def test_right_moves_and_does_not_accept(stage: Stage) -> None:
    stage.say("1")
    async with stage.open("x = \ny"):
        await stage.ask(line=1, column=5)
        await stage.press("right")
        assert stage.editor.document.text == "x = \ny"
        assert stage.editor.cursor_location == (1, 0)


async def test_an_answer_that_comes_too_late_is_never_shown(stage: Stage) -> None:
    stage.say("stale", " answer")
    stage.quantized.stubborn = True  # it answers although it was cancelled
    stage.quantized.gate.clear()
    async with stage.open("x = "):
        stage.editor.move_cursor((0, 4))
        await stage.press("ctrl+n")
        await stage.until(lambda: len(stage.quantized.prompts) == 1)
        await stage.press("4")
        stage.quantized.answers = [["2"]]
        await stage.press("ctrl+n")
        stage.quantized.gate.set()
        await stage.until(lambda: stage.editor.ghost is not None and stage.editor.ghost.complete)
        assert stage.lines()[0] == "x = 42"
        assert [before for before, _ in stage.quantized.prompts] == ["x = ", "x = 4"]


async def test_typing_ahead_of_a_stream_that_agrees_keeps_it(stage: Stage) -> None:
    stage.say("alpha", "beta")
    async with stage.open("x = "):
        stage.editor.move_cursor((0, 4))
        stage.quantized.gate.clear()
        await stage.press("ctrl+n")
        await stage.until(lambda: len(stage.quantized.prompts) == 1)
        stage.editor.grow_ghost(1, "alpha", complete=False)
        await stage.press("a", "l")
        stage.quantized.gate.set()
        await stage.until(lambda: stage.editor.ghost is not None and stage.editor.ghost.complete)
        assert stage.lines()[0] == "x = alphabeta"
        assert stage.quantized.cancelled == 0


async def test_at_the_bottom_the_view_scrolls_to_show_it(stage: Stage) -> None:
    async with stage.open("pass\n" * 100 + "def mean(values):", size=(60, 20)):
        stage.say(*BODY)
        await stage.ask(line=101, column=18)
        await stage.pilot.pause()
        shown = [line for line in stage.lines() if line != "pass"]
        assert shown == BODY_LINES


@pytest.mark.parametrize("answer", ["inline", "\n\tone\n\ttwo"])
async def test_a_very_long_line_is_drawn_as_any_other(
    stage: Stage, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.say(answer)
    async with stage.open("y\n" + "\tabc = 漢字\x1b" * 30 + "\nz", size=(60, 20)):
        for column in (0, 7, 150, 330):
            await stage.ask(line=2, column=column + 1)
            width = stage.editor.size.width - stage.editor.gutter_width
            plain = [set_cell_size(line, width).rstrip() for line in stage.lines()]
            with monkeypatch.context() as patch:
                patch.setattr(code_view, "_LONG_LINE", -1)
                stage.editor._line_cache.clear()
                assert [set_cell_size(line, width).rstrip() for line in stage.lines()] == plain
            stage.editor._line_cache.clear()
            await stage.press("escape")


async def test_a_click_below_it_lands_on_the_line_that_is_seen_there(stage: Stage) -> None:
    async with stage.open(SOURCE):
        await ghost_in(stage)
        await stage.pilot.click(stage.editor, offset=(stage.editor.gutter_width + 2, 5))
        assert stage.editor.cursor_location == (3, 2)


async def test_drawing_a_part_of_the_view_gives_the_same_rows(stage: Stage) -> None:
    async with stage.open("".join(f"value_{n} = {n}\n" for n in range(200))):
        stage.say(*BODY)
        await stage.ask(line=100, column=5)
        width, height = stage.editor.size
        whole = [strip.text for strip in stage.editor.render_lines(Region(0, 0, width, height))]
        parts = [stage.editor.render_lines(Region(0, row, width, 1))[0].text for row in range(height)]
        assert parts == whole


@pytest.mark.parametrize(
    ("line", "following"), [("if x:", "    "), ("\tif x: ", "\t\t"), ("    x = d[1:]", "    "), ("", "")]
)
async def test_enter_indents_after_a_colon(stage: Stage, line: str, following: str) -> None:
    async with stage.open(line):
        await stage.press("end", "enter", "y")
        assert stage.editor.document.text == f"{line}\n{following}y"


async def test_the_ends_of_the_text_have_keys(stage: Stage) -> None:
    async with stage.open("one\ntwo"):
        await stage.press("ctrl+end", "!", "ctrl+home", "?")
        assert stage.editor.document.text == "?one\ntwo!"


async def test_enter_keeps_the_indentation(stage: Stage) -> None:
    async with stage.open("    x"):
        stage.editor.move_cursor((0, 5))
        await stage.press("enter", "y")
        assert stage.editor.document.text == "    x\n    y"
