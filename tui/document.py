"""The file behind the editor: read without loss, written back with the newlines and the byte order mark it had."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_phi.atomic import write_bytes
from edge_phi.completion.buffer import Buffer, read_buffer
from edge_phi.errors import InvalidCall

from .characters import StandIns, one_line

_Stamp = tuple[int, int, int]  # inode, bytes, nanoseconds of the last change


@dataclass
class Document:
    """What is being edited. The editor holds its lines, with stand-ins for characters a terminal must not get."""

    path: Path | None = None
    newline: str = "\n"
    bom: bool = False
    text: str = ""  # as the editor starts with it
    stand_ins: StandIns = field(default_factory=StandIns)
    _stamp: _Stamp | None = None

    @property
    def name(self) -> str:
        """The file's name, fit for a title."""
        return one_line(self.path.name) if self.path else "scratch"

    def adopt(self, text: str) -> str:
        """Foreign `text` as the editor may hold it: lines end in "\\n", and stand-ins for unsafe characters.

        Raises:
            InvalidFile: there are no stand-ins left.
        """
        return self.stand_ins.hide(text.replace("\r\n", "\n").replace("\r", "\n"))

    def true_text(self, lines: Sequence[str]) -> str:
        """The text of the editor's `lines` without stand-ins, joined by "\\n"."""
        return self.stand_ins.restore("\n".join(lines))

    def changed_on_disk(self) -> bool:
        """Whether somebody else wrote the file since it was read or saved."""
        return self.path is not None and _stamp(self.path) != self._stamp

    def save(self, lines: Sequence[str], path: Path) -> int:
        """Write the editor's `lines` to `path`, whole or not at all; returns how many bytes that are.

        Raises:
            InvalidCall: `path` is a folder.
            EdgePhiError: the folder cannot be written to, or the disk is full; the old file is untouched.
        """
        if path.is_dir():
            raise InvalidCall(f"{path}: is a folder: give a file name")
        data = Buffer(self.true_text(lines), self.newline, self.bom).to_bytes()
        write_bytes(path, data)
        self.path, self._stamp = path, _stamp(path)
        return len(data)


def open_document(path: Path) -> Document:
    """Read `path` for editing; where there is no such file, it is made when it is saved.

    Raises:
        InvalidCall: a folder, unreadable, too large, binary, not UTF-8, or in a folder that does not exist.
        InvalidFile: there are no stand-ins left.
    """
    if not os.path.lexists(path):
        if not path.parent.is_dir():
            raise InvalidCall(f"{path}: its folder does not exist: make it or check the path")
        return Document(path)
    stamp = _stamp(path)
    buffer = read_buffer(path)
    document = Document(path, buffer.newline, buffer.bom, _stamp=stamp)
    document.text = document.stand_ins.hide(buffer.text)
    return document


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
