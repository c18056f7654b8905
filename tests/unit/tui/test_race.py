"""The race: the same work for both, each with its own clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge_phi.errors import InvalidFile
from edge_phi.tui.race import Lane, outcome
from edge_phi.tui.screens.race import RaceScreen

if TYPE_CHECKING:
    from conftest import Stage


def lanes(ours: tuple[float | None, str], theirs: tuple[float | None, str], tokens: int = 5) -> tuple[Lane, Lane]:
    return (
        Lane("int4", "onnx", text=ours[1], tokens=5, total_ms=ours[0]),
        Lane("float32", "onnx", text=theirs[1], tokens=tokens, total_ms=theirs[0]),
    )


def test_the_outcome_says_who_won_by_how_much_and_whether_the_texts_agree() -> None:
    first = outcome(lanes((100.0, "a\nb"), (320.0, "a\nb")))
    assert first is not None
    assert first.verdict == "int4 won by 220 ms: 3.20x as fast"
    assert first.agreement == "both wrote the same text" and first.first_difference is None
    second = outcome(lanes((400.0, "a\nbc"), (320.0, "a\nxc"), tokens=7))
    assert second is not None
    assert second.verdict == "float32 won by 80 ms: 1.25x as fast, with 7 tokens to 5"
    assert second.agreement == "texts differ from character 3 on, in line 2" and second.first_difference == 2
    assert outcome(lanes((None, ""), (320.0, "a"))) is None


async def until_over(stage: Stage) -> RaceScreen:
    await stage.until(lambda: isinstance(stage.app.screen, RaceScreen))
    screen = stage.app.screen
    assert isinstance(screen, RaceScreen)
    await stage.until(lambda: screen.race is not None and screen.race.over and screen._frames is None)
    await stage.pilot.pause()
    return screen


@pytest.mark.parametrize("size", [(60, 20), (120, 40)])
async def test_both_write_the_same_completion_side_by_side(stage: Stage, size: tuple[int, int]) -> None:
    stage.say("4", "2")
    stage.baseline.answers = [["4", "7"]]
    async with stage.open("x = ", size):
        stage.editor.move_cursor((0, 4))
        await stage.press("f2")
        await until_over(stage)
        drawn = stage.drawn()
        assert "int4" in drawn and "float32" in drawn and "x = 42" in drawn and "x = 47" in drawn
        assert " won by " in drawn and "differ from character 2" in drawn and "★ first" in drawn
        assert stage.quantized.prompts[-1] == stage.baseline.prompts[-1] == ("x = ", "")
        count = len(stage.baseline.prompts)
        await stage.press("t")
        await stage.until(lambda: len(stage.baseline.prompts) == count + 1)
        await until_over(stage)
        assert "one after the other" in stage.drawn()
        await stage.press("escape")
        await stage.until(lambda: stage.app.screen is stage.screen)
        assert stage.editor.document.text == "x = "


async def test_leaving_stops_the_racers(stage: Stage) -> None:
    stage.say("4", "2")
    async with stage.open("x = "):
        stage.editor.move_cursor((0, 4))
        stage.quantized.gate.clear()
        stage.baseline.gate.clear()
        await stage.press("f2")
        await stage.until(lambda: len(stage.quantized.prompts) + len(stage.baseline.prompts) == 2)
        await stage.press("escape")
        await stage.until(lambda: stage.quantized.cancelled == stage.baseline.cancelled == 1)
        await stage.press("y")
        assert stage.editor.document.text == "x = y"


async def test_one_that_cannot_be_loaded_is_told_and_the_other_runs(stage: Stage) -> None:
    stage.say("42")
    stage.baseline.load_error = InvalidFile("model.onnx: missing\x1b[2J")
    async with stage.open("x = ", size=(120, 30)):
        stage.editor.move_cursor((0, 4))
        await stage.press("f2")
        await until_over(stage)
        assert "model.onnx: missing" in stage.drawn() and "x = 42" in stage.drawn() and "\x1b" not in stage.drawn()


async def test_there_is_no_race_about_nothing(stage: Stage) -> None:
    async with stage.open(""):
        await stage.press("f2")
        assert "nothing to continue" in stage.messages()[0]
        assert stage.app.screen is stage.screen
