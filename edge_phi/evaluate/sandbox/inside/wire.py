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
    """The other side announced a frame beyond the limit."""


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
    """Read one frame of at most `limit` bytes.

    Raises:
        Closed: nobody writes one.
        Oversized: it is longer.
    """
    length = int.from_bytes(_exactly(fd, 4), "little")
    if length > limit:
        raise Oversized
    return _exactly(fd, length)


def send_json(fd: int, value: Any) -> None:
    """Write one frame that holds `value` as JSON."""
    send(fd, json.dumps(value).encode())


def receive_json(fd: int, limit: int) -> Any:
    """Read one frame of JSON."""
    return json.loads(receive(fd, limit))


def _exactly(fd: int, length: int) -> bytes:
    """Reads in growing pieces: an announced length alone must not take memory."""
    pieces = []
    while length:
        try:
            piece = os.read(fd, min(length, _CHUNK))
        except ConnectionResetError:
            raise Closed from None
        if not piece:
            raise Closed
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)
