"""What was measured before: a result a file, under the hash of all that it depends on.

A comparison that was interrupted, or is asked for again, takes from here what it need not measure. A file is written
whole or not at all, and one that is damaged counts as none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import platformdirs

from ..atomic import write_bytes
from ..errors import EdgePhiError


@dataclass(frozen=True)
class Kept:
    """A result and when it was found."""

    result: Any  # JSON
    measured: str  # UTC, as in "2026-11-21T19:40:03Z"


class Cache:
    """Results in a folder. One that was asked for in vain is measured and handed to `put`."""

    def __init__(self, folder: Path, *, fresh: bool = False) -> None:
        """Open or make `folder`; a `fresh` cache finds nothing that was there before, and keeps what comes.

        Raises:
            EdgePhiError: the folder cannot be made.
        """
        self.folder, self.fresh = folder, fresh
        self.found = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EdgePhiError(f"{folder}: cannot be made ({error.strerror}): set XDG_CACHE_HOME") from error

    def get(self, kind: str, key: Mapping[str, Any]) -> Kept | None:
        """What was found for `key`, None if nothing was."""
        if self.fresh:
            return None
        try:
            entry = json.loads(self._path(kind, key).read_bytes())
            kept = Kept(entry["result"], str(entry["measured"]))
            sound = entry["key"] == json.loads(json.dumps(key)) and entry["sha256"] == _digest(kept.result)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        self.found += sound
        return kept if sound else None

    def put(self, kind: str, key: Mapping[str, Any], result: Any) -> Kept:
        """Keep `result` for `key`.

        Raises:
            EdgePhiError: the disk is full or not writable.
        """
        kept = Kept(result, datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))
        entry = {"key": key, "measured": kept.measured, "result": result, "sha256": _digest(result)}
        write_bytes(self._path(kind, key), (json.dumps(entry, indent=1) + "\n").encode())
        return kept

    def _path(self, kind: str, key: Mapping[str, Any]) -> Path:
        return self.folder / f"{kind}-{_digest(key)[:32]}.json"


def cache_folder() -> Path:
    """Where comparisons keep their results."""
    return Path(platformdirs.user_cache_dir("edge-phi", appauthor=False)) / "compare"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
