"""Every byte that the editor writes to a terminal, with hostile text in the file, its name, the folder, the model."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from pathlib import Path

import pytest
from pseudo_terminal import PseudoTerminal

pytest.importorskip("pty", reason="this system has no pseudo-terminals")

FOLDER = Path(__file__).parent
CONTROLS = [chr(code) for code in (*range(1, 9), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F, *range(0x80, 0xA0))]
MARKS = list("\u061c\u200b\u200d\u200e\u202a\u202e\u2028\u2066\u2069\ufeff\U000e0041")
SEQUENCES = [
    "\x1b[2J", "\x1b[6n", "\x1b]0;owned\x07", "\x1b]52;c;b3duZWQ=\x1b\\", "\x1bP$qm\x1b\\", "\x1b_Gi=1\x1b\\",
    "\x9b31m", "\x9d0;owned\x9c", "\x1bc", "\x1b(0", "\x1b#8",
]  # fmt: skip

# All that Textual itself has to say to a terminal: colours, places, and modes set and reset.
OWN = re.compile(
    r"\x1b\[[0-9;]*m|\x1b\[[0-9]+;[0-9]+H|\x1b\[\?(?:1049|1000|1002|1003|1006|1015|1016|25|1004|2004|2026|2048|7)[hl]"
    r"|\x1b\[\?(?:2026|2048)\$p|\x1b\[>[0-9]+u|\x1b\[<u"
    r"|\x1b\]22;[a-z-]+\x07"  # the shape of the mouse pointer
)


def start(path: Path, state: Path) -> PseudoTerminal:
    environment = {"PYTHONPATH": os.pathsep.join([str(FOLDER), str(FOLDER.parents[1])]), "XDG_STATE_HOME": str(state)}
    return PseudoTerminal([sys.executable, str(FOLDER / "hostile_editor.py"), str(path)], path.parent, environment)


def test_nothing_but_visible_text_reaches_the_terminal(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    hostile = "".join([*CONTROLS, *MARKS, *SEQUENCES])
    path = folder / f"a{hostile}.py"[:60]
    lines = [f"x = {number}  # {sign} end" for number, sign in enumerate([*CONTROLS, *MARKS, *SEQUENCES])]
    path.write_text("\n".join(["start = 1", *lines, "# " + hostile * 20, "end = 1"]), newline="")
    (folder / f"b{hostile}".replace("/", "")[:60]).write_text("")
    terminal = start(path, tmp_path / "state")
    terminal.until("start", "Quit")
    terminal.send("\x1b[6~" * 4)  # page down through all of it
    terminal.until("end")
    terminal.send("\x1b[1;5F\r")  # to the end, a line
    terminal.until(f" {len(lines) + 4}:1 ")
    terminal.send("\x0e")  # a suggestion
    terminal.until("answered")
    terminal.send("\t")
    terminal.send("\x02")  # the project's files
    terminal.until("b␁␂")
    terminal.send("\x02\x11")  # back to the text, and quit
    terminal.until("Discard")
    terminal.send("d")
    assert terminal.end() == 0
    rest = OWN.sub("", terminal.written.decode())
    controls = {c for c in rest if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")} - {"\r", "\n"}
    assert not controls, [rest[max(0, at - 80) : at + 40] for at, c in enumerate(rest) if c in controls][:3]
    assert "owned" in rest  # it is shown, and only shown


def test_a_line_of_a_megabyte_is_shown_in_part(tmp_path: Path) -> None:
    path = tmp_path / "long.py"
    path.write_text("start = 1\nlong = '" + "\x1b[2Jabc" * 150_000 + "'\nend = 1\n")
    terminal = start(path, tmp_path / "state")
    terminal.until("start", "end", "Quit")
    terminal.send("\x1b[B\x1b[Fx")  # down, to its end, a key
    terminal.until("x")
    terminal.send("\x11")
    terminal.until("unsaved changes")
    terminal.send("d")
    assert terminal.end() == 0
    assert b"\x1b[2J" not in terminal.written and len(terminal.written) < 1_000_000
