"""The installed command in a real terminal, driven by keys and read from its screen."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux, the terminal of this test, is missing")

PATIENCE_S = 120  # for a model to load on a busy machine


class Terminal:
    """A terminal of 100 columns and 30 lines in which the editor runs."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self.home = socket.with_name("home")  # settings, state and models of nobody else
        self.written = socket.with_name("written")  # every byte the editor sent to the terminal

    def start(self, *arguments: str, tour_seen: bool = True) -> None:
        if tour_seen:
            memory = self.home / "edge-phi" / "tui.json"
            memory.parent.mkdir(parents=True)
            memory.write_text('{"tour_seen": true}')
        homes = ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "EDGE_PHI_HOME")
        environment = " ".join(f"{name}={shlex.quote(str(self.home))}" for name in homes)
        command = shlex.join([str(Path(sysconfig.get_path("scripts")) / "edge-phi"), "open", *arguments])
        # pipe-pane has to listen before the editor starts.
        self.tmux(
            "new-session", "-d", "-x", "100", "-y", "30", f"read -r _; {environment} {command}; echo exit=$?; read -r _"
        )
        self.tmux("pipe-pane", "-O", f"cat > {shlex.quote(str(self.written))}")
        self.keys("Enter")

    def tmux(self, *arguments: str) -> str:
        command = ["tmux", "-S", str(self._socket), "-f", "/dev/null", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def keys(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def type(self, text: str) -> None:
        self.tmux("send-keys", "-l", text)

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def until(self, condition: Callable[[str], object]) -> str:
        deadline = time.monotonic() + PATIENCE_S
        while not condition(screen := self.screen()):
            if time.monotonic() > deadline:
                pytest.fail(f"waited in vain, the screen shows:\n{screen}")
            time.sleep(0.05)
        return screen


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    folder = Path(tempfile.mkdtemp(prefix="edge-phi-"))  # short, as the path of a socket has to be
    terminal = Terminal(folder / "socket")
    try:
        yield terminal
    finally:
        subprocess.run(["tmux", "-S", str(folder / "socket"), "kill-server"], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def test_type_accept_save_and_quit(terminal: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_bytes(b"def add(left, right):\r\n")
    terminal.start(str(path))
    terminal.until(lambda screen: "module.py" in screen and "ready" in screen)

    terminal.keys("Down")
    terminal.type('    """Return the sum of two numbers."""')
    terminal.keys("Enter")
    terminal.type("return ")
    suggested = re.compile(r" [0-9]+ tokens  3:12 *$", re.MULTILINE)  # comes by itself, once all keys are handled
    terminal.until(lambda screen: suggested.search(screen) and "tab Accept" in screen)
    terminal.keys("Escape")
    terminal.until(lambda screen: "ready  3:12" in screen and "Accept" not in screen)
    terminal.keys("C-Space")
    compared = re.compile("same text|text differs after")
    screen = terminal.until(
        lambda screen: suggested.search(screen) and "tab Accept" in screen and compared.search(screen)
    )
    assert "float32" in screen and "tok/s" in screen
    assert path.read_bytes() == b"def add(left, right):\r\n"

    terminal.keys("Tab")
    typed = b'def add(left, right):\r\n    """Return the sum of two numbers."""\r\n    return '
    terminal.keys("C-s")
    terminal.until(lambda screen: "Saved module.py" in screen)
    saved = path.read_bytes()
    assert saved.startswith(typed) and saved[len(typed) :].strip()

    terminal.keys("C-z")  # the suggestion, and nothing else, is undone
    terminal.keys("C-q")
    terminal.until(lambda screen: "unsaved changes" in screen)
    terminal.keys("s")
    terminal.until(lambda screen: "exit=0" in screen)
    assert path.read_bytes() == typed


def test_a_hostile_file_reaches_the_screen_as_pictures_only(
    terminal: Terminal, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    path = tmp_path / "hostile.py"
    path.write_bytes("# \x1b]0;owned\x07\x1b[2J\x9b31m\u202e end\n".encode())
    terminal.start(str(path), "--model", str(tiny_checkpoint))
    terminal.until(lambda screen: "␛]0;owned␇␛[2J" in screen)
    terminal.type("x")
    terminal.keys("C-s")
    terminal.until(lambda screen: "Saved hostile.py" in screen)
    terminal.keys("C-q")
    terminal.until(lambda screen: "exit=0" in screen)
    assert path.read_bytes() == "x# \x1b]0;owned\x07\x1b[2J\x9b31m\u202e end\n".encode()
    written = terminal.written.read_bytes()
    assert b"owned" in written and b"\x1b]0;owned" not in written
    assert not any(character in written.decode(errors="replace") for character in "\x9b\u202e")


def test_a_whole_session_with_only_what_the_screen_shows(terminal: Terminal, tmp_path: Path) -> None:
    """Open, type, take a suggestion by word, line and whole, race, measure, change the model, save, quit."""
    path = tmp_path / "module.py"
    path.write_text("def mean(values):\n")
    terminal.start(str(path), tour_seen=False)
    terminal.until(lambda screen: "Take its next word only" in screen and "begin" in screen)
    terminal.keys("Enter")
    terminal.until(lambda screen: "ready" in screen and "f1 Help" in screen and "begin" not in screen)

    terminal.keys("Down")
    terminal.type('    """Return the mean of a list of numbers."""')
    terminal.keys("Enter")
    terminal.until(lambda screen: "tab Accept" in screen and "tokens" in screen)
    place = re.compile(r" (\d+):(\d+) *$", re.MULTILINE)

    def at(screen: str) -> tuple[int, int]:
        found = place.search(screen)
        assert found is not None
        return int(found[1]), int(found[2])

    start = at(terminal.screen())
    terminal.keys("C-Right")  # a word
    after_word = at(terminal.until(lambda screen: at(screen) > start))
    assert after_word[0] == start[0]
    if "tab Accept" in terminal.screen():
        terminal.keys("BTab")  # the rest of the line
        terminal.until(lambda screen: at(screen) > after_word)
        terminal.keys("C-z")  # each is a step of its own
        terminal.until(lambda screen: at(screen) == after_word)
    terminal.keys("C-z")
    terminal.until(lambda screen: at(screen) == start)
    terminal.keys("C-n")
    terminal.until(lambda screen: "tab Accept" in screen)
    before = at(terminal.screen())
    terminal.keys("Tab")  # all
    terminal.until(lambda screen: at(screen) > before)

    terminal.keys("F2")
    terminal.until(lambda screen: " won by " in screen and "★ first" in screen)
    terminal.keys("Escape")
    terminal.until(lambda screen: "f9 Models" in screen)

    terminal.keys("F8")
    terminal.until(lambda screen: "Enter measures" in screen and "onnx:float32" in screen)
    terminal.keys("Enter")
    terminal.until(lambda screen: "c Cancel" in screen and ("making it" in screen or "round 1" in screen))
    terminal.keys("c")
    terminal.until(lambda screen: "what was measured is kept" in screen)
    terminal.keys("Escape")
    terminal.until(lambda screen: "f9 Models" in screen)

    terminal.keys("F9")
    terminal.until(lambda screen: "● phi-1-nano" in " ".join(screen.split()))
    terminal.keys("Home", "Down", "Enter")  # full precision, in the same engine
    terminal.until(lambda screen: "suggests from now on" in screen and "Models on this machine" not in screen)
    terminal.until(lambda screen: "float32" in screen and "ready" in screen)

    terminal.keys("C-s")
    terminal.until(lambda screen: "Saved module.py" in screen)
    assert path.read_text().startswith("def mean(values):\n    ")
    terminal.keys("C-q")
    terminal.until(lambda screen: "exit=0" in screen)


def test_bad_settings_are_told_before_the_screen_is_taken(terminal: Terminal) -> None:
    settings = terminal.home / "edge-phi" / "settings.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("[keys]\nsave = 'f1'\n")
    terminal.start(tour_seen=False)
    screen = terminal.until(lambda screen: "exit=" in screen)
    assert "exit=2" in screen and "both 'save' and 'help'" in screen.replace("\n", "") and "Traceback" not in screen
