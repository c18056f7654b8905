"""An exercise in an answer: a function with a docstring, what it needs, and its tests."""

from __future__ import annotations

import ast
import textwrap
from dataclasses import dataclass

from .code_blocks import blocks, parse
from .safe_tests import SafeTests

_DEFINITIONS = (ast.FunctionDef, ast.ClassDef)


class Unfit(Exception):
    """There is no exercise to keep; the message says why."""


@dataclass(frozen=True)
class Exercise:
    """A function to complete.

    Attributes:
        name: of the function.
        parameters: the names of its plain ones.
        prompt: imports and definitions it needs, signature and docstring, ending in a newline.
        solution: the indented body, ending in a newline.
        tests: statements, ending in a newline; see `SafeTests`.
        examples: those of the docstring that can be checked, as statements.
        names: that tests and examples may want of the solution.
        expected: literals that the tests compare with.
    """

    name: str
    parameters: tuple[str, ...]
    prompt: str
    solution: str
    tests: str
    examples: str
    names: tuple[str, ...]
    expected: tuple[str, ...]

    @property
    def text(self) -> str:
        """The whole program."""
        return self.prompt + self.solution


def extract(answer: str, wanted: str) -> Exercise:
    """The exercise in an answer.

    Args:
        answer: the model's.
        wanted: the function's name; where it is not there, an only one with a docstring is taken.

    Raises:
        Unfit: there is none.
    """
    try:
        return _extract(answer, wanted)
    except RecursionError:
        raise Unfit("does not parse") from None


def essence(answer: str, wanted: str) -> str | None:
    """What exercises that differ in words and in the function's name have in common; None if there is no exercise."""
    try:
        exercise = extract(answer, wanted)
        tree = ast.parse(exercise.text)
        for node in ast.walk(tree):
            if isinstance(node, (*_DEFINITIONS, ast.AsyncFunctionDef)) and ast.get_docstring(node, clean=False):
                node.body = node.body[1:]
            if isinstance(node, ast.FunctionDef) and node.name == exercise.name:
                node.name = "f"
            if isinstance(node, ast.Name) and node.id == exercise.name:
                node.id = "f"
        return ast.dump(tree)
    except (Unfit, RecursionError):
        return None


@dataclass(frozen=True)
class _Piece:
    """A statement, and the lines it is written on."""

    node: ast.stmt
    source: str


def _extract(answer: str, wanted: str) -> Exercise:
    pieces = _pieces(answer)
    main = _main(pieces, wanted)
    docstring = ast.get_docstring(main.node) if isinstance(main.node, ast.FunctionDef) else None
    if not isinstance(main.node, ast.FunctionDef) or not docstring:
        raise Unfit("no docstring")
    head, solution = _halves(main.node, main.source)
    needed = _needed(main, pieces)
    prompt = _joined([*needed, _Piece(main.node, head)])
    if parse(prompt + solution) is None:  # several statements on a line, and the like
        raise Unfit("does not parse")
    defined = [main.node.name, *(piece.node.name for piece in needed if isinstance(piece.node, _DEFINITIONS))]
    tests, examples = SafeTests(defined), SafeTests(defined)
    at = pieces.index(main)
    for piece in pieces[at + 1 :]:
        if piece not in needed and (_is_test(piece.node) or not isinstance(piece.node, _DEFINITIONS)):
            tests.add(piece.node)
    examples.add_examples(docstring)
    asserted = tests.assertions()
    if not any(isinstance(node, ast.Name) and node.id == main.node.name for one in asserted for node in ast.walk(one)):
        raise Unfit("no test")
    return Exercise(
        main.node.name,
        tuple(argument.arg for argument in (*main.node.args.posonlyargs, *main.node.args.args)),
        prompt,
        solution,
        _compilable(tests),
        _compilable(examples) if examples.assertions() else "",
        tuple(sorted(tests.names)),
        _literals(asserted),
    )


def _pieces(answer: str) -> list[_Piece]:
    """The statements of all Python in an answer; without fences, all of it may be Python."""
    python = [block for block in blocks(answer) if block.is_python]
    sources = [block.code for block in python]  # one without an end too: whether it holds is seen by running it
    if not python and parse(answer) is not None:
        sources = [answer]
    if not sources:
        raise Unfit("no code block")
    parsed = [(source, tree) for source in sources if (tree := parse(source)) is not None]
    if not parsed:
        raise Unfit("does not parse")
    pieces = []
    for source, tree in parsed:
        lines = source.split("\n")
        for node in tree.body:
            first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
            pieces.append(_Piece(node, "\n".join(lines[first - 1 : node.end_lineno])))
    return pieces


def _main(pieces: list[_Piece], wanted: str) -> _Piece:
    functions = [(piece, piece.node) for piece in pieces if isinstance(piece.node, ast.FunctionDef)]
    functions = [(piece, node) for piece, node in functions if not _is_test(node)]
    candidates = [piece for piece, node in functions if node.name == wanted]
    if candidates:
        return candidates[0]
    documented = [(piece, node) for piece, node in functions if ast.get_docstring(node)]
    if len({node.name for _, node in documented}) == 1:
        return documented[0][0]
    raise Unfit("not the function asked for" if functions else "no function")


def _is_test(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and (node.name.startswith("test") or node.name == "main")


def _halves(node: ast.FunctionDef, source: str) -> tuple[str, str]:
    """Signature and docstring, and the body after it, on lines of their own."""
    if len(node.body) < 2 or all(
        isinstance(each, ast.Pass) or (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
        for each in node.body[1:]
    ):
        raise Unfit("no solution")
    offset = min([node.lineno, *(each.lineno for each in node.decorator_list)])
    end = node.body[0].end_lineno or node.body[0].lineno
    following = min(each.lineno for each in node.body[1:])
    if node.body[0].lineno == node.lineno or following <= end:
        raise Unfit("no docstring")  # on a line of its own
    lines = source.split("\n")
    split = end - offset + 1
    return "\n".join(lines[:split]) + "\n", "\n".join(lines[split:]).rstrip() + "\n"


def _needed(main: _Piece, pieces: list[_Piece]) -> list[_Piece]:
    """The imports, definitions and constants that a function uses, and what those use, in their order."""
    providers: dict[str, _Piece] = {}
    for piece in pieces:
        if piece is not main and not _is_test(piece.node):
            for name in _provided(piece.node):
                providers.setdefault(name, piece)
    found: list[_Piece] = []
    todo = [main]
    while todo:
        for node in ast.walk(todo.pop().node):
            name = node.id if isinstance(node, ast.Name) else ""
            provider = providers.get(name)
            if provider is not None and provider not in found:
                found.append(provider)
                todo.append(provider)
    return [piece for piece in pieces if piece in found]


def _provided(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    if isinstance(node, _DEFINITIONS):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name) and target.id.isupper()]
    return []


def _joined(pieces: list[_Piece]) -> str:
    """Imports and constants line by line, then definitions with two empty lines before each."""
    simple = [piece.source for piece in pieces if not isinstance(piece.node, _DEFINITIONS)]
    defined = [piece.source for piece in pieces if isinstance(piece.node, _DEFINITIONS)]
    parts = ["\n".join(simple), *defined] if simple else defined
    return "\n\n\n".join(parts).rstrip("\n") + "\n"


def _compilable(tests: SafeTests) -> str:
    source = tests.source() + "\n"
    try:
        compile(source, "<tests>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, MemoryError):
        raise Unfit("does not parse") from None
    return source


def _literals(asserted: list[ast.Assert]) -> tuple[str, ...]:
    """What the tests compare with, each once."""
    found: dict[str, None] = {}
    for one in asserted:
        for node in ast.walk(one.test):
            if isinstance(node, ast.Compare):
                for side in (node.left, *node.comparators):
                    try:
                        ast.literal_eval(side)
                    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                        continue
                    found[ast.unparse(side)] = None
    return tuple(found)


def mutants(exercise: Exercise, most: int) -> list[str]:
    """Programs with the same signature that do nothing worth learning: they return a constant, or an argument."""
    values = ["None", *exercise.parameters, "True", "False", "0", "''", "[]", *exercise.expected]
    return [
        exercise.prompt + textwrap.indent(f"return {value}\n", " " * _indent(exercise.solution))
        for value in list(dict.fromkeys(values))[:most]
    ]


def _indent(solution: str) -> int:
    line = next(line for line in solution.split("\n") if line.strip() and not line.lstrip().startswith("#"))
    return len(line) - len(line.lstrip())
