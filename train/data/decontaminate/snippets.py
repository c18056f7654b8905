"""The pieces of code in a document: functions and what stands between them, in Python and in text about Python."""

from __future__ import annotations

import ast
import copy
import html
import re
import textwrap
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from .form import normal_form
from .nodes import bound_names, imports

_DEFINITION = re.compile(r"^([ \t]*)(?:async[ \t]+)?def[ \t]", re.MULTILINE)
_PROMPT = re.compile(r"^([ \t]*)(?:>>>|\.\.\.|In \[\d+\]:)(?: |$)", re.MULTILINE)
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,300}>")
_NODES_PER_SYMBOL = 8  # of a syntax tree, at most, in code whose form is of interest
_LONGEST_FRAGMENT = 20_000  # characters
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Snippet:
    """One function, or statements that stand together.

    Attributes:
        name: of the function, dotted where it is inside of another or a class; "" for statements.
        line: where it begins, counted from 1.
        form: see `normal_form`.
        docstring: of the function.
        node: its syntax tree.
    """

    name: str
    line: int
    form: str
    docstring: str
    node: ast.AST

    @property
    def code(self) -> str:
        """Its source, written anew without docstrings, comments and annotations, its own names numbered.

        "" where it is nested too deeply.
        """
        try:
            return ast.unparse(_Anonymous(self.node).visit(copy.deepcopy(self.node)))
        except (RecursionError, ValueError):
            return ""


def snippets(text: str, *, path: str = "", longest: int = 1 << 30) -> Iterator[Snippet]:
    """The functions of a document, at any depth, and its statements between functions, each once.

    Text that is no Python program is searched for definitions, fenced and indented code, and interpreter sessions.
    What cannot be parsed is left out.

    Args:
        text: of the document.
        path: its name; HTML and XML are recognised by it.
        longest: symbols; longer forms are of no interest, and what is much larger is not looked at.
    """
    tree = parse(text)
    if tree is not None:
        yield from _of_module(tree, 1, longest)
        return
    if path.endswith((".html", ".htm", ".xml", ".cnxml")):
        text = html.unescape(_TAG.sub("", text))
    text = _PROMPT.sub(r"\1", text)
    for line, fragment in _definitions(text):
        tree = parse(fragment)
        if tree is not None and tree.body:
            method = re.match(r"[^\n(]*\(\s*(self|cls)\b", fragment) is not None
            yield from _of_function(tree.body[0], "", imports(tree), line - 1, longest, inside=False, method=method)
    for line, fragment in _blocks(text):
        tree = parse(fragment)
        if tree is not None:
            yield from _of_statements(tree, line, longest)


def parse(text: str) -> ast.Module | None:
    """The syntax tree, or None where there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _of_module(tree: ast.Module, line: int, longest: int) -> Iterator[Snippet]:
    yield from _of_statements(tree, line, longest)
    imported = imports(tree)
    for node in tree.body:
        yield from _of_function(node, "", imported, line - 1, longest, inside=True)


def _of_function(
    node: ast.AST,
    prefix: str,
    imported: dict[str, str],
    before: int,
    longest: int,
    *,
    inside: bool,
    method: bool = False,
) -> Iterator[Snippet]:
    if isinstance(node, _FUNCTION):
        if _is_small(node, longest):
            yield _snippet(node, f"{prefix}{node.name}", before + node.lineno, imported, method)
        prefix += f"{node.name}."
    elif isinstance(node, ast.ClassDef):
        prefix += f"{node.name}."
    if inside:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.stmt, ast.excepthandler)):
                of_class = isinstance(node, ast.ClassDef)
                yield from _of_function(child, prefix, imported, before, longest, inside=True, method=of_class)


def _of_statements(tree: ast.Module, line: int, longest: int) -> Iterator[Snippet]:
    """The whole program, where it is small and more than one function; else runs of statements between definitions."""
    body = [node for node in tree.body if not isinstance(node, (ast.Import, ast.ImportFrom))]
    if not body or (len(body) == 1 and isinstance(body[0], (ast.FunctionDef, ast.ClassDef))):
        return
    if any(isinstance(node, ast.Return) for node in body):  # a function's body, which is found with its head
        return
    imported = imports(tree)
    runs: list[list[ast.stmt]] = [body]
    if not _is_small(tree, longest):
        runs = [[]]
        for node in body:
            if isinstance(node, (*_FUNCTION, ast.ClassDef)):
                runs.append([])
            else:
                runs[-1].append(node)
    for run in filter(None, runs):
        module = ast.Module(run, [])
        if _is_small(module, longest):
            yield _snippet(module, "", line - 1 + run[0].lineno, imported)


def _snippet(node: ast.AST, name: str, line: int, imported: dict[str, str], method: bool = False) -> Snippet:
    docstring = (_docstring(node) or "") if isinstance(node, _FUNCTION) else ""
    return Snippet(name, line, normal_form(node, imported, method=method), docstring, node)


def _docstring(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module) -> str | None:
    return ast.get_docstring(node, clean=False)


def _is_small(node: ast.AST, longest: int) -> bool:
    return all(count <= longest * _NODES_PER_SYMBOL for count, _ in enumerate(ast.walk(node)))


def _definitions(text: str) -> Iterator[tuple[int, str]]:
    """Line and dedented source of every definition, found by its first line and its indentation."""
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    at = 0
    for found in _DEFINITION.finditer(text):
        while starts[at + 1] <= found.start():
            at += 1
        indent = len(found[1].expandtabs())
        size = 0
        end = at + 1
        while end < len(lines) and size < _LONGEST_FRAGMENT:
            line = lines[end]
            deeper = len(line.expandtabs()) - len(line.expandtabs().lstrip()) > indent
            if line.strip() and not deeper and not line.lstrip().startswith((")", '"""', "'''")):
                break
            size += len(line)
            end += 1
        yield at + 1, textwrap.dedent("\n".join(lines[at:end]).expandtabs())


def _blocks(text: str) -> Iterator[tuple[int, str]]:
    """Line and dedented source of fenced and of indented blocks; indented ones without definitions."""
    held: list[str] = []
    begin, fenced = 0, False
    for number, line in enumerate([*text.split("\n"), "```"]):
        fence = line.lstrip()[:3] in ("```", "~~~") and not line.lstrip().startswith("~~~~")  # a heading of rst
        indented = not fenced and (line[:1] in (" ", "\t") or (held and not line.strip()))
        if not fence and (fenced or indented):
            held.append(line)
            continue
        block = "\n".join(held)
        if block.strip() and len(block) <= _LONGEST_FRAGMENT and (fenced or not _DEFINITION.search(block)):
            yield begin + 1, textwrap.dedent(block)
        held, begin = [], number + 1
        fenced = fence and not fenced


class _Anonymous(ast.NodeTransformer):
    """Leaves of a program what does not depend on how its author calls and explains things."""

    def __init__(self, node: ast.AST) -> None:
        self.names: dict[str, str] = {}
        for each in bound_names(node):
            self.names.setdefault(each, f"v{len(self.names)}")

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, (*_FUNCTION, ast.ClassDef, ast.Module)):
            if _docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
            if isinstance(node, _FUNCTION):
                node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
        for field in () if isinstance(node, (ast.keyword, ast.alias)) else ("id", "arg", "name"):
            name = getattr(node, field, None)
            if isinstance(name, str):
                setattr(node, field, self.names.get(name, name))
        return super().generic_visit(node)
