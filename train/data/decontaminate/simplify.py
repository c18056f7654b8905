"""Passes over lowered programs: temporaries go, branches and loops take one shape, independent statements one order.

Like `lower`, this may change what a program does where that costs nothing in telling programs apart: calls are taken
to change nothing but the object they are called on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from .nodes import FALSE, NONE, TRUE, Block, Node, negated
from .order import in_order, shape, writes_of

_LEAVING = ("return", "raise", "continue", "break")
_NEGATIVE = ("not", "!=", "notin", "isnot", "<=")


def simplified(node: Node) -> Node:
    """One node, or a whole program, after all passes.

    Raises:
        RecursionError: nested too deeply.
    """
    for _ in range(2):  # what the first round shortens may be a temporary or a branch for the second
        node = _without_temporaries(_without_aliases(_shaped(node)))
    return _ordered(_shaped(node))


def _shaped(node: Node) -> Node:
    shaped: Node = tuple(
        _shape_block([_shaped(statement) for statement in child])
        if isinstance(child, list)
        else _shaped(child)
        if isinstance(child, tuple)
        else child
        for child in node
    )
    if shaped[0] in ("for", "while") and len(shaped[-2]):
        shaped = (*shaped[:-2], _without_last(shaped[-2], "continue"), shaped[-1])
    if shaped[0] == "def":
        shaped = (*shaped[:-1], _without_last(shaped[-1], "return"))
    return _by_element(shaped) if shaped[0] == "for" else shaped


def _shape_block(block: Block) -> Block:
    block = _as_for_loops(block)
    result: Block = []
    for at in range(len(block) - 1, -1, -1):  # from the end, for an `if` may take in what follows it
        statement = block[at]
        if statement[0] in _LEAVING:
            result = [statement]  # what follows is never reached
        elif statement[0] == "if":
            result = _shape_if(statement, result)
        else:
            result = [statement, *result]
    return _returned_at_once(result)


def _shape_if(statement: Node, rest: Block) -> Block:
    _, test, body, orelse = statement
    if not body and not orelse:
        return rest
    if not body:
        test, body, orelse = negated(test), orelse, []
    if len(body) == 1 and body[0][0] == "if" and not orelse and not body[0][3]:
        inner = body[0]
        return _shape_if(("if", _both(test, inner[1]), inner[2], []), rest)
    if body[-1] == ("continue",):  # the guard of what follows
        kept = [*body[:-1]]
        following = [*orelse, *rest]
        if not kept:
            return _shape_if(("if", negated(test), following, []), []) if following else []
    if _leaves(body):
        after = [*orelse, *rest]
        if after and _leaves(after):
            heavy, light = len(shape(("block", body))), len(shape(("block", after)))
            if heavy > light or (heavy == light and test[0] in _NEGATIVE):
                test, body, after = negated(test), after, body
            joined = _one_return(test, body, after)
            if joined:
                return joined
        return [("if", test, body, []), *after]
    if orelse and _leaves(orelse):
        return _shape_if(("if", negated(test), orelse, []), [*body, *rest])
    if orelse and test[0] in _NEGATIVE:
        test, body, orelse = negated(test), orelse, body
    return [("if", test, body, orelse), *rest]


def _one_return(test: Node, body: Block, after: Block) -> Block:
    """Two returns of which one is of True or False, as one return; nothing where they are others."""
    if len(body) != 1 or len(after) != 1 or body[0][0] != "return" or after[0][0] != "return":
        return []
    first, second = body[0][1], after[0][1]
    if first == TRUE:
        return [("return", test if second == FALSE else _either(test, second))]
    if first == FALSE:
        return [("return", negated(test) if second == TRUE else _both(negated(test), second))]
    if second == FALSE:
        return [("return", _both(test, first))]
    if second == TRUE:
        return [("return", _either(negated(test), first))]
    return []


def _returned_at_once(block: Block) -> Block:
    """`if c: r = a else: r = b; return r` with the returns in the branches; `r = b; if c: r = a; return r` too."""
    if len(block) < 2 or block[-1][0] != "return" or block[-1][1][0] != "v":
        return block
    *before, statement, (_, result) = block
    if statement[0] == "=" and statement[1] == result:
        return [*before, ("return", statement[2])]
    if statement[0] != "if":
        return block
    _, test, body, orelse = statement
    if not orelse and before and before[-1][:2] == ("=", result):
        orelse = [before.pop()]
    if not (_ends_with_set(body, result) and _ends_with_set(orelse, result)):
        return block
    body, orelse = (_returned_at_once([*branch, ("return", result)]) for branch in (body, orelse))
    return [*before, *_shape_if(("if", test, body, []), orelse)]


def _ends_with_set(block: Block, target: Node) -> bool:
    if not block:
        return False
    last = block[-1]
    if last[0] == "if":
        return _ends_with_set(last[2], target) and _ends_with_set(last[3], target)
    return bool(last[:2] == ("=", target))


def _as_for_loops(block: Block) -> Block:
    """`i = a; while i < b: ...; i += 1` as `for i in range(a, b)`."""
    result: Block = []
    for statement in block:
        counted = _counted(statement, result)
        if counted:
            begun, loop = counted
            del result[begun]
            statement = loop
        result.append(statement)
    return result


def _counted(loop: Node, before: Block) -> tuple[int, Node] | None:
    """Where in `before` a while loop's counter begins, and the loop as a for loop; None where it counts nothing."""
    if loop[0] != "while" or loop[1][0] not in ("<", "<=") or not loop[2]:
        return None
    _, (comparison, counter, bound), body, orelse = loop
    if counter[0] != "v" or body[-1] != ("= +", counter, ("c", "1")):
        return None
    body = body[:-1]
    if counter[1] in writes_of(("block", body)) or any(node == ("continue",) for node in _statements(body)):
        return None
    for at in range(len(before) - 1, -1, -1):
        if before[at][:2] == ("=", counter):
            begin = before[at][2]
            end = bound if comparison == "<" else ("+", bound, ("c", "1"))
            span = ("range()", end) if begin == ("c", "0") else ("range()", begin, end)
            return at, ("for", counter, span, body, orelse)
        if counter[1] in writes_of(before[at]):
            return None
    return None


def _by_element(loop: Node) -> Node:
    """A loop over indices that only serve to get elements, or over `enumerate`, as one over elements or indices."""
    _, target, iterated, body, orelse = loop
    if iterated[0] == "enumerate()" and len(iterated) == 2 and target[0] == "tuple" and len(target) == 3:
        index, element = target[1:]
        if iterated[1][0] == "v" and index[0] == element[0] == "v":
            if element[1] in writes_of(("block", body)):
                return loop
            body = _replaced(body, element, ("[]", iterated[1], index))
            target, iterated = index, ("range()", ("len()", iterated[1]))
    if target[0] == "v" and iterated[0] == "range()" and len(iterated) == 2 and iterated[1][0] == "len()":
        sequence = iterated[1][1]
        element = ("[]", sequence, target)
        changed = writes_of(("block", body))
        if sequence[0] == "v" and sequence[1] not in changed and target[1] not in changed:
            replaced = _replaced(body, element, target)
            alone = _uses(replaced, target) == _uses(body, element) and _uses(body, element) > 0
            if alone and _uses(body, target) == _uses(body, element):
                return ("for", target, sequence, replaced, orelse)
    return ("for", target, iterated, body, orelse)


def _without_temporaries(program: Node) -> Node:
    """Put values in the place of variables that are set once and read once."""
    writes: Counter[str] = Counter()
    reads: Counter[str] = Counter()
    _count(program, writes, reads)
    single = {name for name, times in writes.items() if times == 1 and reads[name] == 1}
    if not single:
        return program
    return _inlined(program, single)


def _inlined(node: Node, single: set[str]) -> Node:
    children = []
    for child in node:
        if isinstance(child, list):
            block = [_inlined(statement, single) for statement in child]
            at = 0
            while at < len(block):
                statement = block[at]
                if statement[0] == "=" and statement[1][0] == "v" and statement[1][1] in single:
                    place = _place(block, at, single)
                    if place:
                        block[place] = _replaced_in(block[place], statement[1], statement[2])
                        del block[at]
                        continue
                at += 1
            child = block
        elif isinstance(child, tuple):
            child = _inlined(child, single)
        children.append(child)
    return tuple(children)


def _without_aliases(program: Node) -> Node:
    """Where `x = y` hands over what was built as y and is never y again, it is x from the beginning."""
    totals: Counter[str] = Counter()
    _tally(program, totals)

    def visit(node: Node) -> Node:
        return tuple(
            handed_over([visit(statement) for statement in child])
            if isinstance(child, list)
            else visit(child)
            if isinstance(child, tuple)
            else child
            for child in node
        )

    def handed_over(block: Block) -> Block:
        at = 0
        while at < len(block):
            label, *operands = block[at]
            if label == "=" and operands[0][0] == operands[1][0] == "v" and operands[0] != operands[1]:
                name, old = operands
                before: Counter[str] = Counter()
                for statement in block[:at]:
                    if _uses(statement, old):
                        _tally(statement, before)
                if 0 < before[old[1]] == totals[old[1]] - 1 and not before[name[1]]:
                    block = [*_replaced(block[:at], old, name), *block[at + 1 :]]
                    continue
            at += 1
        return block

    return visit(program)


def _tally(node: Node, into: Counter[str]) -> None:
    if node[0] == "v":
        into[node[1]] += 1
        return
    for child in node[1:]:
        for each in child if isinstance(child, list) else [child]:
            if isinstance(each, tuple):
                _tally(each, into)


def _place(block: Block, at: int, single: set[str]) -> int:
    """Index of the statement that may take the value set by `block[at]` in the variable's place; 0 if there is none."""
    _, target, value = block[at]
    needed = _variables(value)
    for index in range(at + 1, len(block)):
        statement = block[index]
        if _uses([statement], target):
            repeated = statement[0] in ("for", "while")
            if repeated and value[0] in ("list", "dict", "set", "def") and not _uses([statement[1:3]], target):
                return 0
            return 0 if repeated and needed & writes_of(statement) else index
        if needed & writes_of(statement):
            return 0
    return 0


def _ordered(node: Node) -> Node:
    return tuple(
        in_order([_ordered(statement) for statement in child])
        if isinstance(child, list)
        else _ordered(child)
        if isinstance(child, tuple)
        else child
        for child in node
    )


def _leaves(block: Block) -> bool:
    return bool(block) and block[-1][0] in _LEAVING


def _without_last(block: Block, label: str) -> Block:
    """Without a last statement that says what happens anyway."""
    last = block[-1] if block else ("",)
    if last == (label,) or last == (label, NONE):
        return block[:-1]
    return block


def _both(first: Node, second: Node) -> Node:
    return ("and", *_operands("and", first), *_operands("and", second))


def _either(first: Node, second: Node) -> Node:
    return ("or", *_operands("or", first), *_operands("or", second))


def _operands(label: str, node: Node) -> tuple[Node, ...]:
    return node[1:] if node[0] == label else (node,)


def _statements(block: Block) -> Iterator[Node]:
    for statement in block:
        yield statement
        for child in statement:
            if isinstance(child, list):
                yield from _statements(child)


def _count(node: Node, writes: Counter[str], reads: Counter[str]) -> None:
    if node[0] == "v":
        reads[node[1]] += 1
        return
    first = 1
    if node[0] == "=" and node[1][0] == "v":
        writes[node[1][1]] += 1
        first = 2
    elif node[0] in ("for", "def") or node[0].startswith("= "):
        for name in writes_of(node[:2] if node[0] == "for" else node[:-1] if node[0] == "def" else node):
            writes[name] += 2  # not a temporary
    for child in node[first:]:
        for each in child if isinstance(child, list) else [child]:
            if isinstance(each, tuple):
                _count(each, writes, reads)


def _variables(node: Node) -> set[str]:
    if node[0] == "v":
        return {node[1]}
    found: set[str] = set()
    for child in node[1:]:
        for each in child if isinstance(child, list) else [child]:
            if isinstance(each, tuple):
                found |= _variables(each)
    return found


def _uses(nodes: object, wanted: Node) -> int:
    """How often a node occurs in nodes."""
    if nodes == wanted:
        return 1
    if isinstance(nodes, (list, tuple)):
        return sum(_uses(each, wanted) for each in nodes if isinstance(each, (list, tuple)))
    return 0


def _replaced(block: Block, wanted: Node, by: Node) -> Block:
    return [_replaced_in(statement, wanted, by) for statement in block]


def _replaced_in(node: Node, wanted: Node, by: Node) -> Node:
    if node == wanted:
        return by
    return tuple(
        _replaced(child, wanted, by)
        if isinstance(child, list)
        else _replaced_in(child, wanted, by)
        if isinstance(child, tuple)
        else child
        for child in node
    )
