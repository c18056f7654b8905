"""Unsaved text on disk, so that nothing is lost when the editor ends otherwise than by its own quitting.

Each running editor has a folder with a lock that the system lets go of when the process ends, however it ends. In it is
one file for each text that is not saved. What a later start finds in a folder that nobody holds is offered again.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import platformdirs

from edge_phi.atomic import write_bytes
from edge_phi.errors import EdgePhiError

_FOLDER = "unsaved"
_LOCK = "lock"
_SUFFIX = ".json"
_LATEST = 2.0**32  # seconds since 1970 that every system can write as a date
_SETTLED_SECONDS = 60.0  # by then an editor that has made its folder holds its lock
_MAX_BYTES = 200_000_000  # of a file that is read back; no text that can be opened comes near


@dataclass(frozen=True)
class Unsaved:
    """One text as it was when it was last written down."""

    text: str  # true characters, "\\n" between lines
    path: str  # absolute; empty for a scratch text
    newline: str
    bom: bool
    encoding: str
    time: float  # seconds since 1970


@dataclass(frozen=True)
class Leftover:
    """What an editor that has ended has left. Whoever finds it holds it: two editors never offer the same."""

    folder: Path
    texts: tuple[Unsaved, ...]
    lock: IO[bytes]

    def forget(self) -> None:
        """Remove it from disk."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.lock.close()

    def leave(self) -> None:
        """Let go of it: the next editor that starts may offer it."""
        self.lock.close()


class Journal:
    """Writes texts down in a thread of its own; the newest state of each is what counts.

    Args:
        report: told, from the thread, in one line that texts cannot be written down; once until they can be again.
        root: the folder for all editors of this user.
    """

    def __init__(self, report: Callable[[str], None], root: Path | None = None) -> None:
        self._report = report
        self._root = root or state_folder() / _FOLDER
        self._folder = self._root / uuid.uuid4().hex
        self._lock: IO[bytes] | None = None
        self._changed = threading.Condition()
        self._waiting: dict[str, Callable[[], Unsaved] | None] = {}  # None: saved, remove it
        self._writing = False
        self._closing = False
        self._failed: dict[str, Callable[[], Unsaved] | None] = {}  # to be tried again with the next one
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def keep(self, name: str, unsaved: Callable[[], Unsaved]) -> None:
        """Write down the text called `name` soon, asking for it in the thread; returns at once."""
        self._put(name, unsaved)

    def drop(self, name: str) -> None:
        """Forget the text called `name`: it is saved, or its loss was agreed to."""
        self._put(name, None)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all is written down; False if that has not come about."""
        with self._changed:
            done = self._changed.wait_for(lambda: not self._waiting and not self._writing, timeout)
            return done and not self._failed

    def close(self, *, forget: bool) -> None:
        """End the thread; `forget` says that nothing in the folder is wanted any more. A second call does nothing."""
        if not self._closing:
            self.flush()
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(5.0)
        if forget and self._lock is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def leftovers(self) -> list[Leftover]:
        """What editors that have ended left, the oldest first; what cannot be read is left alone.

        It is held for this editor until `forget` or `leave` is called.
        """
        found = []
        with contextlib.suppress(OSError):
            for folder in self._root.iterdir():
                if folder != self._folder and (lock := _take_over(folder)) is not None:
                    texts = [text for file in folder.glob(f"*{_SUFFIX}") if (text := _read(file)) is not None]
                    if texts:
                        found.append(Leftover(folder, tuple(sorted(texts, key=lambda text: text.time)), lock))
                        continue
                    if not any(folder.glob(f"*{_SUFFIX}")) and _age(folder) > _SETTLED_SECONDS:
                        shutil.rmtree(folder, ignore_errors=True)
                    lock.close()
        return sorted(found, key=lambda leftover: leftover.texts[0].time)

    def _put(self, name: str, unsaved: Callable[[], Unsaved] | None) -> None:
        with self._changed:
            if self._closing or (unsaved is None and self._thread.ident is None):
                return  # or nothing has been written yet
            self._waiting[name] = unsaved
            self._changed.notify_all()
        if self._thread.ident is None:
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                batch, self._waiting, self._writing = {**self._failed, **self._waiting}, {}, True
            self._write(batch)

    def _write(self, batch: dict[str, Callable[[], Unsaved] | None]) -> None:
        try:
            self._claim()
            for name, unsaved in batch.items():
                file = self._folder / f"{name}{_SUFFIX}"
                if unsaved is None:
                    file.unlink(missing_ok=True)
                else:
                    write_bytes(file, json.dumps(asdict(unsaved())).encode())
        except (EdgePhiError, OSError) as error:
            if not self._failed:
                self._report(f"unsaved text cannot be kept for the next start: {error}")
            self._failed = batch
        else:
            self._failed = {}

    def _claim(self) -> None:
        """Make the folder, for this user only, and hold its lock."""
        if self._lock is None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = (self._folder / _LOCK).open("ab")
            _try_lock(lock)
            self._lock = lock


def unsaved(text: str, path: Path | None, newline: str, bom: bool, encoding: str) -> Unsaved:
    """A text as it is now."""
    return Unsaved(text, str(path.absolute()) if path else "", newline, bom, encoding, time.time())


def state_folder() -> Path:
    """Where this user's editors keep what is not a setting and not to be lost."""
    return Path(platformdirs.user_state_dir("edge-phi", appauthor=False))


def _read(file: Path) -> Unsaved | None:
    """What `_write` wrote; None for anything else, for the folder is open to all that this user runs."""
    try:
        if file.stat().st_size > _MAX_BYTES:
            return None
        fields: Any = json.loads(file.read_bytes())
        found = Unsaved(**fields)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    texts = (found.text, found.path, found.newline, found.encoding)
    if not all(isinstance(text, str) for text in texts) or found.newline not in ("\n", "\r\n", "\r"):
        return None
    if "\0" in found.path or not isinstance(found.bom, bool) or not isinstance(found.time, float):
        return None
    return found if 0 <= found.time < _LATEST else None


def _take_over(folder: Path) -> IO[bytes] | None:
    """Hold `folder` until what is returned is closed; None if a living editor holds it."""
    file = folder / _LOCK
    try:
        if not file.exists() and _age(folder) <= _SETTLED_SECONDS:
            return None  # an editor is making it
        lock = file.open("ab")
    except OSError:
        return None
    if _try_lock(lock):
        return lock
    lock.close()
    return None


def _age(folder: Path) -> float:
    try:
        return time.time() - folder.stat().st_mtime
    except OSError:
        return 0.0


def _try_lock(file: IO[bytes]) -> bool:
    """Hold `file` until it is closed; False if another process does. Without locks, nobody holds anything."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
