"""The file behind the editor: read without loss, written back with the newlines, mark and encoding it had."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_phi.atomic import write_bytes
from edge_phi.completion.buffer import Buffer, declared_encoding, read_buffer
from edge_phi.errors import EdgePhiError, InvalidCall

from .characters import StandIns, one_line

_Stamp = tuple[int, int, int]  # inode, bytes, nanoseconds of the last change


@dataclass
class Document:
    """What is being edited. The editor holds its lines, with stand-ins for characters a terminal must not get."""

    path: Path | None = None
    newline: str = "\n"
    bom: bool = False
    encoding: str = "utf-8"
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

    def changed_on_disk(self) -> str:
        """What somebody else has done to the file since it was read or saved: "changed", "deleted" or nothing."""
        if self.path is None or (now := _stamp(self.path)) == self._stamp:
            return ""
        return "changed" if now is not None else "deleted"

    def save(self, lines: Sequence[str], path: Path) -> int:
        """Write the editor's `lines` to `path`, whole or not at all; returns how many bytes that are.

        Raises:
            InvalidCall: `path` is a folder.
            EdgePhiError: the file is read-only, the folder cannot be written to, the disk is full, or the text has a
                character that its encoding has not; the old file is untouched.
        """
        if path.is_dir():
            raise InvalidCall(f"{path}: is a folder: give a file name")
        if _is_read_only(path):  # a rename would replace it all the same
            raise EdgePhiError(f"{path}: is read-only: make it writable, or save as another file")
        text = self.true_text(lines)
        encoding = self._encoding_of(text)
        data = Buffer(text, self.newline, self.bom, encoding).to_bytes()
        write_bytes(path, data)
        self.path, self.encoding, self._stamp = path, encoding, _stamp(path)
        return len(data)

    def _encoding_of(self, text: str) -> str:
        """What the text declares now; Python would read it so."""
        start = "\n".join(text[:4000].split("\n", 2)[:2])
        return "utf-8" if self.bom else declared_encoding(start.encode("utf-8", "replace"))


def open_document(path: Path) -> Document:
    """Read `path` for editing; where there is no such file, it is made when it is saved.

    Raises:
        InvalidCall: a folder, unreadable, too large, binary, not in its encoding, or in a folder that does not exist.
        InvalidFile: there are no stand-ins left.
    """
    if not os.path.lexists(path):
        if not path.parent.is_dir():
            raise InvalidCall(f"{path}: its folder does not exist: make it or check the path")
        return Document(path)
    stamp = _stamp(path)
    buffer = read_buffer(path)
    document = Document(path, buffer.newline, buffer.bom, buffer.encoding, _stamp=stamp)
    document.text = document.stand_ins.hide(buffer.text)
    return document


def _is_read_only(path: Path) -> bool:
    try:
        return not (path.stat().st_mode & 0o222 and os.access(path, os.W_OK))
    except OSError:
        return False


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
