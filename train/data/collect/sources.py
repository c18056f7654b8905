"""Sources of text, and the files in them: which are read, in which order, and why the others are not.

Nothing outside a source's folder is touched: links are not followed, whether to files or to folders, and what is
neither is not opened.
"""

from __future__ import annotations

import os
import re
import stat
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import IO, Literal

from edge_phi.errors import InvalidCall

from .licenses import of_distribution

STANDARD_LIBRARY = "standard_library"
INSTALLED = "installed"
PYTHON_SUFFIXES = (".py", ".pyi", ".pyw")
TEXT_SUFFIXES = (".py", ".md", ".rst", ".txt")
LINES_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst")
TABLE_SUFFIXES = (".parquet",)
_UNPACKED_NAMES = (*LINES_SUFFIXES, ".json.gz", ".gz", ".zst")  # what a single file may be called
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LONGEST_PATH = 1_000  # characters
_TESTS = frozenset({"test", "tests", "testing", "idle_test"})
_TABLES = frozenset({"encodings", "pydoc_data", "lib2to3", "turtledemo"})  # and what is there for old times' sake
_VENDORED = frozenset({"_vendor", "vendor", "vendored", "_vendored", "third_party", "extern", "externals", "_bundled"})


@dataclass(frozen=True)
class Source:
    """One collection of text.

    Attributes:
        name: of its records' `source`.
        kind: a folder of files; a folder of JSON lines and Parquet alone; one such file; or code that is installed.
        root: the folder; of a single file the one it lies in.
        file: the name of a single file.
    """

    name: str
    kind: Literal["folder", "set", "file", "standard_library", "installed"]
    root: Path
    file: str = ""


@dataclass(frozen=True)
class Listed:
    """A file of a source, or why one is not read.

    Attributes:
        name: its path within the source's root, parts joined by "/".
        skipped: why it is not read, or "".
        license: if it is known before the file is read.
        owner: the distribution and version it belongs to, if any.
    """

    name: str
    skipped: str = ""
    license: str = ""
    owner: str = ""


def parse_sources(texts: Sequence[str]) -> tuple[Source, ...]:
    """What a command line names: `standard_library`, `installed`, NAME=PATH, or the PATH of a folder of sets.

    A folder of sets holds SET/*.jsonl.gz (or .jsonl, .jsonl.zst, .parquet); each set is a source of its own.

    Raises:
        InvalidCall: nothing named, no such file or folder, or a name that is no name or given twice.
    """
    sources = [source for text in texts for source in _parse(text)]
    if not sources:
        raise InvalidCall(f"name at least one source: {STANDARD_LIBRARY}, {INSTALLED}, NAME=PATH or a folder of sets")
    names = [source.name for source in sources]
    for name in names:
        if not _NAME.fullmatch(name):
            raise InvalidCall(f"{name!r} cannot name a source: use letters, digits, '.', '_' and '-'")
        if names.count(name) > 1:
            raise InvalidCall(f"two sources are called {name!r}: write NAME=PATH with another name")
    return tuple(sources)


def files_of(source: Source) -> Iterator[Listed]:
    """Every file of a source, always in the same order."""
    if source.kind == "file":
        yield Listed(source.file)
    elif source.kind == "installed":
        for distribution in _distributions(source.root):
            yield from _files_of_distribution(distribution, source.root)
    else:
        suffixes = {
            "folder": (*TEXT_SUFFIXES, *LINES_SUFFIXES, *TABLE_SUFFIXES),
            "set": (*LINES_SUFFIXES, *TABLE_SUFFIXES),
            "standard_library": (".py",),
        }[source.kind]
        for listed in _walk(source.root, suffixes, count_others=source.kind == "folder"):
            if source.kind != "standard_library":
                yield listed
            elif "site-packages" not in listed.name.split("/"):
                yield Listed(listed.name, listed.skipped or _skipped_part(listed.name, _TABLES), license="PSF-2.0")


def open_regular(path: Path) -> IO[bytes]:
    """Open a file for reading, without following a link and without waiting for a pipe's other end.

    Raises:
        OSError: not readable, or no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path}: no regular file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _parse(text: str) -> list[Source]:
    if text == STANDARD_LIBRARY:
        return [Source(text, "standard_library", Path(sysconfig.get_path("stdlib")))]
    if text == INSTALLED:
        return [Source(text, "installed", Path(sysconfig.get_path("purelib")))]
    name, equals, given = text.partition("=")
    path = Path(os.path.realpath(given if equals else text))
    if (not given and equals) or not path.exists():
        raise InvalidCall(f"{text!r}: no such file or folder, and neither {STANDARD_LIBRARY!r} nor {INSTALLED!r}")
    if not equals:
        sets = sorted(folder for folder in path.iterdir() if folder.is_dir()) if path.is_dir() else []
        sources = [Source(folder.name, "set", folder) for folder in sets if any(_walk(folder, _SET_SUFFIXES))]
        if not sources:
            raise InvalidCall(
                f"{text}: holds no SET/*.jsonl.gz: write NAME=PATH for one source, or give a folder of sets"
            )
        return sources
    if path.is_dir():
        return [Source(name, "folder", path)]
    if not path.is_file() or not path.name.endswith((*_UNPACKED_NAMES, *TABLE_SUFFIXES)):
        kinds = ", ".join([*LINES_SUFFIXES, *TABLE_SUFFIXES])
        raise InvalidCall(f"{given}: cannot be read as documents: give a folder, or a file of {kinds}")
    return [Source(name, "file", path.parent, path.name)]


_SET_SUFFIXES = (*LINES_SUFFIXES, *TABLE_SUFFIXES)


def _walk(root: Path, suffixes: tuple[str, ...], *, count_others: bool = False) -> Iterator[Listed]:
    """Files below a folder by suffix, hidden ones and caches left out, folder by folder in the order of their names."""
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(root / folder) as found:
                entries = sorted(found, key=lambda entry: os.fsencode(entry.name))
        except OSError:
            yield Listed(folder, "a folder that cannot be listed")
            continue
        below = []
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__pycache__":
                continue
            name = f"{folder}/{entry.name}" if folder else entry.name
            skipped = _unusable(entry, name)
            if not skipped and entry.is_dir(follow_symlinks=False):
                below.append(name)
            elif entry.name.endswith(suffixes):
                yield Listed(name, skipped)
            elif count_others:
                yield Listed(name, skipped or "a kind of file that is not read")
        folders += reversed(below)


def _unusable(entry: os.DirEntry[str], name: str) -> str:
    if not name.isprintable() or len(name) > _LONGEST_PATH:
        return "a name that is not printable"
    if entry.is_symlink():
        return "a symbolic link"
    if not entry.is_file(follow_symlinks=False) and not entry.is_dir(follow_symlinks=False):
        return "no regular file"
    return ""


def _distributions(root: Path) -> list[Distribution]:
    """What is installed below a folder, by name; not what is installed from a folder that is being worked on."""
    found: dict[str, Distribution] = {}
    for distribution in distributions(path=[str(root)]):
        name = (distribution.metadata.get_all("Name") or [""])[0]
        editable = '"editable": true' in (distribution.read_text("direct_url.json") or "")
        if name and not editable and distribution.read_text("RECORD") is not None:
            found.setdefault(name.lower(), distribution)
    return [found[name] for name in sorted(found)]


def _files_of_distribution(distribution: Distribution, root: Path) -> Iterator[Listed]:
    license_ = of_distribution(distribution.metadata)
    owner = f"{distribution.metadata['Name']}-{distribution.version}"
    for name in sorted({file.as_posix() for file in distribution.files or [] if file.suffix == ".py"}):
        skipped = _skipped_part(name, _VENDORED)
        if not name.isprintable() or len(name) > _LONGEST_PATH:
            skipped = "a name that is not printable"
        elif name.startswith("/") or ".." in name.split("/") or (root / name).is_symlink():
            skipped = "outside of where packages are installed"
        yield Listed(name, skipped, license_, owner)


def _skipped_part(name: str, also: frozenset[str]) -> str:
    parts = set(name.split("/")[:-1])
    if not parts.isdisjoint(_TESTS):
        return "in a folder of tests"
    if parts.isdisjoint(also):
        return ""
    return "vendored, under a licence of its own" if also is _VENDORED else "a table or legacy of the standard library"
