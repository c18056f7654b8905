"""Running what is in the editor: the whole text as a script, or the doctests of one function, in the sandbox."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_phi.errors import InvalidCall

if TYPE_CHECKING:
    from edge_phi.evaluate.sandbox import Output

_MAX_LINES = 2000  # of what a program printed, more than anybody reads in a pane

# The text is executed as a module, so that what it does as a script is left out.
_DOCTESTS = """\
import doctest, sys, types
module = types.ModuleType("text")
sys.modules["text"] = module
exec(compile({source!r}, "<text>", "exec"), module.__dict__)
thing = module
for name in {names!r}:
    thing = getattr(thing, name)
runner = doctest.DocTestRunner(verbose=False)
for test in doctest.DocTestFinder(recurse=not {names!r}).find(thing, {title!r}, module, globs=module.__dict__):
    runner.run(test)
print(f"{{runner.tries - runner.failures}} of {{runner.tries}} examples of {title} passed")
sys.exit(1 if runner.failures or not runner.tries else 0)
"""


@dataclass(frozen=True)
class Program:
    """What is to be run, and what it is called in the pane."""

    title: str
    source: str


def doctests(source: str, row: int) -> Program:
    """A program for the doctests of the function or class around `row` (from 0) of `source`; else of all of it.

    Raises:
        InvalidCall: the source is no Python.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f"line {error.lineno}: " if isinstance(error, SyntaxError) and error.lineno else ""
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise InvalidCall(f"{line}{reason}: the doctests need Python that can be read") from error
    names = _around(tree, row + 1)
    title = ".".join(names) or "the text"
    return Program(f"doctests of {title}", _DOCTESTS.format(source=source, names=names, title=title))


def lines_of(output: Output) -> list[str]:
    """What the program printed and how it ended."""
    printed = [*output.stdout.splitlines(), *output.stderr.splitlines()]
    left_out = len(printed) - _MAX_LINES
    if left_out > 0 or output.truncated:
        printed = [*printed[:_MAX_LINES], "… and more"]
    ended = "done" if output.outcome == "pass" else f"{output.outcome.replace('_', ' ')}: {output.detail}"
    return [*printed, f"[{ended} in {output.seconds:.2f} s]"]


def _around(tree: ast.AST, line: int) -> list[str]:
    """The names from the module down to the innermost function or class that has `line` and can be reached by name."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if first <= line <= (node.end_lineno or node.lineno):
                # What is defined in a function cannot be reached from outside.
                inner = _around(node, line) if isinstance(node, ast.ClassDef) else []
                return [node.name, *inner]
        elif isinstance(node, ast.If | ast.Try | ast.With) and (names := _around(node, line)):
            return names
    return []
