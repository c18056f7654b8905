"""The source of what the standard library defines, by qualified name, read where Python is installed.

Nothing is imported: a module's file is parsed, so that reading `antigravity.geohash` opens no browser.
"""

from __future__ import annotations

import ast
import functools
import sysconfig
import textwrap
import tokenize
from pathlib import Path

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def source_of(name: str, *, root: Path | None = None) -> str | None:
    """The lines of a function, method or class, decorators included, dedented, or all of a module.

    Where a name is defined more than once (a fallback in an `except ImportError`), the first counts. None where this
    Python has no such name.

    Args:
        name: such as "bisect.insort_right", "email._parseaddr.AddrlistClass.getdelimited" or "keyword".
        root: the folder of the standard library; this Python's if None.
    """
    module = module_of(name, root=root)
    if module is None:
        return None
    body, lines = _parsed(_file_of(module, _root(root)))
    if module == name:
        return "\n".join(lines) or None
    found: Definition | None = None
    for part in name[len(module) + 1 :].split("."):
        found = next((each for each in _definitions(body) if each.name == part), None)
        if found is None:
            return None
        body = tuple(found.body)
    return lines_of(found, lines) if found else None


def module_of(name: str, *, root: Path | None = None) -> str | None:
    """The module that a name is or is defined in: its longest beginning that is a file; None if there is none."""
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        return None
    for count in range(len(parts), 0, -1):
        module = ".".join(parts[:count])
        if _file_of(module, _root(root)).is_file():
            return module
    return None


def lines_of(definition: Definition, lines: list[str]) -> str:
    """The source of a definition, from its first decorator on, dedented."""
    first = min([definition.lineno, *(decorator.lineno for decorator in definition.decorator_list)])
    return textwrap.dedent("\n".join(lines[first - 1 : definition.end_lineno])) + "\n"


def _root(root: Path | None) -> Path:
    return root or _installed()


@functools.lru_cache(maxsize=1)
def _installed() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _file_of(module: str, root: Path) -> Path:
    path = root.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@functools.lru_cache(maxsize=8)  # labels come sorted by name
def _parsed(file: Path) -> tuple[tuple[ast.stmt, ...], list[str]]:
    try:
        with tokenize.open(file) as opened:
            text = opened.read()
        return tuple(ast.parse(text).body), text.split("\n")
    except (OSError, SyntaxError, UnicodeDecodeError):
        return (), []


def _definitions(body: tuple[ast.stmt, ...]) -> list[Definition]:
    """Those of a body, and those under its `if` and `try`, in the order they are written."""
    found: list[Definition] = []
    for statement in body:
        if isinstance(statement, Definition):
            found.append(statement)
        elif isinstance(statement, ast.If):
            found += _definitions((*statement.body, *statement.orelse))
        elif isinstance(statement, ast.Try):
            handled = (inner for handler in statement.handlers for inner in handler.body)
            found += _definitions((*statement.body, *handled, *statement.orelse, *statement.finalbody))
    return found
