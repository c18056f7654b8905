"""The installed command is ended in every way there is; what was typed is there at the next start."""

from __future__ import annotations

import json
import signal
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pseudo_terminal import PATIENCE_S, PseudoTerminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals and no signals")


@pytest.fixture
def start(tmp_path: Path, tiny_checkpoint: Path) -> Callable[..., PseudoTerminal]:
    state = tmp_path / "home"
    (state / "edge-phi").mkdir(parents=True)
    (state / "edge-phi" / "tui.json").write_text('{"tour_seen": true}')
    names = ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "EDGE_PHI_HOME")
    program = str(Path(sysconfig.get_path("scripts")) / "edge-phi")

    def start(*arguments: str, tells: bool = True) -> PseudoTerminal:
        command = [program, "open", *arguments, "--model", str(tiny_checkpoint)]
        return PseudoTerminal(command, tmp_path, {name: str(state) for name in names}, tells=tells)

    return start


def written_down(folder: Path) -> list[str]:
    return [json.loads(file.read_bytes())["text"] for file in folder.glob("home/edge-phi/unsaved/*/*.json")]


@pytest.mark.parametrize("end", ["SIGTERM", "SIGHUP", "SIGKILL", "SIGSEGV", "the terminal closes", "without a word"])
def test_what_was_not_saved_is_there_at_the_next_start(
    start: Callable[..., PseudoTerminal], tmp_path: Path, end: str
) -> None:
    path = tmp_path / "module.py"
    path.write_bytes(b"old = 1\r\n")
    editor = start(str(path), tells=end != "without a word")
    editor.until("old", "Quit")
    editor.send("precious\r")
    editor.until("precious")
    if end in ("SIGKILL", "SIGSEGV"):  # as when an engine crashes: what was typed last may be lost
        deadline = time.monotonic() + PATIENCE_S
        while written_down(tmp_path) != ["precious\nold = 1\n"]:
            assert time.monotonic() < deadline, written_down(tmp_path)
            time.sleep(0.02)
    if end == "the terminal closes":
        editor.close()
    elif end == "without a word":
        assert editor.close() == 128 + signal.SIGHUP
    else:
        editor.process.send_signal(signal.Signals[end])
        code = editor.end()
        assert code == (-signal.Signals[end] if end in ("SIGKILL", "SIGSEGV") else 128 + signal.Signals[end])
    assert path.read_bytes() == b"old = 1\r\n"

    editor = start()
    editor.until("not saved", "module.py, 3 lines")
    editor.send("r")
    editor.until("precious")
    editor.send("\x13")  # save
    editor.until("Saved module.py")
    editor.send("\x11")  # quit
    assert editor.end() == 0
    assert path.read_bytes() == b"precious\r\nold = 1\r\n"
    assert written_down(tmp_path) == []
