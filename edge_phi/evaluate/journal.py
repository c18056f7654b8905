"""JSON lines that grow by one record at a time, and survive being killed in the middle of one.

The first line says with which settings the records were made. A file is continued with the same settings or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from ..errors import EdgePhiError, InvalidCall, InvalidFile

MAX_LINE = 64 << 20  # bytes; a longer one is not read


class Journal:
    """A file of records, open for more. One process at a time."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        """Open `path`, or begin it.

        `records` are those that were there, in their order; `dropped` says how many lines could not be read.

        Raises:
            InvalidCall: it was made with other settings, or another process writes it.
            InvalidFile: it is no journal.
            EdgePhiError: it cannot be written.
        """
        self.path = path
        self.records: list[dict[str, Any]] = []
        self.dropped = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = path.open("a+b")
        except OSError as error:
            raise EdgePhiError(f"{path}: cannot be written ({error.strerror}): choose another folder") from error
        try:
            self._lock()
            self._read(json.loads(json.dumps(settings)))  # as it will be read
        except BaseException:
            self._file.close()
            raise

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a record; it is on the disk when this returns.

        Raises:
            EdgePhiError: the disk is full, or gone.
        """
        try:
            self._file.write(json.dumps(record).encode("ascii") + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise EdgePhiError(
                f"{self.path}: cannot be written ({error.strerror}): what is in it stays; free some space and run again"
            ) from error

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows keeps others out by itself where they would write
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InvalidCall(
                f"{self.path}: another process is writing it: wait for it, or choose another --out"
            ) from error

    def _read(self, settings: dict[str, Any]) -> None:
        self._file.seek(0)
        size = os.fstat(self._file.fileno()).st_size
        first = self._file.readline(MAX_LINE)
        if not first.endswith(b"\n"):  # empty, or killed while it was begun
            self.dropped = bool(first)
            self._file.truncate(0)
            self.append({"settings": settings, "sha256": settings_sha256(settings)})
            return
        made_with = _settings(first, self.path)
        different = [name for name in {**made_with, **settings} if made_with.get(name) != settings.get(name)]
        if different:
            name = different[0]
            raise InvalidCall(
                f"{self.path}: was made with {name} {_short(made_with.get(name))}, not {_short(settings.get(name))}: "
                "choose another --out, or remove it"
            )
        whole = self._file.tell()
        while line := self._file.readline(MAX_LINE):
            if not line.endswith(b"\n"):
                self.dropped += 1
                if whole + len(line) == size:
                    self._file.truncate(whole)
                    break
            elif (record := parse_line(line)) is None:
                self.dropped += 1
            else:
                self.records.append(record)
            whole += len(line)


def read_journal(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Settings and records of a journal; lines that cannot be read are left out.

    Raises:
        InvalidCall: there is none.
        InvalidFile: it is no journal.
    """
    try:
        with path.open("rb") as file:
            settings = _settings(file.readline(MAX_LINE), path)
            lines = iter(lambda: file.readline(MAX_LINE), b"")
            records = [record for line in lines if (record := parse_line(line)) is not None]
    except OSError as error:
        raise InvalidCall(f"{path}: {error.strerror}: give the folder of a run") from error
    return settings, records


def parse_line(line: bytes) -> dict[str, Any] | None:
    """The JSON object on a line, None if there is none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def settings_sha256(settings: Mapping[str, Any]) -> str:
    """One hash of all settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _settings(line: bytes, path: Path) -> dict[str, Any]:
    header = parse_line(line) or {}
    settings = header.get("settings")
    if not isinstance(settings, dict) or header.get("sha256") != settings_sha256(settings):
        raise InvalidFile(f"{path}: its first line does not say what it is: remove it, or choose another --out")
    return settings


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
