"""From a request in words to a function that the model continues."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.widgets import Input

from edge_phi.errors import EdgePhiError
from edge_phi.tui.function_prompt import docstring_of, head_of, place_of, signature_of, signature_prompt
from edge_phi.tui.screens.ask_request import AskRequest

if TYPE_CHECKING:
    from conftest import Stage


@pytest.mark.parametrize(
    ("request_", "docstring"),
    [
        ("write a function that returns the mean of a list", "Return the mean of a list."),
        ("Please write me a Python function which counts vowels.", "Count vowels."),
        ("a function to reverse a string", "Reverse a string."),
        ("applies a discount", "Apply a discount."),
        ("matches two words", "Match two words."),
        ("pass the ball", "Pass the ball."),
        ("does it", "Do it."),
        ('says """hi"""', "Say '''hi'''."),
    ],
)
def test_a_request_becomes_a_docstring(request_: str, docstring: str) -> None:
    assert docstring_of(request_) == docstring


def test_the_model_gives_name_and_parameters() -> None:
    assert signature_of("mean(values):\n    return 1\n", "Return the mean.") == "def mean(values):"
    assert signature_of("mean(v: list[int]) -> float: ...", "Return the mean.") == "def mean(v: list[int]) -> float:"
    for broken in ("", "mean(values", "1x():", "a", "a(): b(:"):
        assert signature_of(broken, "Return the mean of a list.") == "def return_mean_list(value):"


def test_a_function_stands_at_the_cursor_or_below_its_line() -> None:
    inside, below = place_of("class A:\n    "), place_of("x = 1")
    assert (inside.lead, inside.indentation) == ("", "    ")
    assert (below.lead, below.indentation) == ("\n\n\n", "")
    assert signature_prompt(below, "Add.") == "x = 1\n\n\n# Add.\ndef "
    assert head_of(inside, "def f(self):", "Add.") == 'def f(self):\n        """Add."""\n        '


@given(st.text())
def test_any_request_makes_a_head_that_is_python(request_: str) -> None:
    docstring = docstring_of(request_)
    place = place_of("")
    head = head_of(place, signature_of(request_, docstring), docstring)
    try:
        tree = ast.parse(head.replace("\x00", "") + "pass\n")
    except ValueError as error:  # lone surrogates are no source text, and no input gives them
        assert "surrogates" in str(error)
    else:
        assert isinstance(tree.body[0], ast.FunctionDef)


async def write(stage: Stage, request: str) -> None:
    await stage.press("ctrl+t")
    await stage.until(lambda: isinstance(stage.app.screen, AskRequest))
    stage.app.screen.query_one(Input).value = request
    await stage.press("enter")


async def test_a_function_is_suggested_accepted_and_undone_in_one_step(stage: Stage) -> None:
    async with stage.open("x = 1\n"):
        stage.quantized.answers = [["mean(values):\n", "    pass"], ["return sum(values)", " / len(values)\x1b"], [""]]
        stage.editor.move_cursor((1, 0))
        await write(stage, "returns the mean of a list")
        await stage.until(lambda: stage.editor.ghost is not None and stage.editor.ghost.complete)
        assert stage.quantized.prompts[0][0] == "x = 1\n# Return the mean of a list.\ndef "
        head = 'def mean(values):\n    """Return the mean of a list."""\n    '
        assert stage.quantized.prompts[1][0] == "x = 1\n" + head
        assert stage.editor.document.text == "x = 1\n"  # only suggested
        await stage.press("tab")
        assert stage.editor.document.text == "x = 1\n" + head + "return sum(values) / len(values)"
        await stage.press("ctrl+z")
        assert stage.editor.document.text == "x = 1\n"


async def test_typing_calls_the_writing_off(stage: Stage) -> None:
    async with stage.open(""):
        stage.quantized.answers = [["f():\n"], ["never"]]
        stage.quantized.gate.clear()
        await write(stage, "does nothing")
        await stage.until(lambda: stage.app.screen is stage.screen and stage.editor.ghost is not None)
        await stage.press("y")
        stage.quantized.gate.set()
        await stage.pilot.pause(0.2)
        assert stage.editor.document.text == "y" and stage.editor.ghost is None


async def test_calling_it_off_or_failing_leaves_the_text(stage: Stage) -> None:
    async with stage.open("x"):
        await stage.press("ctrl+t")
        await stage.until(lambda: isinstance(stage.app.screen, AskRequest))
        await stage.press("enter", "escape")
        await stage.until(lambda: stage.app.screen is stage.screen)
        assert stage.quantized.prompts == []

        def fail(*_: object, **__: object) -> None:
            raise EdgePhiError("the engine is gone")

        stage.quantized.complete = fail  # type: ignore[method-assign, assignment]
        await write(stage, "does nothing")
        await stage.until(lambda: "the engine is gone" in stage.messages())
        assert stage.editor.document.text == "x" and stage.editor.ghost is None
