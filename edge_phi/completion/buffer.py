"""A text file from outside: read without loss, addressed by line and column, written back as it was."""

from __future__ import annotations

import codecs
import io
import os
import re
import stat
import tokenize
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
    encoding: str = "utf-8"  # as its first lines declare it (PEP 263)

    def to_bytes(self) -> bytes:
        """The file's bytes: `decode_buffer(data, name).to_bytes() == data`.

        Raises:
            EdgePhiError: `text` holds a character that the encoding has not: in UTF-8, a lone surrogate.
        """
        text = self.text.replace("\n", self.newline)
        try:
            body = text.encode(self.encoding)
        except UnicodeEncodeError as error:
            line = text.count(self.newline, 0, error.start) + 1
            character = f"U+{ord(text[error.start]):04X}"
            if self.encoding == "utf-8":
                raise EdgePhiError(
                    f"line {line}: {character} is a lone surrogate, which UTF-8 cannot hold: remove it"
                ) from error
            raise EdgePhiError(
                f"line {line}: {self.encoding} has no character {character}: remove it, or declare utf-8 in line 1"
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
    bom = data.startswith(codecs.BOM_UTF8)
    encoding = "utf-8" if bom else declared_encoding(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        called = encoding.upper() if encoding == "utf-8" else encoding
        raise InvalidCall(
            f"{name}: is not {called} (byte 0x{data[error.start]:02x} at offset {error.start}): "
            "convert it to UTF-8 first"
        ) from error
    except UnicodeError as error:  # of codecs that are not about bytes, as idna
        raise InvalidCall(f"{name}: is not {encoding}: convert it to UTF-8 first") from error
    text = text[1:] if bom else text
    newline = _newline(text)
    buffer = Buffer(text.replace(newline, "\n"), newline, bom, encoding)
    if encoding != "utf-8" and not _written_back(buffer, data):  # utf-7 writes the same text in many ways
        raise InvalidCall(
            f"{name}: its encoding {encoding} would not be written back as it was: convert it to UTF-8 first"
        )
    return buffer


def declared_encoding(data: bytes) -> str:
    """The encoding that Python source declares in its first two lines (PEP 263); "utf-8" if none that Python knows."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        "".encode(encoding)  # not one of bytes to bytes, which Python refuses here
    except (SyntaxError, LookupError):
        return "utf-8"
    return encoding


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


def _written_back(buffer: Buffer, data: bytes) -> bool:
    try:
        return buffer.to_bytes() == data
    except (EdgePhiError, UnicodeError):
        return False


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
