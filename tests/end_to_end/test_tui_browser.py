"""The installed command as `textual serve` runs it: no terminal, keys and frames in packets through pipes."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="reads pipes with select")

PATIENCE_S = 120


class Browser:
    """The other side of Textual's web driver."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        self._read = b""

    def until(self, *texts: str) -> None:
        assert self.process.stdout is not None
        deadline = time.monotonic() + PATIENCE_S
        while not all(text.encode() in self._read for text in texts):
            if time.monotonic() > deadline:
                pytest.fail(f"waited in vain for {texts}: {self._read[-2000:]!r}")
            if select.select([self.process.stdout], [], [], 0.1)[0]:
                data = os.read(self.process.stdout.fileno(), 1 << 16)
                assert data or self.process.poll() is None, self.process.stderr and self.process.stderr.read()
                self._read += data
        self._read = b""

    def send(self, kind: bytes, payload: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(kind + len(payload).to_bytes(4, "big") + payload)
        self.process.stdin.flush()


def test_edit_and_save_in_a_browser(tmp_path: Path, tiny_checkpoint: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("old = 1\n")
    state = tmp_path / "home"
    (state / "edge-phi").mkdir(parents=True)
    (state / "edge-phi" / "tui.json").write_text('{"tour_seen": true}')
    homes = ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "EDGE_PHI_HOME")
    program = str(Path(sysconfig.get_path("scripts")) / "edge-phi")
    browser = Browser(
        [program, "open", str(path), "--model", str(tiny_checkpoint)],
        {
            **os.environ,
            **{name: str(state) for name in homes},
            "TEXTUAL_DRIVER": "textual.drivers.web_driver:WebDriver",
            "COLUMNS": "100",
            "ROWS": "30",
        },
    )
    try:
        browser.until("__GANGLION__\n")
        browser.until("old", "Quit")
        browser.send(b"M", json.dumps({"type": "focus"}).encode())
        browser.send(b"D", b"new\r")
        browser.until("2:1")
        browser.send(b"M", json.dumps({"type": "resize", "width": 120, "height": 40}).encode())
        browser.send(b"D", b"\x1b]")  # Alt+], which types no bracket
        browser.send(b"D", b"\x13")
        browser.until("Saved module.py")
        assert path.read_text() == "new\nold = 1\n"
        browser.send(b"M", json.dumps({"type": "quit"}).encode())  # the page was closed
        assert browser.process.wait(PATIENCE_S) == 0
    finally:
        browser.process.kill()
        browser.process.communicate()
