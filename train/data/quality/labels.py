"""Labels of educational value: those that come with the package, or a file of one's own.

Two formats, told apart by the first character: tab-separated lines of name, label and perhaps a reason, after a header,
where a name is one of the standard library's; or JSON lines of `id`, `label` and `text`, as `edge-phi data labels`
writes them (without `text`, the id is a name of the standard library's).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edge_phi.errors import InvalidCall, InvalidFile

from .standard_library import module_of, source_of

BUNDLED = Path(__file__).with_name("labels.tsv")
_HEADERS = (["name", "label"], ["name", "label", "reason"])
_MOST_UNKNOWN = 0.1  # of the names: Python versions differ by less, a misspelt file by more
_LONGEST_LINE = 16 << 20  # bytes


@dataclass(frozen=True)
class Example:
    """One labelled text.

    Attributes:
        id: unique among the labels.
        text: what the label is of.
        label: 1 if a student who learns basic coding would learn from it, else 0.
        group: texts of one group are never on both sides of a cross-validation; the module for names.
    """

    id: str
    text: str
    label: int
    group: str


@dataclass(frozen=True)
class Labels:
    """The labelled texts of a file.

    Attributes:
        examples: in the file's order.
        unknown: names that this Python's standard library lacks.
    """

    examples: tuple[Example, ...]
    unknown: tuple[str, ...]

    @property
    def digest(self) -> str:
        """sha256 of all ids, texts and labels: another Python's standard library gives another."""
        parts = [[each.id, each.text, each.label] for each in self.examples]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def read_labels(path: Path | None = None) -> Labels:
    """Read labels, and the source of every name among them.

    Args:
        path: a file in one of the two formats; the bundled labels if None.

    Raises:
        InvalidCall: no such file.
        InvalidFile: a line that is neither format's, a label that is neither 0 nor 1, one id with both, too many names
            that the standard library lacks, or fewer than two groups with each label.
    """
    path = path or BUNDLED
    examples: dict[str, Example] = {}
    unknown: list[str] = []
    for number, id_, text, label in _read(path):
        before = examples.get(id_)
        if before and before.label != label:
            raise InvalidFile(f"{path}: line {number}: {id_!r} is labelled 0 and 1: remove one of the lines")
        source = source_of(id_) if text is None else text
        if source is None:
            unknown.append(id_)
        else:
            group = id_ if text is not None else module_of(id_) or id_
            examples.setdefault(id_, Example(id_, source, label, group))
    if not examples and not unknown:
        raise InvalidFile(
            f"{path}: holds no labels: write lines of name, tab, 0 or 1, or JSON lines of id, text, label"
        )
    if len(unknown) > _MOST_UNKNOWN * (len(examples) + len(unknown)):
        example = f"{len(unknown)} of {len(examples) + len(unknown)} names, such as {unknown[0]!r}"
        raise InvalidFile(f"{path}: {example}, are not this Python's standard library's: correct them")
    for label in (0, 1):
        groups = {each.group for each in examples.values() if each.label == label}
        if len(groups) < 2:
            have = f"{len(groups)} with label {label}"
            raise InvalidFile(f"{path}: of modules or documents, only {have}: label at least two with 0, two with 1")
    return Labels(tuple(examples.values()), tuple(unknown))


def _read(path: Path) -> Iterator[tuple[int, str, str | None, int]]:
    """Line number, id, text if there is one, and label of every line."""
    try:
        with path.open("rb") as file:
            lines = _lines(file, path)
            first = next(lines, None)
            if first is None:
                return
            if first[1].lstrip().startswith("{"):
                yield from map(_json_line, [first], [path])
                yield from (_json_line(line, path) for line in lines)
            elif first[1].split("\t") in _HEADERS:
                yield from (_tab_line(line, path) for line in lines)
            else:
                raise InvalidFile(f"{path}: line {first[0]}: neither JSON nor the header 'name', tab, 'label': add one")
    except OSError as error:
        raise InvalidCall(f"{path}: labels cannot be read ({error.strerror}): give a file of labels") from error


def _lines(file: IO[bytes], path: Path) -> Iterator[tuple[int, str]]:
    number = 0
    while line := file.readline(_LONGEST_LINE):
        number += 1
        if len(line) == _LONGEST_LINE:
            raise InvalidFile(f"{path}: line {number}: longer than {_LONGEST_LINE >> 20} MiB: no label's")
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise InvalidFile(f"{path}: line {number}: not UTF-8: write labels as UTF-8 text") from error
        if text.strip():
            yield number, text.rstrip("\r\n")


def _tab_line(line: tuple[int, str], path: Path) -> tuple[int, str, None, int]:
    number, text = line
    fields = text.split("\t")
    if len(fields) not in (2, 3) or not fields[0]:
        raise InvalidFile(f"{path}: line {number}: not a name, a tab and a label (a tab and a reason): {text[:60]!r}")
    return number, fields[0], None, _label(fields[1], number, path)


def _json_line(line: tuple[int, str], path: Path) -> tuple[int, str, str | None, int]:
    number, written = line
    try:
        value = json.loads(written)
    except (ValueError, RecursionError) as error:
        raise InvalidFile(
            f"{path}: line {number}: broken JSON: write one object of id, text and label a line"
        ) from error
    id_, text = (value.get("id"), value.get("text")) if isinstance(value, dict) else (None, None)
    if not isinstance(id_, str) or not id_ or not isinstance(text, str | None):
        raise InvalidFile(f"{path}: line {number}: needs 'id' and 'label', and 'text' where the id is no name")
    return number, id_, _without_surrogates(text), _label(value.get("label"), number, path)


def _label(value: object, number: int, path: Path) -> int:
    if isinstance(value, str) and value.strip() in ("0", "1"):
        return int(value)
    if isinstance(value, int | float) and value in (0, 1):
        return int(value)
    raise InvalidFile(f"{path}: line {number}: label {str(value)[:40]!r} is neither 0 nor 1: write one of the two")


def _without_surrogates(text: str | None) -> str | None:
    return None if text is None else text.encode("utf-8", "replace").decode()
