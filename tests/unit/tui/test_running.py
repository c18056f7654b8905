"""Running what is in the editor, in the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge_phi.errors import InvalidCall
from edge_phi.evaluate.sandbox import Output, probe
from edge_phi.tui.running import doctests, lines_of
from edge_phi.tui.widgets.output_pane import OutputPane

if TYPE_CHECKING:
    from conftest import Stage

needs_sandbox = pytest.mark.skipif(not probe().enough, reason="this machine cannot hold untrusted programs")

SOURCE = '''\
import random


class Box:
    """
    >>> Box().wrong()
    2
    """

    @property
    def nothing(self):
        pass

    def wrong(self):
        """
        >>> Box().wrong()
        1
        """

        def inner():
            return 1

        return inner()


def untested():
    pass


if __name__ == "__main__":
    raise SystemExit("ran as a script")
'''


@pytest.mark.parametrize(
    ("row", "title"),
    [
        (0, "the text"),
        (3, "Box"),
        (9, "Box.nothing"),
        (14, "Box.wrong"),
        (20, "Box.wrong"),
        (26, "untested"),
        (31, "the text"),
    ],
)
def test_the_function_at_the_cursor_is_found(row: int, title: str) -> None:
    assert doctests(SOURCE, row).title == f"doctests of {title}"


@pytest.mark.parametrize("source", ["def f(:", "x = '\0'", "(" * 5000])
def test_what_is_no_python_is_told_in_a_line(source: str) -> None:
    with pytest.raises(InvalidCall) as error:
        doctests(source, 0)
    assert "\n" not in str(error.value)


def test_endless_output_is_cut_and_its_end_is_told() -> None:
    lines = lines_of(Output("timeout", "more than 10 s", 10.0, "x\n" * 100_000, "", True))
    assert len(lines) < 3000 and lines[-2:] == ["… and more", "[timeout: more than 10 s in 10.00 s]"]


async def output(stage: Stage) -> str:
    def panes() -> list[OutputPane]:
        return [pane for pane in stage.screen.query(OutputPane) if pane.display and "running…" not in pane.text]

    await stage.until(lambda: panes() != [])
    return panes()[0].text


@needs_sandbox
async def test_the_text_is_run_as_it_is_in_the_editor(stage: Stage) -> None:
    async with stage.open("print(__name__, 6 * 7)\nopen('/etc/passwd')\n"):
        await stage.press("f5")
        shown = await output(stage)
        assert "__main__ 42" in shown and "Error" in shown and "fail" in shown
        await stage.pilot.pause()
        assert "42" in stage.drawn()
        await stage.press("escape")
        assert not any(pane.display for pane in stage.screen.query(OutputPane)) and stage.editor.has_focus


@needs_sandbox
@pytest.mark.parametrize(
    ("row", "words"),
    [
        (14, "1 of 1 examples of Box.wrong passed"),
        (3, "0 of 1 examples of Box passed"),
        (0, "1 of 2 examples of the text passed"),
        (26, "0 of 0 examples of untested passed"),
    ],
)
async def test_doctests_run_without_the_script(stage: Stage, row: int, words: str) -> None:
    async with stage.open(SOURCE):
        stage.editor.move_cursor((row, 0))
        await stage.press("ctrl+r")
        shown = await output(stage)
        assert words in shown and "ran as a script" not in shown


@needs_sandbox
async def test_what_a_program_prints_cannot_reach_the_terminal(stage: Stage) -> None:
    async with stage.open("print('\\x1b]52;c;b3duZWQ=\\x07\\x9b2J\\u202e[bold]end')"):
        await stage.press("f5")
        assert "␛]52;c;b3duZWQ=␇" in await output(stage)
        await stage.pilot.pause()
        assert "[bold]end" in stage.drawn() and not set("\x1b\x07\x9b\u202e") & set(stage.drawn())
