"""A text file from outside: read without loss, addressed by line and column, written back as it was."""

from __future__ import annotations

import codecs
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from ..atomic import write_bytes
from ..errors import EdgePhiError, InvalidCall

MAX_FILE_BYTES = 10_000_000

_CURSOR = re.compile(r"([0-9]{1,9}):([0-9]{1,9})")


@dataclass(frozen=True)
class Buffer:
    """The text of a file, and what to give back to it when it is written.

    If all lines of the file end alike, in CRLF or in CR, `newline` says so and `text` has "\\n" instead. In a file of
    mixed newlines only LF ends a line and the CRs stay in `text`, so that writing changes no line that was not edited.
    """

    text: str  # without the byte order mark
    newline: str = "\n"  # "\n", "\r\n" or "\r"
    bom: bool = False  # whether the file began with a UTF-8 byte order mark

    def to_bytes(self) -> bytes:
        """The file's bytes: `decode(data, name).to_bytes() == data`.

        Raises:
            EdgePhiError: `text` holds a lone surrogate, which UTF-8 cannot write.
        """
        try:
            body = self.text.replace("\n", self.newline).encode()
        except UnicodeEncodeError as error:
            raise EdgePhiError(
                f"character {error.start + 1} is a lone surrogate, which UTF-8 cannot hold: remove it"
            ) from error
        return (codecs.BOM_UTF8 if self.bom else b"") + body

    def offset(self, line: int, column: int) -> int:
        """The index in `text` of a cursor: lines and columns count from 1, columns in characters (code points).

        The column after a line's last character is the end of that line.

        Raises:
            InvalidCall: the cursor is beyond the end; says how far the text goes.
        """
        lines = self.text.split("\n")
        if not 1 <= line <= len(lines):
            raise InvalidCall(f"line {line} is outside the text: it has lines 1 to {len(lines)}")
        width = len(lines[line - 1])
        if not 1 <= column <= width + 1:
            raise InvalidCall(f"column {column} is outside line {line}: it has columns 1 to {width + 1}")
        return sum(len(before) + 1 for before in lines[: line - 1]) + column - 1


def read_buffer(path: str | Path) -> Buffer:
    """Read a file; an empty one is an empty buffer.

    Raises:
        InvalidCall: no such file, a folder, a pipe or device, unreadable, too large, binary, or not UTF-8.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:  # Path.open takes no opener
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise InvalidCall(f"{path}: is a pipe or a device: give a file, or send the text to standard input")
            if status.st_size > MAX_FILE_BYTES:
                raise _too_large(path, status.st_size)
            data = file.read(MAX_FILE_BYTES + 1)  # a file of /proc has no size, and any file may grow
    except FileNotFoundError as error:
        raise InvalidCall(f"{path}: no such file: check the path") from error
    except IsADirectoryError as error:
        raise InvalidCall(f"{path}: is a folder: give a file") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidCall(f"{path}: cannot be read ({reason}): give a file you may read") from error
    return decode_buffer(data, str(path))


def decode_buffer(data: bytes, name: str) -> Buffer:
    """The buffer in `data`; `name` says in an error where it came from.

    Raises:
        InvalidCall: too large, binary, or not UTF-8.
    """
    if len(data) > MAX_FILE_BYTES:
        raise _too_large(name, len(data))
    if (nul := data.find(b"\0")) >= 0:
        raise InvalidCall(f"{name}: is a binary file (byte 0 at offset {nul}): give a text file in UTF-8")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidCall(
            f"{name}: is not UTF-8 (byte 0x{data[error.start]:02x} at offset {error.start}): convert it to UTF-8 first"
        ) from error
    bom = text.startswith("\ufeff")
    text = text[1:] if bom else text
    newline = _newline(text)
    return Buffer(text.replace(newline, "\n"), newline, bom)


def write_buffer(path: str | Path, buffer: Buffer) -> None:
    """Write the buffer to `path` with its newlines and its byte order mark, whole or not at all.

    Raises:
        EdgePhiError: the folder cannot be written to, the disk is full, or the text is not Unicode.
    """
    write_bytes(Path(path), buffer.to_bytes())


def parse_cursor(cursor: str) -> tuple[int, int]:
    """Line and column of "LINE:COL".

    Raises:
        InvalidCall: it is written otherwise.
    """
    match = _CURSOR.fullmatch(cursor)
    if not match:
        raise InvalidCall(f"cursor {cursor!r}: write LINE:COL, both counted from 1, as in 12:5")
    return int(match[1]), int(match[2])


def _open_at_once(path: str, flags: int) -> int:
    """Without O_NONBLOCK, opening a FIFO waits for somebody to write into it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _newline(text: str) -> str:
    pairs, feeds, returns = text.count("\r\n"), text.count("\n"), text.count("\r")
    if returns and pairs == feeds == returns:
        return "\r\n"
    return "\r" if returns and not feeds else "\n"


def _too_large(name: str | Path, size: int) -> InvalidCall:
    # The true size is unknown where reading stopped at the limit.
    known = f"{size / 1e6:.1f} MB" if size > MAX_FILE_BYTES + 1 else f"over {MAX_FILE_BYTES / 1e6:.0f} MB"
    return InvalidCall(
        f"{name}: is {known}, the limit is {MAX_FILE_BYTES / 1e6:.0f} MB: give only the part around the cursor"
    )
