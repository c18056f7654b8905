"""The small tree that programs are lowered to: its nodes, what is opposite, and how comparisons are written.

A node is a tuple: its label, then nodes, and lists of nodes for blocks. `("v", name)` is a variable, `("c", text)` a
constant, `("n", name)` a builtin or something imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

Node = tuple[Any, ...]
Block = list[Node]

TRUE, FALSE, NONE = ("c", "True"), ("c", "False"), ("c", "None")
_COMPARE = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.In: "in", ast.NotIn: "notin",
    ast.Is: "is", ast.IsNot: "isnot",
}  # fmt: skip
_TURNED = {ast.Gt: "<", ast.GtE: "<="}
_OPPOSITE = {"==": "!=", "!=": "==", "in": "notin", "notin": "in", "is": "isnot", "isnot": "is"}


def negated(node: Node) -> Node:
    """Not `node`, without a `not` where there is another way."""
    label = node[0]
    if label == "not":
        return node[1]  # type: ignore[no-any-return]
    if label in _OPPOSITE:
        return (_OPPOSITE[label], *node[1:])
    if label in ("<", "<="):
        return ("<=" if label == "<" else "<", node[2], node[1])
    if label in ("and", "or"):
        return ("or" if label == "and" else "and", *map(negated, node[1:]))
    if node in (TRUE, FALSE):
        return FALSE if node == TRUE else TRUE
    return ("not", node)


def compared(operator: ast.cmpop, left: Node, right: Node) -> Node:
    """A comparison: `>` turned around, a constant on the right, `in` on tuples, and no `len(x) == 0`."""
    if type(operator) in _TURNED:
        return (_TURNED[type(operator)], right, left)
    label = _COMPARE[type(operator)]
    if label in ("==", "!=") and left[0] == "c" and right[0] != "c":
        left, right = right, left
    if label in ("in", "notin") and right[0] in ("list", "set"):
        right = ("tuple", *right[1:])
    if label in ("in", "notin") and right[0] == "tuple" and len(right) == 2:
        label, right = ("==" if label == "in" else "!="), right[1]
    if right == ("c", "0") and left[0] == "len()" and label in ("==", "!="):  # len(x) == 0 is not x
        return ("not", left[1]) if label == "==" else left[1]
    return (label, left, right)


def membership(node: Node) -> Node:
    """x == a or x == b as x in (a, b); x != a and x != b as x not in (a, b)."""
    single, many = ("==", "in") if node[0] == "or" else ("!=", "notin")
    by_left: dict[Node, list[Node]] = {}
    rest: list[Node] = []
    for value in node[1:]:
        if value[0] == single and value[2][0] == "c":
            by_left.setdefault(value[1], []).append(value[2])
        elif value[0] == many and value[2][0] == "tuple":
            by_left.setdefault(value[1], []).extend(value[2][1:])
        else:
            rest.append(value)
    if not any(len(items) > 1 for items in by_left.values()):
        return node
    merged = [
        (many, left, ("tuple", *items)) if len(items) > 1 else (single, left, items[0])
        for left, items in by_left.items()
    ]
    values = [*merged, *rest]
    return values[0] if len(values) == 1 else (node[0], *values)


def imports(tree: ast.AST) -> dict[str, str]:
    """What a program's import statements bind, as `lower` takes it."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {(alias.asname or alias.name.partition(".")[0]): "" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {(alias.asname or alias.name): alias.name for alias in node.names}
    return found


def bound_names(node: ast.AST) -> Iterator[str]:
    """Names that a program assigns to or defines, its parameters among them, as often as it does."""
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            yield each.id
        elif isinstance(each, ast.arg):
            yield each.arg
        elif isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler)) and each.name:
            yield each.name
