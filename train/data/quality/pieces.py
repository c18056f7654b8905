"""Documents in pieces of the size that labels are of: functions and classes of Python, windows of other text.

The paper classifies files. A file of a thousand lines is a mean of good and bad, and labels of functions say little of
such means; so a document is judged by its parts, and stays or goes as one.
"""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass

from .standard_library import Definition, lines_of

_LONGEST_CLASS = 60  # lines: a longer one is judged by its methods
_WINDOW = 2000  # characters
_MOST = 32  # of a document, spread evenly: bounds what one document costs
MOST_TO_LEARN_FROM = 4  # of a labelled text, which has one label however long it is


@dataclass(frozen=True)
class Piece:
    """A part of a document.

    Attributes:
        text: dedented.
        weight: its share of the document; all of a document's sum to 1.
    """

    text: str
    weight: float


def pieces_of(text: str, most: int = _MOST) -> list[Piece]:
    """The parts by which a document is judged, in order: at least one, `most` at most.

    Of Python these are its functions, its classes or, of long ones, their methods, and what stands between them; of
    what does not parse, windows of whole lines.
    """
    parts = [part for part in _parts_of_python(text) or _windows(text) if part.strip()] or [text]
    if len(parts) > most:
        parts = [parts[i * len(parts) // most] for i in range(most)]
    total = sum(map(len, parts))
    return [Piece(part, len(part) / total if total else 1.0) for part in parts]


def parsed(text: str) -> ast.Module | None:
    """The syntax tree of Python, None of anything else."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes in other people's code
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _parts_of_python(text: str) -> list[str]:
    tree = parsed(text)
    if tree is None or not any(isinstance(statement, Definition) for statement in tree.body):
        return []
    lines = text.split("\n")
    parts: list[str] = []
    done = 0  # lines that are in a part
    for statement in tree.body:
        if isinstance(statement, Definition):
            definition = lines_of(statement, lines)
            first = statement.end_lineno or statement.lineno
            before = "\n".join(lines[done : first - definition.count("\n")])
            parts += [*_windows(before), *(_of_class(statement, lines) or [definition])]
            done = first
    return [*parts, *_windows("\n".join(lines[done:]))]


def _of_class(definition: Definition, lines: list[str]) -> list[str]:
    """The methods of a class that is too long to be one part."""
    if not isinstance(definition, ast.ClassDef) or (definition.end_lineno or 0) - definition.lineno < _LONGEST_CLASS:
        return []
    return [lines_of(inner, lines) for inner in definition.body if isinstance(inner, Definition)]


def _windows(text: str) -> list[str]:
    windows: list[str] = []
    held: list[str] = []
    size = 0
    for line in text.splitlines(keepends=True):
        for start in range(0, len(line), _WINDOW):
            part = line[start : start + _WINDOW]
            if size + len(part) > _WINDOW and held:
                windows.append("".join(held))
                held, size = [], 0
            held.append(part)
            size += len(part)
    return [*windows, "".join(held)] if held else windows
