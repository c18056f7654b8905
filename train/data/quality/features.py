"""Properties of code that a person would look at: the baseline that an embedding has to beat, and its company."""

from __future__ import annotations

import ast
import builtins
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .pieces import parsed

_BUILTINS = frozenset(dir(builtins))
_BLOCKS = (ast.For, ast.AsyncFor, ast.While, ast.If, ast.With, ast.AsyncWith, ast.Try, ast.FunctionDef)
_LOOPS = (ast.For, ast.AsyncFor, ast.While, ast.comprehension)
_PER_LINE: dict[str, tuple[type[ast.AST], ...]] = {
    "loops": _LOOPS,
    "conditions": (ast.If, ast.IfExp),
    "handlers": (ast.Try,),
    "raises": (ast.Raise,),
    "contexts": (ast.With, ast.AsyncWith),
    "imports": (ast.Import, ast.ImportFrom),
    "returns": (ast.Return,),
    "yields": (ast.Yield, ast.YieldFrom),
    "assignments": (ast.Assign, ast.AnnAssign),
    "globals": (ast.Global, ast.Nonlocal),
    "asynchronous": (ast.AsyncFunctionDef, ast.Await),
    "classes": (ast.ClassDef,),
    "functions": (ast.FunctionDef,),
}
_PER_NODE: dict[str, tuple[type[ast.AST], ...]] = {
    "calls": (ast.Call,),
    "keyword arguments": (ast.keyword,),
    "arithmetic": (ast.BinOp, ast.AugAssign),
    "comparisons": (ast.Compare,),
    "subscripts": (ast.Subscript,),
    "attributes": (ast.Attribute,),
    "constants": (ast.Constant,),
}
FEATURES = (
    "characters",
    "lines",
    "docstring lines",
    "doctests",
    "comment lines",
    "deprecations",
    "private names",
    "dunder names",
    "constant names",
    "distinct names",
    "length of names",
    "unbound names",
    "attributes of self",
    "strings",
    "integers",
    "depth",
    *_PER_LINE,
    *_PER_NODE,
)


def features_of(texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """One row of `FEATURES` a text: the logarithm of its size, depth in blocks, shares of its lines, names and nodes.

    What does not parse as Python has zeros but for its size and comments.

    Returns:
        float32 [texts, len(FEATURES)].
    """
    return np.array([_features(text) for text in texts], dtype=np.float32).reshape(len(texts), len(FEATURES))


def _features(text: str) -> list[float]:
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    per_line = 1 / max(1, len(lines))
    tree = parsed(text) or ast.Module([], [])
    nodes = list(ast.walk(tree))
    per_node = 1 / len(nodes)
    names = [name for node in nodes if (name := _name(node))]
    per_name = 1 / max(1, len(names))
    docstrings = [docstring for node in nodes if (docstring := _docstring(node))]
    values = [node.value for node in nodes if isinstance(node, ast.Constant)]
    lowered = text.lower()
    return [
        math.log1p(len(text)),
        math.log1p(len(lines)),
        sum(docstring.count("\n") + 1 for docstring in docstrings) * per_line,
        sum(docstring.count(">>>") for docstring in docstrings) * per_line,
        sum(line.startswith("#") for line in lines) * per_line,
        (lowered.count("warn") + lowered.count("deprecat")) * per_line,
        sum(name.startswith("_") and not name.startswith("__") for name in names) * per_name,
        sum(name.startswith("__") for name in names) * per_name,
        sum(name.isupper() and len(name) > 1 for name in names) * per_name,
        len(set(names)) * per_name,
        sum(map(len, names)) * per_name,
        _unbound(nodes),
        sum(_is_of_self(node) for node in nodes) * per_node,
        sum(isinstance(value, str) for value in values) * per_node,
        sum(isinstance(value, int) for value in values) * per_node,
        _depth(tree),
        *(sum(isinstance(node, types) for node in nodes) * per_line for types in _PER_LINE.values()),
        *(sum(isinstance(node, types) for node in nodes) * per_node for types in _PER_NODE.values()),
    ]


def _name(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.arg if isinstance(node, ast.arg) else None


def _docstring(node: ast.AST) -> str | None:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
        return ast.get_docstring(node, clean=False)
    return None


def _is_of_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"


def _unbound(nodes: list[ast.AST]) -> float:
    """The share of names read that are neither set here nor built in: how much stands elsewhere."""
    here = {node.arg for node in nodes if isinstance(node, ast.arg)}
    here |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    read = [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]
    return sum(name not in here and name not in _BUILTINS for name in read) / max(1, len(read))


def _depth(tree: ast.AST) -> float:
    """Blocks in blocks."""
    deepest = 0
    todo = [(tree, 0)]
    while todo:
        node, depth = todo.pop()
        deepest = max(deepest, depth)
        inner = depth + isinstance(node, _BLOCKS)
        todo += [(child, inner) for child in ast.iter_child_nodes(node)]
    return float(deepest)
