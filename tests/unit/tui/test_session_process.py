"""A session in a process of its own: it answers as one in this process does, and its end is no end of the editor."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_phi.completion.cancel import Cancel
from edge_phi.completion.session import open_session
from edge_phi.completion.settings import DecodeSettings
from edge_phi.completion.suggestion import Step, Suggestion
from edge_phi.completion.worker import Ended, Event, Loaded, Stopped, Worker
from edge_phi.errors import EdgePhiError, MissingExtra
from edge_phi.tui import session_process
from edge_phi.tui.session_process import SessionProcess

PATIENCE_S = 60
SCRIPTED = f"import runpy; runpy.run_path({str(Path(__file__).with_name('scripted_child.py'))!r}, run_name='__main__')"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., SessionProcess]]:
    monkeypatch.setattr(session_process, "_CHILD", SCRIPTED)
    sessions = []

    def opened(model: str = "obedient", niceness: int = 0) -> SessionProcess:
        sessions.append(SessionProcess(model, "any", keep=False, niceness=niceness))
        return sessions[-1]

    yield opened
    for session in sessions:
        session.close()


def gone(pid: int) -> bool:
    """Whether a process ends soon; one that nobody waits for any more has ended, too."""
    limit = time.monotonic() + PATIENCE_S
    while time.monotonic() < limit:
        try:
            os.kill(pid, 0)
            if sys.platform == "linux" and Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z"):
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


def test_the_model_writes_what_it_writes_here() -> None:
    before = "def mean(values):\n    return "
    session = SessionProcess("phi-1-nano", "gguf:q4_0", keep=False, niceness=0)
    steps: list[Step] = []
    there = session.complete(before, "\n", cancel=Cancel(), on_step=steps.append)
    session.close()
    with open_session("phi-1-nano", quant="gguf:q4_0") as other:
        here = other.complete(before, "\n")
    assert (there.text, there.tokens, there.finish, there.quant) == (here.text, here.tokens, here.finish, here.quant)
    assert "".join(step.text for step in steps) == there.text != "" and len(steps) == there.tokens
    assert session.load_ms > 0 and there.timing.prompt_tokens == here.timing.prompt_tokens


def test_any_text_and_setting_arrives_as_it_is(opened: Callable[..., SessionProcess]) -> None:
    session = opened()
    before, after = "\ud800 'é\"\0\r\n" + "x" * 200_000, "\U0001f600\udfff"
    found = session.complete(before, after, settings=DecodeSettings(temperature=1, seed=5))
    assert found.text == repr(before) + repr(after) + "5"
    assert found.timing.decode_tokens_per_s is None and found.timing.cached_tokens == 4


def test_a_cancel_reaches_the_middle_of_a_prompt(opened: Callable[..., SessionProcess]) -> None:
    session, cancel = opened(), Cancel()
    answers: queue.Queue[Suggestion] = queue.Queue()
    threading.Thread(target=lambda: answers.put(session.complete("read for ever", cancel=cancel))).start()
    with pytest.raises(queue.Empty):
        answers.get(timeout=0.3)
    cancel.set()
    assert answers.get(timeout=PATIENCE_S).finish == "cancelled"
    assert session.complete("x", cancel=Cancel()).finish == "stop"  # the next call is not the one that was cancelled
    set_before = Cancel()
    set_before.set()
    assert session.complete("read for ever", cancel=set_before).finish == "cancelled"
    resting = Cancel()
    threading.Timer(0.05, resting.set).start()
    session.use_idle_time(resting)


def test_what_the_engine_raises_is_raised_here(opened: Callable[..., SessionProcess]) -> None:
    session = opened()
    with pytest.raises(MissingExtra, match=r"^install it$"):
        session.complete("miss something")
    assert session.complete("x").finish == "stop"
    with pytest.raises(MissingExtra, match=r"^the engine is not installed$"):
        opened("damaged")
    with pytest.raises(EdgePhiError, match="process ended: no luck"):
        opened("crashing")


@pytest.mark.parametrize("how", ["killed", "crashed", "killed at rest"])
def test_its_end_is_told_and_ends_nothing_else(opened: Callable[..., SessionProcess], how: str) -> None:
    session = opened()
    told: queue.Queue[str] = queue.Queue()
    session.when_it_ends(told.put)
    if how != "crashed":
        threading.Timer(0.1, os.kill, [session.pid, signal.SIGKILL]).start()
    signal_name = "SIGABRT" if how == "crashed" else "SIGKILL"
    if how == "killed at rest":
        assert signal_name in told.get(timeout=PATIENCE_S)
    with pytest.raises(EdgePhiError, match=signal_name):
        session.complete("crash" if how == "crashed" else "read for ever", cancel=Cancel())
    if how != "killed at rest":
        assert signal_name in told.get_nowait()  # before the call failed
    assert told.empty()
    session.when_it_ends(told.put)
    assert signal_name in told.get_nowait()
    session.close()
    session.close()


def test_closing_ends_the_process_and_is_no_end_that_is_told(opened: Callable[..., SessionProcess]) -> None:
    session = opened()
    told: queue.Queue[str] = queue.Queue()
    session.when_it_ends(told.put)
    session.close()
    assert gone(session.pid) and told.empty()
    with pytest.raises(EdgePhiError):
        session.complete("x")


def test_a_worker_says_that_its_session_is_gone(opened: Callable[..., SessionProcess]) -> None:
    reports: queue.Queue[Event] = queue.Queue()
    sessions: list[SessionProcess] = []
    worker = Worker(lambda: sessions.append(opened()) or sessions[0], reports.put, "test")
    worker.request(1, "read for ever", "")
    assert isinstance(reports.get(timeout=PATIENCE_S), Loaded)
    os.kill(sessions[0].pid, signal.SIGKILL)
    assert isinstance(reports.get(timeout=PATIENCE_S), Stopped)
    ended = reports.get(timeout=PATIENCE_S)
    assert isinstance(ended, Ended) and "SIGKILL" in ended.line
    worker.request(2, "x", "")  # nobody answers, and nothing breaks
    worker.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_it_does_not_outlive_an_editor_that_was_killed() -> None:
    code = f"""
import threading, time
from edge_phi.completion.cancel import Cancel
from edge_phi.tui import session_process
session_process._CHILD = {SCRIPTED!r}
session = session_process.SessionProcess("obedient", "any", keep=False, niceness=0)
threading.Thread(target=session.complete, args=("read for ever",), kwargs=dict(cancel=Cancel())).start()
time.sleep(0.2)
print(session.pid, flush=True)
time.sleep(300)
"""
    editor = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert editor.stdout is not None
    pid = int(editor.stdout.readline())
    editor.kill()
    editor.wait()
    assert gone(pid)


@pytest.mark.skipif(not hasattr(os, "getpriority"), reason="this system has no priorities that can be read")
def test_it_comes_after_the_editor(opened: Callable[..., SessionProcess]) -> None:
    session = opened(niceness=5)
    assert os.getpriority(os.PRIO_PROCESS, session.pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 5)
