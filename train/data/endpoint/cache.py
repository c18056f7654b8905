"""The journal of answers: each is on the disk before it counts, and is never asked for again.

A line of JSON for every answer, under the sha256 of its request, appended and synced. A process that is killed
leaves whole lines and at most one that is cut, which the next one takes off. Beside the answers it says what was
lost: requests that the server may have worked on, and charged for, whose answers never came. In memory are the keys
alone.
"""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from edge_phi.atomic import fsync_folder
from edge_phi.errors import EdgePhiError, InvalidCall, InvalidFile

from .answer import MAX_TOKENS, Answer, Usage

_HEADER = {"journal": "answers of an endpoint", "version": 1}
_MAX_LINE = 64 << 20  # bytes; six for each of an answer's, and then some


class Journal:
    """The answers there are, open for more. One process at a time.

    Attributes:
        spent: tokens of all answers and of all that was lost.
        lost: how many answers never came.
        damaged: lines that cannot be read.

    Args:
        path: of the file, which is begun if it is not there.

    Raises:
        InvalidCall: another process has it.
        InvalidFile: it is no journal.
        EdgePhiError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spent = Usage()
        self.lost = 0
        self.damaged = 0
        self._at: dict[bytes, int] = {}  # where an answer's line begins, by half of its key
        self._failed = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._out: IO[bytes] = path.open("ab", buffering=0)
            self._in = path.open("rb")
        except OSError as error:
            raise EdgePhiError(f"{path}: cannot be written ({error.strerror}): choose another folder") from error
        try:
            self._lock()
            self._load()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._at)

    def __contains__(self, key: str) -> bool:
        return _short(key) in self._at

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._out.close()
        self._in.close()

    def get(self, key: str) -> Answer | None:
        """The answer under a key, None if there is none."""
        at = self._at.get(_short(key))
        if at is None:
            return None
        self._in.seek(at)
        line = _read_line(self._in.readline(_MAX_LINE))
        if line is None or line["key"] != key:
            raise InvalidFile(f"{self.path}: changed while it was read: run the command again")
        return Answer(line["text"], line["truncated"], _usage_of(line))

    def add(self, key: str, model: str, answer: Answer, taken: Usage) -> None:
        """Keep an answer, and what it took; it is on the disk when this returns.

        Raises:
            EdgePhiError: the disk is full, or gone.
        """
        at = self._append(
            {
                "key": key,
                "model": model,
                "text": answer.text,
                "truncated": answer.truncated,
                "prompt_tokens": taken.prompt,
                "completion_tokens": taken.completion,
                "counted_by": "server" if answer.usage else "bound",
            }
        )
        self._at[_short(key)] = at
        self.spent += taken

    def lose(self, key: str, why: str, taken: Usage) -> None:
        """Keep that an answer which may have been charged for never came.

        Raises:
            EdgePhiError: the disk is full, or gone.
        """
        self._append({"lost": key, "why": why, "prompt_tokens": taken.prompt, "completion_tokens": taken.completion})
        self.lost += 1
        self.spent += taken

    def _append(self, line: dict[str, Any]) -> int:
        """Where the line begins."""
        descriptor = self._out.fileno()
        at = os.fstat(descriptor).st_size
        left = memoryview(json.dumps(line).encode("ascii") + b"\n")
        try:
            if self._failed:
                raise OSError(errno.EIO, "an earlier answer could not be")
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        except OSError as error:
            self._failed = True  # what was begun has no end: nothing may come after it
            raise EdgePhiError(
                f"{self.path}: cannot be written ({error.strerror}): what is in it stays; free some space and run again"
            ) from error
        return at

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows
            return
        try:
            fcntl.flock(self._out, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InvalidCall(
                f"{self.path}: another process is writing it: wait for it, or choose another place for the result"
            ) from error

    def _load(self) -> None:
        self._in.seek(0)
        first = self._in.readline(_MAX_LINE)
        if not first.endswith(b"\n") and json.dumps(_HEADER).encode().startswith(first):  # new, or killed at its begin
            self._out.truncate(0)
            self._append(_HEADER)
            fsync_folder(self.path.parent)
            return
        if first != json.dumps(_HEADER).encode() + b"\n":
            raise InvalidFile(f"{self.path}: is no journal of answers: move it away, or choose another place")
        at = self._in.tell()
        whole = True  # the line before this one has its end
        while piece := self._in.readline(_MAX_LINE):
            ended = piece.endswith(b"\n")
            line = _read_line(piece) if whole and ended else None
            if line is None:
                self.damaged += ended
            else:
                self._note(line, at)
            if ended:
                at = self._in.tell()
            whole = ended
        if not whole:
            self._out.truncate(at)

    def _note(self, line: dict[str, Any], at: int) -> None:
        if "lost" in line:
            self.lost += 1
        else:
            self._at.setdefault(_short(line["key"]), at)
        self.spent += Usage(line["prompt_tokens"], line["completion_tokens"])


def _read_line(line: bytes) -> dict[str, Any] | None:
    """What a line says, None if it says nothing that we write."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    counts = [value.get("prompt_tokens"), value.get("completion_tokens")]
    if not all(type(count) is int and 0 <= count <= MAX_TOKENS for count in counts):
        return None
    if "lost" in value:
        return value
    fits = _is_key(value.get("key")) and isinstance(value.get("text"), str) and isinstance(value.get("truncated"), bool)
    return value if fits else None


def _is_key(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def _short(key: str) -> bytes:
    return bytes.fromhex(key[:32])


def _usage_of(line: dict[str, Any]) -> Usage:
    return Usage(line["prompt_tokens"], line["completion_tokens"])
