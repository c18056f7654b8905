"""Programs that are wrong in a known way, made from right ones."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable

Function = ast.FunctionDef


def _at_start(source: str) -> Callable[[ast.Module, Function], None]:
    def change(_: ast.Module, function: Function) -> None:
        function.body[0:0] = ast.parse(source.replace("NAME", function.name)).body

    return change


def _returned(source: str) -> Callable[[ast.Module, Function], None]:
    """Every value that the function returns becomes `source`, where X stands for it."""

    class Change(ast.NodeTransformer):
        def visit_Return(self, node: ast.Return) -> ast.AST:
            value = node.value or ast.Constant(None)
            made = ast.parse(f"return {source}").body[0]
            assert isinstance(made, ast.Return) and made.value is not None

            class Put(ast.NodeTransformer):
                def visit_Name(self, name: ast.Name) -> ast.AST:
                    return copy.deepcopy(value) if name.id == "X" else name

            return Put().visit(made)

    def change(_: ast.Module, function: Function) -> None:
        Change().visit(function)

    return change


def _wrong_operator(_: ast.Module, function: Function) -> None:
    swaps: dict[type, ast.AST] = {
        ast.Lt: ast.GtE(), ast.Gt: ast.LtE(), ast.LtE: ast.Gt(), ast.GtE: ast.Lt(), ast.Eq: ast.NotEq(),
        ast.NotEq: ast.Eq(), ast.Add: ast.Sub(), ast.Sub: ast.Add(), ast.Mult: ast.Add(), ast.Mod: ast.Mult(),
    }  # fmt: skip
    for node in ast.walk(function):
        if isinstance(node, ast.Compare) and type(node.ops[0]) in swaps:
            node.ops[0] = swaps[type(node.ops[0])]  # type: ignore[call-overload]
            return
        if isinstance(node, ast.BinOp) and type(node.op) in swaps:
            node.op = swaps[type(node.op)]  # type: ignore[assignment]
            return


def _off_by_one(_: ast.Module, function: Function) -> None:
    for node in ast.walk(function):
        if isinstance(node, ast.Constant) and type(node.value) is int:
            node.value += 1
            return


def _missing_return(_: ast.Module, function: Function) -> None:
    class Change(ast.NodeTransformer):
        def visit_Return(self, node: ast.Return) -> ast.AST:
            return ast.Expr(node.value or ast.Constant(None))

    Change().visit(function)


MUTATIONS: dict[str, Callable[[ast.Module, Function], None]] = {
    "as published": lambda *_: None,
    "wrong operator": _wrong_operator,
    "off by one": _off_by_one,
    "missing return": _missing_return,
    "returns None": _at_start("return None"),
    "raises": _at_start("raise ValueError('no')"),
    "ends the process": _at_start("raise SystemExit(0)"),
    "recurses for ever": _at_start("return NAME(*[None] * NAME.__code__.co_argcount)"),
    "a generator instead of a list": _returned("(item for item in X)"),
    "a tuple instead of a list": _returned("(lambda value: tuple(value) if isinstance(value, list) else value)(X)"),
    "a float instead of an integer": _returned("(lambda value: value + 0.0 if type(value) is int else value)(X)"),
    "prints much": _at_start("print('x' * 100_000)"),
    "loops for ever": _at_start("while True: pass"),
}


def mutant(program: str, entry_point: str, kind: str) -> str:
    """`program` with a mistake of `kind`, one of `MUTATIONS` or "syntax error"."""
    if kind == "syntax error":
        return f"{program}\n)"
    tree = ast.parse(program)
    function = next(
        node for node in reversed(tree.body) if isinstance(node, ast.FunctionDef) and node.name == entry_point
    )
    MUTATIONS[kind](tree, function)
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"
