"""Messages between the editor and an engine's process: a head in JSON, and texts that may be long, as they are.

A frame is the head's length in four bytes, the head, and its texts one after the other, their lengths in the head. A
text goes as UTF-8, lone surrogates as what they would be in it: an editor's buffer may hold any.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import IO, Any

_LENGTH = struct.Struct("<I")


def write_frame(stream: IO[bytes], head: Mapping[str, Any], *texts: str) -> None:
    """Write one frame.

    Raises:
        OSError: nobody reads any more.
        ValueError: `stream` is closed.
    """
    bodies = [text.encode("utf-8", "surrogatepass") for text in texts]
    packed = json.dumps({**head, "texts": [len(body) for body in bodies]}).encode()
    stream.write(b"".join([_LENGTH.pack(len(packed)), packed, *bodies]))
    stream.flush()


def read_frame(stream: IO[bytes]) -> tuple[dict[str, Any], list[str]]:
    """The head and the texts of the next frame; waits for it.

    Raises:
        EOFError: nobody writes any more.
        ValueError: what comes is no frame, or `stream` is closed.
        OSError: reading fails.
    """
    head = json.loads(_read(stream, _LENGTH.unpack(_read(stream, _LENGTH.size))[0]))
    return head, [_read(stream, size).decode("utf-8", "surrogatepass") for size in head["texts"]]


def _read(stream: IO[bytes], size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = stream.read(size - len(data))
        if not more:
            raise EOFError
        data = data + more if data else more
    return data
