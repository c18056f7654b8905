"""The installed command and the processes of its engines: neither end takes the other's work with it."""

from __future__ import annotations

import os
import signal
import sys
import sysconfig
import time
from pathlib import Path

import pytest
from pseudo_terminal import PATIENCE_S, PseudoTerminal

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says in /proc whose child a process is")


def children(pid: int) -> list[int]:
    """Processes that `pid` has started and that are alive."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(") ")[2].split()[:2]
        except OSError:  # it has ended
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(stat.parent.name))
    return found


def wait_for_engine(editor: PseudoTerminal, but: int = 0) -> int:
    """The process of the engine, once it is another than `but`."""
    limit = time.monotonic() + PATIENCE_S
    while time.monotonic() < limit:
        if found := [pid for pid in children(editor.process.pid) if pid != but]:
            return found[0]
        time.sleep(0.02)
    pytest.fail("no engine was started")


def test_an_engine_that_is_killed_comes_back_and_goes_with_a_killed_editor(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "edge-phi").mkdir(parents=True)
    (home / "edge-phi" / "tui.json").write_text('{"tour_seen": true}')
    path = tmp_path / "module.py"
    path.write_text("def mean(values):\n    return ")
    names = ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "EDGE_PHI_HOME")
    program = str(Path(sysconfig.get_path("scripts")) / "edge-phi")
    editor = PseudoTerminal([program, "open", str(path)], tmp_path, {name: str(home) for name in names})
    editor.until("mean", "ready")
    engine = wait_for_engine(editor)
    os.kill(engine, signal.SIGKILL)
    editor.until("SIGKILL", "starts it again")
    editor.send("precious")
    editor.until("precious")
    editor.send("\x0e")  # Ctrl+N
    second = wait_for_engine(editor, but=engine)
    editor.until("ready")
    editor.process.kill()
    editor.end()
    limit = time.monotonic() + PATIENCE_S
    while second in children(1) or Path(f"/proc/{second}").exists():
        assert time.monotonic() < limit, "the engine outlives the editor"
        time.sleep(0.02)
