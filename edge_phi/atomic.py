"""Files that are either whole or absent: write beside, fsync, rename."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .errors import EdgePhiError


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Yield a binary file that takes the name `path` when the block ends, and vanishes if it raises.

    An existing file keeps its mode bits; a symbolic link is written through, not replaced.

    Raises:
        EdgePhiError: the folder cannot be written to, or the disk is full.
    """
    with atomic_path(path) as partial, partial.open("wb") as file:
        yield file


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """As `atomic_file`, for writers that open a file by its name: yield the path of an empty file to write into.

    Raises:
        EdgePhiError: the folder cannot be written to, or the disk is full.
    """
    target = Path(os.path.realpath(path))
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        os.close(descriptor)
    except OSError as error:
        raise _cannot_write(path, error) from error
    partial = Path(name)
    try:
        yield partial
        with partial.open("r+b") as written:
            os.fsync(written.fileno())
        partial.chmod(target.stat().st_mode & 0o7777 if target.exists() else 0o666 & ~_umask())
        partial.replace(target)
        fsync_folder(target.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` through `atomic_file`."""
    with atomic_file(path) as file:
        file.write(data)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the name `path` when the block ends, and vanishes if it raises.

    A folder already at `path` is replaced whole: it is moved aside before the rename and removed after it.

    Raises:
        EdgePhiError: the parent folder cannot be written to, or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    except OSError as error:
        raise _cannot_write(path, error) from error
    aside = partial.with_suffix(".old")
    try:
        yield partial
        partial.chmod(0o777 & ~_umask())
        for file in partial.rglob("*"):
            if file.is_file():
                file.chmod(0o666 & ~_umask())  # whatever wrote it may have kept it private
                with file.open("rb") as written:
                    os.fsync(written.fileno())
        if path.exists():
            path.rename(aside)
        partial.rename(path)
        fsync_folder(path.parent)
    except OSError as error:
        if aside.exists() and not path.exists():
            aside.rename(path)
        raise _cannot_write(path, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system can."""
    with contextlib.suppress(OSError):  # Windows cannot open a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _cannot_write(path: Path, error: OSError) -> EdgePhiError:
    return EdgePhiError(
        f"{path}: cannot be written ({error.strerror or error}): free some space or choose another folder"
    )


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
