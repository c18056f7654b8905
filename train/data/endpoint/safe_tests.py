"""Tests that strangers write, reduced to what can be trusted to run where verdicts are made.

The sandbox keeps a solution away from its tests, and trusts the tests. These come from the same model as the solution:
so only plain statements are taken over (an assertion, a name for a value, a call), of plain expressions over literals,
the solution's own names and builtins that compute. What is left out takes what depends on it along.
"""

from __future__ import annotations

import ast
import doctest
import sys
from collections.abc import Iterable, Iterator
from typing import TypeGuard

_BUILTINS = frozenset({
    "abs", "all", "any", "bool", "bytes", "dict", "divmod", "enumerate", "filter", "float", "frozenset", "int",
    "isinstance", "len", "list", "map", "max", "min", "range", "repr", "reversed", "round", "set", "sorted", "str",
    "sum", "tuple", "zip",
})  # fmt: skip
_EXPRESSIONS = (
    ast.Attribute, ast.BinOp, ast.BoolOp, ast.Call, ast.Compare, ast.Constant, ast.Dict, ast.DictComp, ast.GeneratorExp,
    ast.IfExp, ast.List, ast.ListComp, ast.Name, ast.Set, ast.SetComp, ast.Slice, ast.Starred, ast.Subscript, ast.Tuple,
    ast.UnaryOp, ast.comprehension, ast.keyword, ast.expr_context, ast.operator, ast.boolop, ast.unaryop, ast.cmpop,
)  # fmt: skip
# What frames, code and generators show of the process that runs the tests begins so.
_INNER = ("_", "ag_", "co_", "cr_", "f_", "gi_", "tb_")


class SafeTests:
    """Collects statements.

    Attributes:
        statements: taken over so far.

    Args:
        solution_names: what the solution defines.
    """

    def __init__(self, solution_names: Iterable[str]) -> None:
        self.statements: list[ast.stmt] = []
        # The sandbox gives a name of a module of the standard library's the module itself.
        self._known = {name for name in solution_names if _is_plain(name) and name not in sys.stdlib_module_names}
        self._own: set[str] = set()

    @property
    def names(self) -> frozenset[str]:
        """The solution's that the tests may use."""
        return frozenset(self._known)

    def add(self, statement: ast.stmt) -> None:
        """Take over what can be: the statement, or the plain ones within a test function or a main block."""
        if _is_main_block(statement) or (isinstance(statement, ast.FunctionDef) and not statement.args.args):
            for inner in statement.body:
                self.add(inner)
        elif isinstance(statement, ast.Import) and all(
            alias.name == "math" and alias.asname is None for alias in statement.names
        ):
            self._keep(statement, "math")
        elif isinstance(statement, ast.Assign):
            names = [name for target in statement.targets for name in _targets(target)]
            if all(name not in self._known | _BUILTINS and _is_plain(name) for name in names) and self._fits(
                statement.value
            ):
                self._keep(statement, *names)
            else:
                self._own.difference_update(names)  # what it was before is not what the tests mean from here on
        elif isinstance(statement, ast.Assert):
            if self._fits(statement.test):
                self._keep(ast.Assert(statement.test, None))
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call) and self._fits(statement.value):
            self._keep(statement)

    def add_examples(self, docstring: str) -> None:
        """Take over the examples of a docstring as assertions."""
        try:
            examples = doctest.DocTestParser().get_examples(docstring)
        except ValueError:
            return
        for example in examples:
            source, want = example.source.strip(), example.want.strip()
            try:
                statement = ast.parse(source).body[0]
                if not want or example.exc_msg is not None or not isinstance(statement, ast.Expr):
                    self.add(statement)
                    continue
                try:
                    value: ast.expr = ast.parse(want, mode="eval").body
                    ast.literal_eval(value)
                    left: ast.expr = statement.value
                except (SyntaxError, ValueError, TypeError):
                    left = ast.Call(ast.Name("repr", ast.Load()), [statement.value], [])
                    value = ast.Constant(want)
            except (SyntaxError, ValueError, IndexError, RecursionError, MemoryError):
                continue
            self.add(ast.Assert(ast.Compare(left, [ast.Eq()], [value]), None))

    def source(self) -> str:
        """The tests as one program.

        Raises:
            RecursionError: they nest too deep.
        """
        return ast.unparse(ast.fix_missing_locations(ast.Module(self.statements, [])))

    def assertions(self) -> list[ast.Assert]:
        """Those taken over."""
        return [statement for statement in self.statements if isinstance(statement, ast.Assert)]

    def _keep(self, statement: ast.stmt, *names: str) -> None:
        self.statements.append(statement)
        self._own.update(names)

    def _fits(self, expression: ast.expr) -> bool:
        inner = {
            name
            for node in ast.walk(expression)
            if isinstance(node, ast.comprehension)
            for name in _targets(node.target)
        }
        known = self._known | self._own | _BUILTINS | inner
        for node in ast.walk(expression):
            if not isinstance(node, _EXPRESSIONS):
                return False
            if isinstance(node, ast.Name) and (node.id not in known or not _is_plain(node.id)):
                return False
            if isinstance(node, ast.Attribute) and not _is_plain(node.attr):
                return False
        return True


def _is_plain(name: str) -> bool:
    return not name.startswith(_INNER)


def _targets(target: ast.expr) -> Iterator[str]:
    """Names that are assigned to; for anything else a name that nobody may use."""
    if isinstance(target, ast.Name):
        yield target.id
    elif isinstance(target, (ast.Tuple, ast.List)):
        for element in target.elts:
            yield from _targets(element)
    else:
        yield "_"


def _is_main_block(statement: ast.stmt) -> TypeGuard[ast.If]:
    test = statement.test if isinstance(statement, ast.If) else None
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"
