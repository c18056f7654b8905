"""From a unit's inputs to documents as they are found, and a reason for each that cannot be read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from .fitness import MOST_CHARACTERS
from .inputs import Input, Unit
from .lines import TooMuch, bounded_lines, opened
from .sources import PYTHON_SUFFIXES, TABLE_SUFFIXES, TEXT_SUFFIXES, open_regular
from .tables import NotReadable, rows

_LARGEST_FILE = 4 * MOST_CHARACTERS  # bytes: no encoding needs more for a character
_LONGEST_PATH = 1_000  # characters
# The columns of The Stack and of what was made from it stand beside our own.
_TEXT = ("text", "content")
_PATH = ("path", "max_stars_repo_path", "id")
_LICENSE = ("license", "licenses", "max_stars_repo_licenses")
_LANGUAGE = ("lang", "ext")


@dataclass(frozen=True)
class Found:
    """A document as it was found, not yet judged.

    Attributes:
        id: unique in its source: the file, and the line or row in it.
        path: its own name for itself, if it has one, else as in `id`.
        licenses: it says it is under all of them.
        text: a string, or bytes not yet decoded.
        python: whether it is a Python source.
    """

    id: str
    path: str
    licenses: tuple[str, ...]
    text: str | bytes
    python: bool


def read(unit: Unit, root: Path) -> Iterator[Found | str]:
    """What a unit's inputs hold, in order: a document, or the reason why there is none where one was to be.

    Nothing that is wrong with a file is raised: what was read of it before stays, and the rest counts as one.
    """
    for each in unit.inputs:
        try:
            if each.name.endswith(TEXT_SUFFIXES):
                yield _whole_file(unit.source, each, root)
            elif each.name.endswith(TABLE_SUFFIXES):
                yield from _table(unit.source, each, root)
            else:
                yield from _lines(unit.source, each, root)
        except NotReadable as error:
            yield str(error)
        except TooMuch:
            yield "a file that unpacks to too much"
        except (pa.ArrowException, OSError, EOFError, MemoryError):
            yield "a file that is damaged or unreadable"


def _whole_file(source: str, file: Input, root: Path) -> Found | str:
    if file.bytes > _LARGEST_FILE:
        return "over a million characters"
    with open_regular(root / file.name) as opened_:
        data = opened_.read(_LARGEST_FILE + 1)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        return "a file that changed while it was collected"
    id_ = "/".join(filter(None, [source, file.owner, file.name]))
    licenses = (file.license,) if file.license else ()
    return Found(id_, file.name, licenses, data, file.name.endswith(PYTHON_SUFFIXES))


def _lines(source: str, file: Input, root: Path) -> Iterator[Found | str]:
    with opened(root / file.name, file.start, file.stop) as read_block:
        for number, line in enumerate(bounded_lines(read_block), start=file.first):
            if line is None:
                yield "a line over 8 MiB"
            elif line and not line.isspace():
                yield _line(source, f"{file.name}#{number}", line)


def _line(source: str, name: str, line: bytes) -> Found | str:
    try:
        value = json.loads(line)
    except UnicodeDecodeError:
        return "wrong encoding"
    except (ValueError, RecursionError, MemoryError):
        return "a line that is not JSON"
    return _document(source, name, value) if isinstance(value, dict) else "a line that is not a JSON object"


def _table(source: str, file: Input, root: Path) -> Iterator[Found | str]:
    columns = (*_TEXT, *_PATH, *_LICENSE, *_LANGUAGE)
    for number, row in enumerate(rows(root / file.name, file.start, file.stop, columns, _TEXT), start=file.first):
        yield _document(source, f"{file.name}#{number}", row)


def _document(source: str, name: str, row: dict[str, Any]) -> Found | str:
    text = next((row[key] for key in _TEXT if isinstance(row.get(key), (str, bytes))), None)
    if text is None:
        return "no text"
    path = next((row[key] for key in _PATH if isinstance(row.get(key), str) and row[key]), name)
    if not path.isprintable() or len(path) > _LONGEST_PATH:
        return "a name that is not printable"
    said = next((row[key] for key in _LICENSE if row.get(key)), ())
    licenses = (said,) if isinstance(said, str) else tuple(said) if isinstance(said, list) else ()
    if not all(isinstance(each, str) for each in licenses):
        licenses = ()
    languages = [row[key].lower() for key in _LANGUAGE if isinstance(row.get(key), str)]
    python = path.endswith(PYTHON_SUFFIXES) or "python" in languages or "py" in languages
    return Found(f"{source}/{name}", path, licenses, text, python)
