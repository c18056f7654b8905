"""The normal form of a piece of code: a string of symbols, near to another's where the programs are near."""

from __future__ import annotations

import ast

from .lower import lower
from .nodes import Node
from .order import shape
from .simplify import simplified

_FIRST = 0x4E00  # 20,000 characters follow it, none of them a surrogate
_COMMUTING = {"+", "*", "==", "!=", "&", "|", "^"}


def normal_form(node: ast.AST, imported: dict[str, str] | None = None, *, method: bool = False) -> str:
    """The syntax tree in one of the many ways to write it, in preorder: a character for every label.

    Args:
        node: a function, a class or a module.
        imported: what its module imports, as `nodes.imports` gives it.
        method: whether a function is one of a class.

    Returns:
        The same string for programs that differ in what `lower` and `simplify` see past; "" for one without code or
        nested too deeply.
    """
    try:
        symbols = shape(_turned(simplified(lower(node, imported, method=method))))
    except RecursionError:
        return ""
    if len(symbols) < 3:
        return ""
    return "".join(chr(_FIRST + each) for each in symbols)


def _turned(node: Node) -> Node:
    """Operands that may change places, in one order."""
    children = [
        [_turned(each) for each in child]
        if isinstance(child, list)
        else _turned(child)
        if isinstance(child, tuple)
        else child
        for child in node[1:]
    ]
    if node[0] in _COMMUTING and len(children) == 2:
        children.sort(key=shape)  # type: ignore[arg-type]
    return (node[0], *children)
