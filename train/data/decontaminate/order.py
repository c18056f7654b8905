"""Independent statements in one order, whichever order they were written in."""

from __future__ import annotations

import zlib
from typing import Any

from .nodes import Block, Node

# Methods that change the object they are called on.
_CHANGING = {
    f".{name}()"
    for name in (
        "append", "add", "extend", "insert", "remove", "pop", "clear", "sort", "reverse", "update", "discard",
        "setdefault", "popitem", "appendleft", "popleft", "rotate", "write",
    )
}  # fmt: skip
_CHANGING_FIRST = {"heappush()", "heappop()", "heapify()", "shuffle()", "insort()", "next()", "setattr()"}
_LEAVING = {"return", "raise", "break", "continue", "yield", "yieldfrom", "await", "assert"}
_OUTSIDE = {"print()", "input()", "open()"}
_LONGEST_BLOCK = 200  # statements; to order takes quadratic time
_SYMBOLS = 20_000
_TO_VARIABLE = {"=", "for", ".append()", ".add()"}


def symbol(label: str) -> int:
    """A number for a label, the same on every machine; two of some hundred labels may share one."""
    return zlib.crc32(label.encode("utf-8", "surrogatepass")) % _SYMBOLS


_VARIABLE = symbol("v")
_END = symbol("end of block")


def shape(node: Node) -> list[int]:
    """A node's labels in preorder, with ends of blocks; the names of variables are left out."""
    result: list[int] = []
    _flatten(node, result)
    return result


def in_order(block: Block) -> Block:
    """The statements of a block in an order that keeps each behind those it depends on, and is otherwise by shape."""
    if not 1 < len(block) <= _LONGEST_BLOCK:
        return block
    reads, writes, bars = zip(*(_effects(statement) for statement in block), strict=True)
    waits = [
        {
            before
            for before in range(at)
            if (bars[at] and bars[before]) or writes[before] & (reads[at] | writes[at]) or reads[before] & writes[at]
        }
        for at in range(len(block))
    ]
    keys = [(bars[at], shape(statement)) for at, statement in enumerate(block)]
    left, result = list(range(len(block))), []
    while left:
        ready = [at for at in left if waits[at].isdisjoint(left)]
        chosen = min(ready, key=lambda at: (keys[at], at))
        left.remove(chosen)
        result.append(block[chosen])
    return result


def writes_of(node: Node) -> set[str]:
    """Variables that a statement sets, or whose objects it changes."""
    return _effects(node)[1]


def _effects(node: Node) -> tuple[set[str], set[str], bool]:
    """Variables read, variables changed, and whether control may leave or the world outside notices."""
    reads: set[str] = set()
    writes: set[str] = set()
    bar = _gather(node, reads, writes)
    return reads, writes, bar


def _gather(node: Node, reads: set[str], writes: set[str]) -> bool:
    label = node[0]
    if label == "v":
        reads.add(node[1])
        return False
    if label == "def":  # what it does happens when it is called
        inner: tuple[set[str], set[str]] = (set(), set())
        _gather_children(node, *inner)
        own: set[str] = set()
        _gather_targets(("tuple", *node[1:-1]), own)
        reads |= inner[0] - inner[1] - own
        return False
    if label == "=" and node[2][0] == "def":
        writes.add(node[1][1])
        return False
    changing = label in ("=", "for", "delete") or label in _CHANGING or label in _CHANGING_FIRST
    if (changing and len(node) > 1) or label.startswith("= "):
        _gather_targets(node[1], writes)
    elif label == "with":
        writes |= {child[1] for child in node[1:] if isinstance(child, tuple) and child[0] == "v"}
    bar = _gather_children(node, reads, writes) or label in _LEAVING or label in _OUTSIDE
    if label == "for":  # its variable matters outside as rarely as in the comprehension it may have been
        own = set()
        _gather_targets(node[1], own)
        reads -= own
        writes -= own
    return bar


def _gather_children(node: Node, reads: set[str], writes: set[str]) -> bool:
    bar = False
    for child in node[1:]:
        for each in child if isinstance(child, list) else [child]:
            if isinstance(each, tuple):
                bar = _gather(each, reads, writes) or bar
    return bar


def _gather_targets(target: Any, into: set[str]) -> None:
    """The variables at the root of what is assigned to."""
    if not isinstance(target, tuple):
        return
    if target[0] == "v":
        into.add(target[1])
    elif target[0] in ("tuple", "list", "star"):
        for each in target[1:]:
            _gather_targets(each, into)
    elif target[0] in ("[]", ".") or target[0].startswith("."):
        _gather_targets(target[1], into)


def _flatten(node: Node, result: list[int]) -> None:
    """What every loop or assignment has is left out, lest it outweigh what tells programs apart."""
    label, *children = node
    if label == "v":
        result.append(_VARIABLE)
        return
    if label in ("c", "n"):
        result.append(symbol(_leaf(node)))
        return
    if label == "do":
        return _flatten(children[0], result)
    if label == "def":
        *parameters, body = children
        label = f"def {sum(child[0] == 'v' for child in parameters)}"
        children = [*(child for child in parameters if child[0] != "v"), body]
    elif label in _TO_VARIABLE or label.startswith("= "):
        children = children[1:] if children[0][0] == "v" else children
    if label in ("=", "return") and len(children) == 1 and len(children[0]) <= 2:
        leaf = children[0]
        if leaf[0] in ("v", "c", "n") or len(leaf) == 1:
            result.append(symbol(f"{label} {_leaf(leaf)}"))
            return
    result.append(symbol(label))
    for at, child in enumerate(children):
        if isinstance(child, tuple):
            _flatten(child, result)
        elif isinstance(child, list) and (child or at == 0 or not isinstance(children[at - 1], list)):
            for statement in child:
                _flatten(statement, result)
            result.append(_END)


def _leaf(node: Node) -> str:
    return f"{node[0]} {node[1]}" if node[0] in ("c", "n") else str(node[0])
