"""From Python's syntax tree to a small tree in which much that can be written in several ways is written in one.

Names of the program's own are kept for the passes that follow and say nothing in the end; names of builtins, of their
methods and of what is imported stay. Docstrings, annotations and imports go. Comprehensions, generator expressions,
`map`, `filter`, `sum`, `any`, `all`, `len([...])` and `"".join` become the loops they abbreviate, conditional
expressions become branches, `x in (a, b)` stands for `x == a or x == b`, and comparisons look one way.

What is lowered here is compared, never run: where an order of evaluation would matter, it may be lost.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Callable, Iterable
from typing import Any

from .nodes import FALSE, NONE, TRUE, Block, Node, bound_names, compared, membership, negated

_BUILTINS = frozenset(dir(builtins))
_METHODS = frozenset(
    name
    for kind in (str, bytes, list, dict, set, frozenset, tuple, int, float, complex)
    for name in dir(kind)
    if not name.startswith("__")
) | {"appendleft", "popleft", "rotate", "most_common", "elements", "group", "groups", "start", "end", "span"}
_MODULES = frozenset(sys.stdlib_module_names)
_OPERATOR = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.LShift: "<<", ast.RShift: ">>", ast.BitOr: "|", ast.BitAnd: "&", ast.BitXor: "^", ast.MatMult: "@",
}  # fmt: skip
_EMPTY: dict[str, Node] = {
    "list": ("list",), "dict": ("dict",), "tuple": ("tuple",), "set": ("set",), "str": ("c", "''"),
}  # fmt: skip
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def lower(node: ast.AST, imported: dict[str, str] | None = None, *, method: bool = False) -> Node:
    """Lower a function ("def"), a class ("class"), or a module or part of one ("module").

    Args:
        node: a definition or an `ast.Module`.
        imported: as `imports` gives it.
        method: whether a function is one of a class, whose first parameter is left out.

    Raises:
        RecursionError: nested too deeply.
    """
    lowering = _Lowering(node, imported or {})
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        kind, *parts = lowering.function(node.args, node.body)
        return (kind, *parts[int(method and bool(node.args.posonlyargs or node.args.args)) :])
    if isinstance(node, ast.ClassDef):
        return ("class", lowering.block(node.body))
    return ("module", lowering.block(getattr(node, "body", [])))


class _Lowering:
    """Lowers one program; `out` is the block that statements are added to."""

    def __init__(self, node: ast.AST, imported: dict[str, str]) -> None:
        self.own_name = getattr(node, "name", "")
        self.imported = imported
        self.bound = {*bound_names(node)} - {self.own_name}
        self.out: Block = []
        self.fresh = 0

    def block(self, body: Iterable[ast.stmt]) -> Block:
        outer, self.out = self.out, []
        for statement in body:
            self.statement(statement)
        inner, self.out = self.out, outer
        return inner

    def nested(self, fill: Callable[[], None]) -> Block:
        outer, self.out = self.out, []
        fill()
        inner, self.out = self.out, outer
        return inner

    def temporary(self) -> Node:
        self.fresh += 1
        return ("v", f"%{self.fresh}")

    # Statements

    def statement(self, node: ast.stmt) -> None:
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.Pass, ast.Global, ast.Nonlocal)):
            return
        if isinstance(node, ast.Expr):
            self.expression_statement(node.value)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                self.assign(target, node.value)
        elif isinstance(node, ast.AnnAssign):
            if node.value is not None:
                self.assign(node.target, node.value)
        elif isinstance(node, ast.AugAssign):
            augmented, operator = self.expr(node.target), _OPERATOR[type(node.op)]
            self.branch(node.value, lambda value: self.augment(operator, augmented, value))
        elif isinstance(node, ast.Return):
            self.returned(node.value)
        elif isinstance(node, ast.If):
            self.out.append(("if", self.expr(node.test), self.block(node.body), self.block(node.orelse)))
        elif isinstance(node, (ast.For, ast.AsyncFor)):
            iterated = self.expr(node.iter)
            self.out.append(("for", self.expr(node.target), iterated, self.block(node.body), self.block(node.orelse)))
        elif isinstance(node, ast.While):
            self.out.append(("while", self.expr(node.test), self.block(node.body), self.block(node.orelse)))
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self.out.append(("=", ("v", node.name), self.function(node.args, node.body)))
        elif isinstance(node, ast.ClassDef):
            self.out.append(("=", ("v", node.name), ("class", *map(self.expr, node.bases), self.block(node.body))))
        else:
            self.other(node)

    def other(self, node: ast.stmt) -> None:
        """Statements without other ways to write them: their expressions first, then their blocks."""
        parts: list[Any] = []
        blocks: list[Block] = []
        for _, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.expr):
                    parts.append(self.expr(child))
                elif isinstance(child, ast.withitem):
                    parts += [self.expr(part) for part in (child.context_expr, child.optional_vars) if part]
                elif isinstance(child, ast.excepthandler):
                    parts += [self.expr(child.type)] if isinstance(child, ast.ExceptHandler) and child.type else []
                    blocks.append(self.block(getattr(child, "body", [])))
                elif isinstance(child, ast.AST) and hasattr(child, "body"):  # a case of match
                    parts += [("pattern", ("c", ast.dump(child.pattern)[:200]))] if hasattr(child, "pattern") else []
                    blocks.append(self.block(child.body))
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                blocks.append(self.block(value))
        label = type(node).__name__.lower()
        self.out.append((label.replace("async", ""), *parts, *blocks))

    def expression_statement(self, node: ast.expr) -> None:
        if isinstance(node, ast.Constant):
            return  # a docstring, or an ellipsis
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and len(node.args) == 1:
            [argument] = node.args
            if node.func.attr in ("append", "add") and not node.keywords:
                collection = self.expr(node.func.value)
                label = f".{node.func.attr}()"
                self.branch(argument, lambda value: self.out.append(("do", (label, collection, value))))
                return
            if node.func.attr in ("extend", "update") and isinstance(argument, _COMPREHENSIONS):
                self.collect(argument, self.expr(node.func.value))
                return
            if node.func.attr == "extend":
                self.augment("+", self.expr(node.func.value), self.expr(argument))
                return
        self.out.append(("do", self.expr(node)))

    def assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, (ast.Tuple, ast.List)) and isinstance(value, (ast.Tuple, ast.List)):
            names = {name for each in target.elts for name in _names(each)}
            alone = not any(isinstance(each, ast.Starred) for each in [*target.elts, *value.elts])
            if len(target.elts) == len(value.elts) and alone and names.isdisjoint(_names(value)):
                for each, its in zip(target.elts, value.elts, strict=True):
                    self.assign(each, its)
                return
        alone = isinstance(target, ast.Name) and target.id not in _names(value)
        if alone and isinstance(target, ast.Name) and self.accumulated(value, ("v", target.id)):
            return
        to = self.expr(target)
        self.branch(value, lambda one: self.store(to, one))

    def store(self, target: Node, value: Node) -> None:
        if value[0] in ("+", "-", "*", "/", "//", "%", "**", "|", "&", "^", "<<", ">>"):
            left, right = value[1:]
            if left == target:
                return self.augment(value[0], target, right)
            if right == target and (value[0] == "*" or (value[0] == "+" and _is_number(left))):
                return self.augment(value[0], target, left)
        self.out.append(("=", target, value))

    def augment(self, operator: str, target: Node, value: Node) -> None:
        if operator in "+-" and value == ("c", "0"):
            return
        if operator == "+" and value[0] == "list" and len(value) > 1:
            self.out += [("do", (".append()", target, item)) for item in value[1:]]
            return
        self.out.append((f"= {operator}", target, value))

    def returned(self, value: ast.expr | None) -> None:
        inverted, call = False, value
        if isinstance(call, ast.UnaryOp) and isinstance(call.op, ast.Not):
            inverted, call = True, call.operand
        quantifier = self.quantifier(call)
        if quantifier and isinstance(call, ast.Call):
            found = (quantifier == "any") != inverted

            def leave(element: Node) -> None:
                test = element if quantifier == "any" else negated(element)
                self.out.append(("if", test, [("return", TRUE if found else FALSE)], []))

            self.loops(call.args[0], leave)
            self.out.append(("return", FALSE if found else TRUE))
        elif value is None:
            self.out.append(("return", NONE))
        else:
            self.branch(value, lambda one: self.out.append(("return", one)))

    def branch(self, node: ast.expr, emit: Callable[[Node], None]) -> None:
        """Emit what is done with a value, in branches where it is a conditional expression."""
        if isinstance(node, ast.IfExp):
            test = self.expr(node.test)
            body = self.nested(lambda: self.branch(node.body, emit))
            self.out.append(("if", test, body, self.nested(lambda: self.branch(node.orelse, emit))))
        else:
            emit(self.expr(node))

    def function(self, arguments: ast.arguments, body: list[ast.stmt]) -> Node:
        return ("def", *parameters(arguments, self.expr), self.block(body))

    # Comprehensions

    def quantifier(self, node: ast.expr | None) -> str:
        """Tell whether a call is any(...) or all(...) of a comprehension."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 1:
            of_many = isinstance(node.args[0], _COMPREHENSIONS) or _is_map(node.args[0])
            return node.func.id if node.func.id in ("any", "all") and of_many else ""
        return ""

    def accumulated(self, node: ast.expr, target: Node) -> bool:
        """Where an expression abbreviates a loop that builds its value, emit the loop, building it in `target`."""
        if isinstance(node, _COMPREHENSIONS):
            kind = {ast.SetComp: "set", ast.DictComp: "dict"}.get(type(node), "list")
            self.out.append(("=", target, (kind,)))
            self.collect(node, target)
            return True
        if _is_map(node):
            self.out.append(("=", target, ("list",)))
            self.collect(node, target)
            return True
        if not isinstance(node, ast.Call) or node.keywords or not node.args:
            return False
        first = node.args[0]
        many = isinstance(first, _COMPREHENSIONS) or _is_map(first)
        name = node.func.id if isinstance(node.func, ast.Name) and node.func.id not in self.bound else ""
        if name == "sum":
            self.out.append(("=", target, self.expr(node.args[1]) if len(node.args) > 1 else ("c", "0")))
            self.loops(first, lambda value: self.augment("+", target, value))
        elif self.quantifier(node):
            self.out.append(("=", target, FALSE if name == "any" else TRUE))

            def found(value: Node) -> None:
                test, result = (value, TRUE) if name == "any" else (negated(value), FALSE)
                self.out.append(("if", test, [("=", target, result), ("break",)], []))

            self.loops(first, found)
        elif not many or len(node.args) != 1:
            return False
        elif name == "len" and not isinstance(first, (ast.SetComp, ast.DictComp)):
            self.out.append(("=", target, ("c", "0")))
            self.loops(first, lambda _: self.augment("+", target, ("c", "1")))
        elif name in ("list", "set", "dict"):
            self.out.append(("=", target, (name,)))
            self.collect(first, target, as_set=name == "set", as_dict=name == "dict")
        elif isinstance(node.func, ast.Attribute) and node.func.attr == "join" and _is_empty_text(node.func.value):
            self.out.append(("=", target, ("c", "''")))
            self.loops(first, lambda value: self.augment("+", target, value))
        else:
            return False
        return True

    def collect(self, node: ast.expr, target: Node, *, as_set: bool = False, as_dict: bool = False) -> None:
        """Emit the loop that puts a comprehension's elements into `target`."""

        def put(value: Node) -> None:
            if isinstance(node, ast.DictComp) or (as_dict and value[0] == "tuple" and len(value) == 3):
                self.store(("[]", target, value[1]), value[2])
            elif isinstance(node, ast.SetComp) or as_set:
                self.out.append(("do", (".add()", target, value)))
            else:
                self.out.append(("do", (".append()", target, value)))

        self.loops(node, put)

    def loops(self, node: ast.expr, emit: Callable[[Node], None]) -> None:
        """Emit a loop over the elements of a comprehension, of `map` or `filter`, or of any other iterable."""
        if isinstance(node, _COMPREHENSIONS):
            self.generators(node, list(node.generators), emit)
        elif _is_map(node) and isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            function, kind = node.args[0], node.func.id

            def apply(value: Node) -> None:
                applied = self.applied(function, value)
                if kind == "map":
                    emit(applied)
                else:
                    self.out.append(("if", applied, self.nested(lambda: emit(value)), []))

            self.loops(node.args[1], apply)
        else:
            iterated, target = self.expr(node), self.temporary()
            self.out.append(("for", target, iterated, self.nested(lambda: emit(target)), []))

    def generators(self, node: Any, rest: list[ast.comprehension], emit: Callable[[Node], None]) -> None:
        if not rest:
            if isinstance(node, ast.DictComp):
                emit(("pair", self.expr(node.key), self.expr(node.value)))
            else:
                self.branch(node.elt, emit)
            return
        first, *rest = rest
        iterated, target = self.expr(first.iter), self.expr(first.target)

        def body() -> None:
            if not first.ifs:
                return self.generators(node, rest, emit)
            tests = [self.expr(test) for test in first.ifs]
            test = tests[0] if len(tests) == 1 else ("and", *tests)
            self.out.append(("if", test, self.nested(lambda: self.generators(node, rest, emit)), []))

        self.out.append(("for", target, iterated, self.nested(body), []))

    def applied(self, function: ast.expr, value: Node) -> Node:
        if isinstance(function, ast.Lambda) and len(function.args.args) == 1:
            self.out.append(("=", ("v", function.args.args[0].arg), value))
            return self.expr(function.body)
        if isinstance(function, ast.Constant) and function.value is None:
            return value
        return self.call(function, [value])

    # Expressions

    def expr(self, node: ast.expr | None) -> Node:
        if node is None:
            return ("none",)
        handler = _HANDLERS.get(type(node))
        if handler:
            return handler(self, node)
        if isinstance(node, _COMPREHENSIONS):
            target = self.temporary()
            self.accumulated(node, target)
            return target
        children = [
            self.expr(child)
            for _, value in ast.iter_fields(node)
            for child in (value if isinstance(value, list) else [value])
            if isinstance(child, ast.expr)
        ]
        return (type(node).__name__.lower(), *children)

    def call(self, function: ast.expr, arguments: list[Node]) -> Node:
        if isinstance(function, ast.Attribute) and not self.is_module(function.value):
            name = function.attr
            receiver = self.expr(function.value)
            if name == "keys" and not arguments:  # what iterating over a dict gives
                return receiver
            return (f".{name}()", receiver, *arguments) if name in _METHODS else (".()", receiver, *arguments)
        called = self.expr(function)
        if called[0] == "n":
            return (f"{called[1]}()", *arguments)
        return ("()", called, *arguments)

    def is_module(self, node: ast.expr) -> bool:
        while isinstance(node, ast.Attribute):
            node = node.value
        if not isinstance(node, ast.Name) or node.id in self.bound:
            return False
        return self.imported[node.id] == "" if node.id in self.imported else node.id in _MODULES

    def on_name(self, node: ast.Name) -> Node:
        name = node.id
        if name in self.bound:
            return ("v", name)
        if name == self.own_name:
            return ("itself",)
        if self.imported.get(name):
            return ("n", self.imported[name])
        return ("n", name) if name in _BUILTINS else ("v", name)

    def on_attribute(self, node: ast.Attribute) -> Node:
        if self.is_module(node.value):
            return ("n", node.attr)
        return (f".{node.attr}" if node.attr in _METHODS else ".", self.expr(node.value))

    def on_call(self, node: ast.Call) -> Node:
        target = self.temporary()
        if self.accumulated(node, target):
            return target
        name = node.func.id if isinstance(node.func, ast.Name) and node.func.id not in self.bound else ""
        if name in _EMPTY and not node.args and not node.keywords:
            return _EMPTY[name]
        arguments = [self.expr(argument) for argument in node.args]
        if name == "range" and len(arguments) in (2, 3):
            if len(arguments) == 3 and arguments[2] == ("c", "1"):
                arguments.pop()
            if len(arguments) == 2 and arguments[0] == ("c", "0"):
                arguments.pop(0)
        keywords = [(f"{keyword.arg}=", self.expr(keyword.value)) for keyword in node.keywords]
        return self.call(node.func, [*arguments, *sorted(keywords, key=lambda keyword: str(keyword[0]))])

    def on_constant(self, node: ast.Constant) -> Node:
        if isinstance(node.value, int) and abs(node.value) > 1 << 64:  # to write it out takes quadratic time
            return ("c", f"int of {node.value.bit_length()} bits")
        return ("c", repr(node.value)[:200])

    def on_unary(self, node: ast.UnaryOp) -> Node:
        operand = self.expr(node.operand)
        if isinstance(node.op, ast.Not):
            return negated(operand)
        if isinstance(node.op, ast.USub):
            return ("c", f"-{operand[1]}") if operand[0] == "c" else ("neg", operand)
        return ("~", operand) if isinstance(node.op, ast.Invert) else operand

    def on_binary(self, node: ast.BinOp) -> Node:
        return (_OPERATOR[type(node.op)], self.expr(node.left), self.expr(node.right))

    def on_bool(self, node: ast.BoolOp) -> Node:
        label = "and" if isinstance(node.op, ast.And) else "or"
        values: list[Node] = []
        for value in map(self.expr, node.values):
            values += value[1:] if value[0] == label else [value]
        return membership((label, *values))

    def on_compare(self, node: ast.Compare) -> Node:
        values = [self.expr(node.left), *map(self.expr, node.comparators)]
        tests = [compared(op, *pair) for op, *pair in zip(node.ops, values[:-1], values[1:], strict=True)]
        return tests[0] if len(tests) == 1 else ("and", *tests)

    def on_lambda(self, node: ast.Lambda) -> Node:
        def body() -> None:
            self.returned(node.body)

        return ("def", *parameters(node.args, self.expr), self.nested(body))

    def on_subscript(self, node: ast.Subscript) -> Node:
        return ("[]", self.expr(node.value), self.expr(node.slice))

    def on_slice(self, node: ast.Slice) -> Node:
        lower = ("none",) if isinstance(node.lower, ast.Constant) and node.lower.value == 0 else self.expr(node.lower)
        return ("slice", lower, self.expr(node.upper), self.expr(node.step))


_HANDLERS: dict[type, Callable[..., Node]] = {
    ast.Name: _Lowering.on_name,
    ast.Attribute: _Lowering.on_attribute,
    ast.Call: _Lowering.on_call,
    ast.Constant: _Lowering.on_constant,
    ast.UnaryOp: _Lowering.on_unary,
    ast.BinOp: _Lowering.on_binary,
    ast.BoolOp: _Lowering.on_bool,
    ast.Compare: _Lowering.on_compare,
    ast.Lambda: _Lowering.on_lambda,
    ast.Subscript: _Lowering.on_subscript,
    ast.Slice: _Lowering.on_slice,
}


def parameters(arguments: ast.arguments, expr: Callable[[ast.expr], Node]) -> list[Node]:
    """Parameters as variables, then the defaults of those that have one."""
    names = [each.arg for each in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]]
    stars = [("star", ("v", each.arg)) for each in (arguments.vararg, arguments.kwarg) if each]
    defaults = [each for each in [*arguments.defaults, *arguments.kw_defaults] if each is not None]
    return [*(("v", name) for name in names), *stars, *map(expr, defaults)]


def _is_map(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("map", "filter")
        and len(node.args) == 2
    )


def _is_empty_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == ""


def _is_number(node: Node) -> bool:
    return bool(node[0] == "c" and node[1][:1] not in ("'", '"'))


def _names(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
