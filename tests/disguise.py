"""Programs in another dress: the same behaviour under other names, in another order, in other idioms and other words.

It serves to test what finds copies, so it must not know what that sees past: it is written by itself, on Python's own
syntax trees, and imports nothing of the project. `thorough` adds idioms beyond names, order, loops and words.
"""

from __future__ import annotations

import ast
import copy
import random
import re
from collections.abc import Callable

_WORDS = """amber basin cedar delta ember fjord grove heron inlet jetty knoll larch maple north ocean pearl quill ridge
spruce tulip umbra vista willow xenon yucca zephyr acorn birch coral dune elder fern gully hazel iris juniper kelp
lotus moss nectar olive pine quartz reed sage thyme violet wren""".split()  # noqa: SIM905
_SYNONYMS = {
    "write": "create", "find": "determine", "check": "decide", "return": "give back", "returns": "gives back",
    "given": "provided", "list": "sequence", "string": "text", "number": "value", "numbers": "values",
    "integer": "whole number", "integers": "whole numbers", "array": "collection", "function": "routine",
    "element": "item", "elements": "items", "whether": "if", "using": "with the help of", "calculate": "work out",
    "remove": "drop", "largest": "biggest", "maximum": "greatest", "minimum": "least", "every": "each",
    "contains": "has", "python": "simple", "first": "leading", "two": "a pair of", "get": "obtain", "convert": "turn",
}  # fmt: skip
_PURE = {
    "len", "abs", "min", "max", "sum", "sorted", "range", "int", "str", "float", "list", "set", "dict", "tuple", "ord",
    "chr", "round", "bool", "enumerate", "zip", "reversed",
}  # fmt: skip


def disguise(program: str, random_: random.Random, *, thorough: bool = False) -> str:
    """A program that does the same as `program`, without its names, comments and docstrings' words.

    Names of functions and classes at the top change too: see `renamed_entry`.
    """
    tree = ast.parse(program)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node):
            _documentation(node).value = reworded(ast.get_docstring(node) or "", random_)
    swaps: list[Callable[[ast.Module, random.Random], ast.Module]] = [_unroll, _roll]
    random_.shuffle(swaps)  # what one makes, the other must not undo
    tree = _apply_to_each(tree, swaps, random_)
    if thorough:
        tree = _Idioms(random_).visit(tree)
        _each_block(tree, lambda block: _more_idioms(block, random_))
    _each_block(tree, lambda block: _shuffle_independent(block, random_))
    names = _new_names(tree, random_)
    tree = _Rename(names).visit(tree)
    ast.fix_missing_locations(tree)
    return ast.unparse(tree) + "\n"


def renamed_entry(program: str, disguised: str, name: str) -> str:
    """The name that a function of `program` has in its disguise: definitions keep their places."""
    before = [node.name for node in ast.parse(program).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    after = [node.name for node in ast.parse(disguised).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    return after[len(before) - 1 - before[::-1].index(name)]


def reworded(text: str, random_: random.Random) -> str:
    """A description without its examples, in other words and another order, some words left out."""
    text = re.split(r">>>|[Ff]or example|Example|assert ", text)[0]
    sentences = [sentence.strip() for sentence in re.split(r"(?<=[.!?])\s+|\n\s*\n", text) if sentence.strip()]
    random_.shuffle(sentences)
    result = []
    for sentence in sentences:
        words = []
        for word in sentence.split():
            bare = word.lower().strip(".,;:()'\"")
            if random_.random() < 0.12:
                continue
            words.append(_SYNONYMS.get(bare, word))
        result.append(" ".join(words))
    return " ".join(result).capitalize()


def _documentation(node: ast.FunctionDef | ast.ClassDef) -> ast.Constant:
    first = node.body[0]
    assert isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return first.value


# Loops and comprehensions


def _apply_to_each(
    tree: ast.Module, swaps: list[Callable[[ast.Module, random.Random], ast.Module]], random_: random.Random
) -> ast.Module:
    """Each definition gets its loops rolled up or its comprehensions unrolled, whichever it has."""
    for at, node in enumerate(tree.body):
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            continue
        for swap in swaps:
            changed = swap(ast.Module([copy.deepcopy(node)], []), random_)
            if ast.dump(changed.body[0]) != ast.dump(node):
                tree.body[at] = changed.body[0]
                break
    return tree


def _unroll(tree: ast.Module, random_: random.Random) -> ast.Module:
    """Comprehensions become loops."""
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}

    def change(block: list[ast.stmt]) -> None:
        at = 0
        while at < len(block):
            statement = block[at]
            if isinstance(statement, (ast.Return, ast.Assign, ast.Expr, ast.AugAssign)):
                fresh = next(f"made{n}" for n in range(999) if f"made{n}" not in used)
                loop = _unrolled(statement, fresh)
                if loop:
                    used.add(fresh)
                    block[at : at + 1] = loop
                    at += len(loop) - 1
            at += 1

    _each_block(tree, change)
    return tree


def _unrolled(statement: ast.stmt, fresh: str) -> list[ast.stmt]:
    """A statement's first comprehension as a loop before it; nothing where it has none that is evaluated just once."""
    path = _outermost_comprehension(statement)
    if path is None:
        return []
    call, node = path
    name = ast.Name(fresh, ast.Load())
    kind = call.func.id if call and isinstance(call.func, ast.Name) else ""
    element = node.elt if not isinstance(node, ast.DictComp) else None
    if call and kind in ("any", "all") and isinstance(statement, ast.Return) and statement.value is call:
        test = element if kind == "any" else ast.UnaryOp(ast.Not(), element)
        inner: ast.stmt = ast.If(test, [ast.Return(ast.Constant(kind == "any"))], [])
        return [_nest(node.generators, inner), ast.Return(ast.Constant(kind != "any"))]
    if call and kind == "sum" and len(call.args) == 1:
        start: ast.expr = ast.Constant(0)
        inner = ast.AugAssign(ast.Name(fresh, ast.Store()), ast.Add(), element)
        replaced: ast.expr = call
    elif isinstance(node, ast.DictComp):
        start = ast.Dict([], [])
        inner = ast.Assign([ast.Subscript(name, node.key, ast.Store())], node.value)
        replaced = node
    else:
        is_set = isinstance(node, ast.SetComp) or kind == "set"
        start = ast.Call(ast.Name("set", ast.Load()), [], []) if is_set else ast.List([], ast.Load())
        method = ast.Attribute(name, "add" if is_set else "append", ast.Load())
        inner = ast.Expr(ast.Call(method, [element], []))
        replaced = call if kind in ("list", "set") and call else node
    loop = _nest(node.generators, inner)
    begin = ast.Assign([ast.Name(fresh, ast.Store())], start)
    return [begin, loop, _Put(replaced, name).visit(statement)]


def _outermost_comprehension(statement: ast.stmt) -> tuple[ast.Call | None, ast.ListComp] | None:
    found: list[tuple[ast.Call | None, ast.ListComp]] = []

    def look(node: ast.AST, call: ast.Call | None) -> None:
        if isinstance(node, (ast.Lambda, ast.IfExp, ast.BoolOp)):  # not evaluated, or not always
            return
        if isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            name = call.func.id if call and isinstance(call.func, ast.Name) else getattr(call and call.func, "attr", "")
            eager = name in {*_PURE, "join", "any", "all", "tuple"} and call is not None and call.args[0] is node
            if not isinstance(node, ast.GeneratorExp) or (eager and len(call.args) == 1 if call else False):
                found.append((call if call and node in call.args else None, node))  # type: ignore[arg-type]
            return
        for child in ast.iter_child_nodes(node):
            look(child, node if isinstance(node, ast.Call) else None)

    look(statement, None)
    return found[0] if len(found) == 1 else None  # with several, one may depend on what another changes


def _nest(generators: list[ast.comprehension], inner: ast.stmt) -> ast.stmt:
    for generator in reversed(generators):
        for test in reversed(generator.ifs):
            inner = ast.If(test, [inner], [])
        inner = ast.For(generator.target, generator.iter, [inner], [])
    return inner


def _roll(tree: ast.Module, random_: random.Random) -> ast.Module:
    """Loops that build something become comprehensions."""

    def change(block: list[ast.stmt]) -> None:
        at = 0
        while at + 1 < len(block):
            rolled = _rolled(block, at)
            if rolled:
                begin, statement = rolled
                block[at + 1] = statement
                if begin is not None:
                    del block[begin]
                    at -= 1
                elif isinstance(statement, ast.Return):
                    del block[at + 2]
            at += 1

    _each_block(tree, change)
    return tree


def _rolled(block: list[ast.stmt], at: int) -> tuple[int | None, ast.stmt] | None:
    """The loop at `at` + 1 as one statement, and where in `block` what it replaces begins."""
    loop = block[at + 1]
    if not isinstance(loop, ast.For) or loop.orelse:
        return None
    generators, statement = _layers(loop)
    if statement is None:
        return None
    begin = block[at]
    if isinstance(begin, ast.Assign) and len(begin.targets) == 1 and isinstance(begin.targets[0], ast.Name):
        name, value = begin.targets[0].id, begin.value
        if name in _read(ast.Module([_nest(generators, ast.Pass())], [])):
            return None
        built = _built(statement, name, value, generators)
        return (at, ast.Assign([ast.Name(name, ast.Store())], built)) if built else None
    return None


def _layers(loop: ast.stmt) -> tuple[list[ast.comprehension], ast.stmt | None]:
    """A loop's nested loops and conditions, and the one statement within."""
    generators: list[ast.comprehension] = []
    while True:
        if isinstance(loop, ast.For) and not loop.orelse and len(loop.body) == 1:
            generators.append(ast.comprehension(loop.target, loop.iter, [], 0))
            loop = loop.body[0]
        elif isinstance(loop, ast.If) and not loop.orelse and len(loop.body) == 1 and generators:
            generators[-1].ifs.append(loop.test)
            loop = loop.body[0]
        elif isinstance(loop, (ast.Expr, ast.AugAssign, ast.Assign)):
            return generators, loop
        else:
            return generators, None


def _built(statement: ast.stmt, name: str, start: ast.expr, generators: list[ast.comprehension]) -> ast.expr | None:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        call = statement.value
        is_append = isinstance(call.func, ast.Attribute) and call.func.attr == "append" and len(call.args) == 1
        if not is_append or not isinstance(start, ast.List) or start.elts or name in _read(call.args[0]):
            return None
        target = call.func.value  # type: ignore[attr-defined]
        return ast.ListComp(call.args[0], generators) if isinstance(target, ast.Name) and target.id == name else None
    if isinstance(statement, ast.AugAssign) and isinstance(statement.op, ast.Add):
        same = isinstance(statement.target, ast.Name) and statement.target.id == name != "sum"
        zero = isinstance(start, ast.Constant) and type(start.value) is int and start.value == 0
        if same and zero and name not in _read(statement.value):
            return ast.Call(ast.Name("sum", ast.Load()), [ast.GeneratorExp(statement.value, generators)], [])
    return None


# Order


def _shuffle_independent(block: list[ast.stmt], random_: random.Random) -> None:
    """Statements change places with neighbours that have nothing to do with them."""
    for _ in range(2 * len(block)):
        at = random_.randrange(len(block) - 1) if len(block) > 1 else 0
        pair = block[at : at + 2]
        if len(pair) == 2 and _independent(*pair):
            block[at : at + 2] = pair[::-1]


def _independent(first: ast.stmt, second: ast.stmt) -> bool:
    for one, other in ((first, second), (second, first)):
        if not isinstance(one, (ast.Assign, ast.AugAssign, ast.For)):
            return False
        for node in ast.walk(one):
            if isinstance(node, (ast.Return, ast.Break, ast.Continue, ast.Yield, ast.Raise, ast.Await)):
                return False
            if isinstance(node, ast.Call):
                quiet = isinstance(node.func, ast.Name) and node.func.id in _PURE
                appends = isinstance(node.func, ast.Attribute) and node.func.attr in ("append", "add", "lower", "split")
                if not (quiet or appends):
                    return False
        if _touched(one) & _read(other):
            return False
    return True


def _touched(statement: ast.stmt) -> set[str]:
    names = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, (ast.Subscript, ast.Attribute)):
            root: ast.AST = node
            while isinstance(root, (ast.Subscript, ast.Attribute)):
                root = root.value
            if isinstance(root, ast.Name) and (isinstance(node.ctx, ast.Store) or isinstance(node, ast.Attribute)):
                names.add(root.id)
    return names


def _read(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


# More idioms


class _Idioms(ast.NodeTransformer):
    """Other ways to write an expression or a statement, each taken with probability one half."""

    def __init__(self, random_: random.Random) -> None:
        self.random = random_

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        mirrored = {ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.GtE, ast.GtE: ast.LtE}
        if len(node.ops) == 1 and type(node.ops[0]) in mirrored and self.random.random() < 0.5:
            return ast.Compare(node.comparators[0], [mirrored[type(node.ops[0])]()], [node.left])
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.target, ast.Name) and isinstance(node.value, ast.Constant) and self.random.random() < 0.5:
            value = ast.BinOp(ast.Name(node.target.id, ast.Load()), node.op, node.value)
            return ast.Assign([node.target], value)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        alike = all(
            isinstance(value, ast.Compare) and len(value.ops) == 1 and isinstance(value.ops[0], ast.Eq)
            and isinstance(value.left, ast.Name) and isinstance(value.comparators[0], ast.Constant)
            for value in node.values
        )  # fmt: skip
        if isinstance(node.op, ast.Or) and alike and len({value.left.id for value in node.values}) == 1:  # type: ignore
            items = [value.comparators[0] for value in node.values]  # type: ignore[attr-defined]
            return ast.Compare(node.values[0].left, [ast.In()], [ast.Tuple(items, ast.Load())])  # type: ignore
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        self.generic_visit(node)
        both = node.orelse and not isinstance(node.orelse[0], ast.If)
        if both and self.random.random() < 0.5:
            return ast.If(ast.UnaryOp(ast.Not(), node.test), node.orelse, node.body)
        return node


def _more_idioms(block: list[ast.stmt], random_: random.Random) -> None:
    at = 0
    while at < len(block):
        statement = block[at]
        if isinstance(statement, ast.Return) and statement.value and random_.random() < 0.5:
            if isinstance(statement.value, ast.IfExp):
                value = statement.value
                block[at : at + 1] = [ast.If(value.test, [ast.Return(value.body)], [ast.Return(value.orelse)])]
            elif not isinstance(statement.value, (ast.Name, ast.Constant)):
                fresh = f"result{at}"
                block[at : at + 1] = [
                    ast.Assign([ast.Name(fresh, ast.Store())], statement.value),
                    ast.Return(ast.Name(fresh, ast.Load())),
                ]
                at += 1
        elif isinstance(statement, ast.For) and random_.random() < 0.5:
            counted = _as_while(statement)
            if counted:
                block[at : at + 1] = counted
                at += 1
        at += 1


def _as_while(loop: ast.For) -> list[ast.stmt]:
    """`for i in range(n)` as a while loop, where the body neither changes what it counts by nor continues."""
    call = loop.iter
    is_range = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "range"
    if not is_range or not isinstance(loop.target, ast.Name) or loop.orelse or len(call.args) > 2:  # type: ignore
        return []
    *begin, end = call.args  # type: ignore[attr-defined]
    body = ast.Module(loop.body, [])
    changed = set().union(*(_touched(statement) for statement in loop.body))
    if any(isinstance(node, ast.Continue) for node in ast.walk(body)):
        return []
    if changed & (_read(end) | {loop.target.id}) or not isinstance(end, (ast.Name, ast.Constant)):
        return []
    counter = loop.target.id
    step = ast.AugAssign(ast.Name(counter, ast.Store()), ast.Add(), ast.Constant(1))
    test = ast.Compare(ast.Name(counter, ast.Load()), [ast.Lt()], [end])
    return [
        ast.Assign([ast.Name(counter, ast.Store())], begin[0] if begin else ast.Constant(0)),
        ast.While(test, [*loop.body, step], []),
    ]


# Names


def _new_names(tree: ast.Module, random_: random.Random) -> dict[str, str]:
    own: list[str] = []
    kept = {keyword.arg for node in ast.walk(tree) if isinstance(node, ast.Call) for keyword in node.keywords}
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("__"):
            own.append(node.name)
        elif isinstance(node, ast.arg):
            own.append(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.append(node.id)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            own.append(node.name)
    own = [name for name in dict.fromkeys(own) if name not in kept | _attributes(tree)]
    words = random_.sample(_WORDS, len(_WORDS))
    return {name: words[at] if at < len(words) else f"{words[at % len(words)]}_{at}" for at, name in enumerate(own)}


def _attributes(tree: ast.AST) -> set[str]:
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


class _Rename(ast.NodeTransformer):
    def __init__(self, names: dict[str, str]) -> None:
        self.names = names

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for field in ("id", "arg", "name"):
            value = getattr(node, field, None)
            if isinstance(value, str) and not isinstance(node, (ast.keyword, ast.alias)):
                setattr(node, field, self.names.get(value, value))
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            node.names = [self.names.get(name, name) for name in node.names]
        return super().generic_visit(node)


class _Put(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.expr) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


def _each_block(tree: ast.AST, change: Callable[[list[ast.stmt]], None]) -> None:
    """Apply to every list of statements, inner ones first; a docstring and imports stay where they are."""
    for node in ast.iter_child_nodes(tree):
        _each_block(node, change)
    if isinstance(tree, ast.Module):
        return
    for field in ("body", "orelse", "finalbody"):
        block = getattr(tree, field, None)
        if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
            documented = isinstance(block[0], ast.Expr) and isinstance(block[0].value, ast.Constant)
            inner = block[1:] if documented else block[:]
            change(inner)
            block[:] = [*block[: int(documented)], *inner]
