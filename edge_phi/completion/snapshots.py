"""What a model has read, kept on disk: a file that is opened again tomorrow is not read again.

A snapshot is a runtime's raw state with the tokens it is of. It lies in the user's cache folder, for the user alone to
read, since it says what was in the file; together they take no more than `MAX_BYTES`, those used last. Whatever is
wrong with one, it is thrown away and the text read again.

    8 bytes    b"EPHISNAP"
    32 bytes   of which model in which engine: `snapshot_key`
    4 bytes    tokens, 8 bytes of state; little-endian, as all of it
    32 bytes   BLAKE2b of tokens and state
    tokens     int32 each
    state
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs

from ..atomic import atomic_file
from ..errors import EdgePhiError, InvalidFile
from .prefix import common_prefix

MAX_BYTES = 512_000_000

_MAGIC = b"EPHISNAP"
_HEADER = struct.Struct("<8s32sIQ32s")
_MAX_TOKENS = 65_536
_SUFFIX = ".state"


def snapshot_key(parts: Sequence[str | int | float]) -> bytes:
    """32 bytes for a model's file, its engine and the engine's version."""
    return hashlib.blake2b(json.dumps(list(parts)).encode(), digest_size=32).digest()


@dataclass(frozen=True)
class Found:
    """A snapshot on disk whose header was read."""

    path: Path
    tokens: tuple[int, ...]


class SnapshotFolder:
    """The snapshots of one model in one engine. Other processes may add to the folder, and take from it."""

    def __init__(self, key: bytes, folder: Path | None = None) -> None:
        self._key = key
        self._folder = folder or Path(platformdirs.user_cache_dir("edge-phi", appauthor=False)) / "snapshots"
        self._prefix = key.hex()[:16] + "-"
        self._seen: dict[tuple[str, int, int], tuple[int, ...]] = {}  # name, bytes and time of a file -> its tokens

    def find(self, tokens: Sequence[int], longer_than: int) -> Found | None:
        """The snapshot that has most of the beginning of `tokens`, if that is more than `longer_than` of them."""
        best, most = None, longer_than
        for path in self._paths():
            try:
                status = path.stat()
                stamp = path.name, status.st_size, status.st_mtime_ns
                if stamp not in self._seen:
                    self._seen[stamp] = self._tokens(path, status.st_size)
            except (OSError, InvalidFile):
                continue
            common = common_prefix(tokens, self._seen[stamp])
            if common > most:
                best, most = Found(path, self._seen[stamp]), common
        return best

    def read(self, found: Found) -> bytes:
        """The state of a snapshot.

        Raises:
            InvalidFile: it is not what its header says; it has been removed.
        """
        try:
            with found.path.open("rb") as file:
                count, size, digest = self._header(found.path, file.read(_HEADER.size))
                data = file.read(4 * count)
                state = file.read(size + 1)
            if len(state) != size or hashlib.blake2b(data + state, digest_size=32).digest() != digest:
                raise InvalidFile(f"{found.path}: is damaged")
            os.utime(found.path)
        except (OSError, InvalidFile) as error:
            self.remove(found)
            raise InvalidFile(f"{found.path}: cannot be read as a snapshot ({error})") from error
        return state

    def remove(self, found: Found) -> None:
        """Throw a snapshot away."""
        with contextlib.suppress(OSError):
            found.path.unlink()

    def save(self, tokens: Sequence[int], state: bytes) -> bool:
        """Keep a state, and throw away what was used longest ago of all models' until all fit; False if that fails."""
        if len(state) > MAX_BYTES // 2:
            return False
        data = np.asarray(tokens, "<i4").tobytes()
        digest = hashlib.blake2b(data + state, digest_size=32).digest()
        path = self._folder / f"{self._prefix}{digest.hex()[:16]}{_SUFFIX}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._folder.chmod(0o700)
            with atomic_file(path) as file:
                file.write(_HEADER.pack(_MAGIC, self._key, len(tokens), len(state), digest))
                file.write(data)
                file.write(state)
            self._make_room()
        except (OSError, EdgePhiError):
            return False
        return True

    def _paths(self) -> list[Path]:
        try:
            return [path for path in self._folder.iterdir() if path.name.startswith(self._prefix)]
        except OSError:
            return []

    def _tokens(self, path: Path, file_bytes: int) -> tuple[int, ...]:
        with path.open("rb") as file:
            count, size, _ = self._header(path, file.read(_HEADER.size))
            if file_bytes != _HEADER.size + 4 * count + size:
                raise InvalidFile(f"{path}: has {file_bytes} bytes, its header says others")
            return tuple(np.frombuffer(file.read(4 * count), "<i4").tolist())

    def _header(self, path: Path, data: bytes) -> tuple[int, int, bytes]:
        if len(data) != _HEADER.size:
            raise InvalidFile(f"{path}: is truncated")
        magic, key, count, size, digest = _HEADER.unpack(data)
        if magic != _MAGIC or key != self._key or not 0 < count <= _MAX_TOKENS or not 0 < size <= MAX_BYTES:
            raise InvalidFile(f"{path}: is no snapshot of this model")
        return count, size, digest

    def _make_room(self) -> None:
        files = []
        for path in self._folder.iterdir():
            with contextlib.suppress(OSError):
                if path.suffix == _SUFFIX:
                    files.append((path.stat().st_mtime_ns, path.stat().st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= MAX_BYTES:
                return
            path.unlink(missing_ok=True)
            total -= size
