"""Lines of large and hostile files: of any length, and of what unpacks to more than anybody packs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from .sources import open_regular

LONGEST_LINE = 8 << 20  # bytes; a million characters, each escaped in JSON, need no more
_BLOCK = 1 << 20
_UNPACKED_BLOCK = 1 << 16  # what is lost with it where a file is damaged
_EXPANSION_ALLOWED = 256 << 20  # bytes, however little they came from
_MOST_EXPANSION = 200  # times; text seldom reaches 20


class TooMuch(Exception):
    """A compressed file unpacks to far more than text does."""


@contextlib.contextmanager
def opened(path: Path, start: int, stop: int | None) -> Iterator[Callable[[], bytes]]:
    """Open a file, unpacked if its name ends in .gz or .zst; what is given reads its next block.

    Args:
        path: of a regular file.
        start: its first byte to read.
        stop: the byte after the last; None for all of it. Of a packed file all is read.

    Raises:
        OSError: not readable, or damaged (`pyarrow.ArrowException` too, while it is read).
        TooMuch: while it is read.
    """
    with open_regular(path) as file:
        packing = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix)
        if packing is None:
            file.seek(start)
            yield lambda: file.read(_BLOCK if stop is None else min(_BLOCK, stop - file.tell()))
        elif not file.peek(1):  # type: ignore[attr-defined]
            yield lambda: b""
        else:
            with pa.CompressedInputStream(pa.PythonFile(file, mode="r"), packing) as unpacked:
                yield _Guarded(unpacked, file)


def bounded_lines(read: Callable[[], bytes]) -> Iterator[bytes | None]:
    """Lines without their line feeds, and None for each that is longer than `LONGEST_LINE`, which is never held."""
    held, skipping = b"", False
    while block := read():
        lines = block.split(b"\n")
        lines[0] = held + lines[0]
        held = lines.pop()
        for line in lines:
            yield None if skipping or len(line) > LONGEST_LINE else line
            skipping = False
        if skipping or len(held) > LONGEST_LINE:
            held, skipping = b"", True
    if skipping:
        yield None
    elif held:
        yield held


class _Guarded:
    """Reads a packed file as long as it does not swell."""

    def __init__(self, unpacked: Any, packed: IO[bytes]) -> None:
        self._unpacked = unpacked
        self._packed = packed
        self._bytes = 0

    def __call__(self) -> bytes:
        block: bytes = self._unpacked.read(_UNPACKED_BLOCK)
        self._bytes += len(block)
        if self._bytes > _EXPANSION_ALLOWED and self._bytes > _MOST_EXPANSION * self._packed.tell():
            raise TooMuch
        return block
