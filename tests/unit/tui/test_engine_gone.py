"""An engine whose process is killed: the editor says so, keeps the text, and starts it again when it is asked to."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge_phi.tui import session_process
from edge_phi.tui.session_process import SessionProcess

if TYPE_CHECKING:
    from conftest import Stage

SCRIPTED = f"import runpy; runpy.run_path({str(Path(__file__).with_name('scripted_child.py'))!r}, run_name='__main__')"


@pytest.fixture
def processes(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> list[SessionProcess]:
    """The stage's engine that suggests is a process; each that is started."""
    monkeypatch.setattr(session_process, "_CHILD", SCRIPTED)
    started: list[SessionProcess] = []

    def opened() -> SessionProcess:
        started.append(SessionProcess("obedient", "any", keep=False, niceness=0))
        return started[-1]

    monkeypatch.setattr(stage.quantized, "open", opened)
    return started


async def test_a_killed_engine_is_told_and_comes_back_when_it_is_asked(
    stage: Stage, processes: list[SessionProcess]
) -> None:
    async with stage.open("x = 1\n"):
        stage.editor.move_cursor((1, 0))
        await stage.press(*"read", "space", *"for", "space", *"ever", "ctrl+n")
        await stage.until(lambda: stage.editor.ghost is not None)
        os.kill(processes[0].pid, signal.SIGKILL)
        await stage.until(lambda: stage.screen.title_bar.state == "engine ended")
        message = stage.messages()[-1]
        assert "SIGKILL" in message and "^n starts it again" in message and len(stage.messages()) == 1
        assert stage.editor.ghost is None and stage.screen.panel.quantized.state == "ended"
        await stage.press(*"!?")
        assert stage.editor.document.lines == ["x = 1", "read for ever!?"]
        assert len(processes) == 1  # what ended it may end the next one: it waits to be asked
        stage.editor.select_all()
        await stage.press("y", "ctrl+n")
        await stage.until(lambda: stage.editor.ghost is not None and stage.editor.ghost.complete)
        assert len(processes) == 2 and stage.screen.panel.quantized.state == "ready"
        await stage.press("tab")
        assert stage.editor.document.lines == ["y'y'''0"]


async def test_a_race_starts_it_again(stage: Stage, processes: list[SessionProcess]) -> None:
    async with stage.open("x = "):
        os.kill(processes[0].pid, signal.SIGKILL)
        await stage.until(lambda: stage.screen.title_bar.state == "engine ended")
        stage.editor.move_cursor((0, 4))
        await stage.press("f2")
        await stage.until(lambda: " won by " in stage.drawn())
        assert len(processes) == 2


async def test_a_baseline_that_ended_is_not_timed_until_it_is_asked_for(
    stage: Stage, processes: list[SessionProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage.baseline, "open", stage.quantized.open)
    async with stage.open("x = "):
        await stage.ask(line=1, column=5)
        await stage.until(lambda: stage.screen.panel.baseline.suggestion is not None)
        os.kill(processes[1].pid, signal.SIGKILL)
        await stage.until(lambda: stage.screen.panel.baseline.state == "ended")
        await stage.press("escape", "z")
        stage.screen._ask()  # as after a pause
        await stage.until(lambda: stage.editor.ghost is not None and stage.editor.ghost.complete)
        await stage.pilot.pause(0.1)
        assert len(processes) == 2 and stage.screen.panel.baseline.state == "ended"
        await stage.press("escape", "ctrl+n")
        await stage.until(lambda: stage.screen.panel.baseline.ticket == stage.screen.panel.quantized.ticket)
        assert len(processes) == 3
