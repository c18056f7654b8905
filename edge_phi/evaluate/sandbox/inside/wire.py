"""Frames on a pipe or a socket: four bytes of length, then that many bytes."""

from __future__ import annotations

import json
import os
from typing import Any

MAX_FRAME = 32 << 20  # of what the candidate may say at once
_CHUNK = 1 << 16


class Closed(Exception):
    """The other side is gone, or went in the middle of a frame."""


class Oversized(Exception):
    """The other side says more than it may."""


def send(fd: int, *parts: bytes | bytearray) -> None:
    """Write one frame.

    Raises:
        Closed: nobody reads it.
    """
    body = b"".join(parts)
    rest = memoryview(len(body).to_bytes(4, "little") + body)
    try:
        while rest:
            rest = rest[os.write(fd, rest) :]
    except (BrokenPipeError, ConnectionResetError):
        raise Closed from None


def receive(fd: int, limit: int = MAX_FRAME) -> bytes:
    """Read one frame of at most `limit` bytes. Both sides wait for an answer: nothing may follow.

    Raises:
        Closed: nobody writes one.
        Oversized: it is longer, or something follows.
    """
    data = _read(fd)
    while len(data) < 4:
        data += _read(fd)
    length = int.from_bytes(data[:4], "little")
    if length > limit or len(data) > 4 + length:
        raise Oversized
    if len(data) == 4 + length:
        return data[4:]
    # In growing pieces: an announced length alone must not take memory.
    pieces = [data[4:]]
    missing = length + 4 - len(data)
    while missing:
        pieces.append(_read(fd, min(missing, _CHUNK)))
        missing -= len(pieces[-1])
    return b"".join(pieces)


def send_json(fd: int, value: Any) -> None:
    """Write one frame that holds `value` as JSON."""
    send(fd, json.dumps(value).encode())


def receive_json(fd: int, limit: int) -> Any:
    """Read one frame of JSON."""
    return json.loads(receive(fd, limit))


def _read(fd: int, count: int = _CHUNK) -> bytes:
    try:
        piece = os.read(fd, count)
    except ConnectionResetError:
        raise Closed from None
    if not piece:
        raise Closed
    return piece
