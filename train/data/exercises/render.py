"""From a task to text: names, annotations, the docstring's wording and layout, and the examples in it."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from .task import Param, Task, indent, listed, show

INPUTS = 12
KEPT = 6  # of the examples
LONGEST_LINE = 100
_THIRD = {"sum": "sums", "check": "checks", "match": "matches"}
_TYPING = {"list": "List", "dict": "Dict", "set": "Set", "tuple": "Tuple"}
_LATER_VERBS = re.compile(r"(?:,|;|and) (?:return|keep|stop|sum|leave)\b|: return\b|(?:;|and) (?:join|replace)\b")


class Dropped(Exception):
    """The candidate is not worth keeping; the message is the reason to count."""


@dataclass(frozen=True)
class Candidate:
    """A rendered exercise that has not been verified: its text in two parts, and its examples."""

    name: str
    prompt: str
    solution: str
    examples: tuple[tuple[str, str], ...]
    tags: tuple[str, ...]
    tests: str = ""


def render(task: Task, random: Random) -> Candidate:
    """Write a task out with one of its bodies.

    Every body is run on the same inputs and all must agree.

    Raises:
        Dropped: bodies fail or disagree, the result is constant or the input itself, a line is too long.
    """
    parameters = _names(task)
    bodies = list(dict.fromkeys(task.bodies))
    name = _function_name(task, random)
    runs = _run(task, name, parameters, bodies, random)
    fitting = [b for b in bodies if max(map(len, b.split("\n"))) <= LONGEST_LINE - 4]
    if not fitting:
        raise Dropped("line too long")
    body = _tidy(random.choice(fitting))
    examples = tuple((f"{name}({', '.join(map(show, args))})", show(out)) for args, out in runs)
    imports = [line for line in task.imports if re.search(rf"\b{line.split()[-1]}\b", body)]
    hints = random.random()
    header = _header(task, name, imports, hints)
    prompt = f"{header}\n{indent(_docstring(task, examples, random))}\n"
    return Candidate(name, prompt, indent(body) + "\n", examples[:KEPT], task.tags, _tests(examples, random))


def run_calls(source: str, name: str, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Define `source` and call `name` with each tuple of arguments; the arguments must stay as they were."""
    scope: dict[str, Any] = {}
    exec(compile(source, "<exercise>", "exec"), scope)
    results = []
    for args in calls:
        before = repr(args)
        results.append(scope[name](*args))
        if repr(args) != before:
            raise Dropped("changes its input")
    return results


def pick_examples(runs: list[tuple[Any, str]]) -> list[int]:
    """Order runs so that the first ones differ in their outputs and are neither empty nor long."""
    seen: set[str] = set()
    early: list[int] = []
    late: list[int] = []
    for at, (args, out) in enumerate(runs):
        plain = len(show(args)) + len(out) <= 110 and all(a not in ([], "", {}, (), set()) for a in args)
        (early if plain and out not in seen else late).append(at)
        if plain:
            seen.add(out)
    early.sort(key=lambda at: (_is_trivial(*runs[at]), _is_thin(runs[at][0])))
    return early + late


def _is_trivial(args: tuple[Any, ...], out: str) -> bool:
    return out in ("[]", "{}", "None", "0", "''", "-1", "set()") or (bool(args) and out == show(args[0]))


def _is_thin(args: tuple[Any, ...]) -> bool:
    """Tell whether an argument is a collection of fewer than three elements, which shows little."""
    return any(isinstance(a, (list, dict, set, tuple)) and len(a) < 3 for a in args)


def _names(task: Task) -> list[str]:
    parameters = [p.name for p in task.params]
    if len(set(parameters)) != len(parameters):
        raise Dropped("parameters share a name")
    return parameters


def _function_name(task: Task, random: Random) -> str:
    names = []
    for name in task.names:
        cleaned = re.sub(r"_+", "_", re.sub(r"\W", "_", name)).strip("_")
        if len(cleaned) <= 42 and cleaned not in [p.name for p in task.params] and cleaned.isidentifier():
            names.append(cleaned)
    if not names:
        raise Dropped("name too long")
    return random.choice(names)


def _tidy(body: str) -> str:
    try:
        text = ast.unparse(ast.parse(f"def f():\n{indent(body)}"))
    except SyntaxError as error:
        raise Dropped("syntax error") from error
    body = textwrap.dedent(_single_parentheses(text).split("\n", 1)[1])
    return "\n".join(map(_bare_tuple, body.split("\n")))


def _bare_tuple(line: str) -> str:
    """Write `return a, b` and `a, b = b, a` without the parentheses of `ast.unparse`."""
    found = re.fullmatch(r"(\s*(?:return|[\w, ]+ =) )\((.*)\)", line)
    if not found:
        return line
    try:
        inner = ast.parse(found[2], mode="eval").body
    except SyntaxError:
        return line
    plain = isinstance(inner, ast.Tuple) and not any(isinstance(e, ast.Starred) for e in inner.elts)
    return found[1] + found[2] if plain and not found[2].endswith(",") else line


def _single_parentheses(text: str) -> str:
    """Undo `sum((x for x in y))`, which is how `ast.unparse` writes a lone generator expression."""
    if "((" not in text:
        return text
    rows = text.split("\n")
    cuts = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords:
            lone = node.args[0]
            if isinstance(lone, ast.GeneratorExp) and rows[lone.lineno - 1].isascii():
                cuts += [(lone.lineno - 1, lone.col_offset), (lone.lineno - 1, (lone.end_col_offset or 0) - 1)]
    for row, at in sorted(cuts, reverse=True):
        doubled = rows[row][at - 1 : at + 1] == "((" or rows[row][at : at + 2] == "))"
        if not doubled:  # this version of Python does not write them twice
            return text
        rows[row] = rows[row][:at] + rows[row][at + 1 :]
    return "\n".join(rows)


def _run(
    task: Task, name: str, parameters: list[str], bodies: list[str], random: Random
) -> list[tuple[tuple[Any, ...], Any]]:
    calls = _draw_calls(task.params, random)
    results: list[Any] = []
    agreed: list[tuple[str, type]] = []
    for body in bodies:
        source = "\n".join([*task.imports, f"def {name}({', '.join(parameters)}):", indent(body)])
        try:
            outputs = run_calls(source, name, calls)
        except Dropped:
            raise
        except Exception as error:
            raise Dropped(f"solution raises {type(error).__name__}") from error
        shown = [(show(o), type(o)) for o in outputs]
        if results and shown != agreed:
            raise Dropped("idioms disagree")
        results, agreed = outputs, shown
    shown_outputs = [text for text, _ in agreed]
    if len(set(shown_outputs)) < 2:
        raise Dropped("constant")
    if task.params and all(args[0] == out for args, out in zip(calls, results, strict=True)):
        raise Dropped("identity")
    if max(map(len, shown_outputs)) > 400:
        raise Dropped("output too long")
    order = pick_examples([(args, out) for args, out in zip(calls, shown_outputs, strict=True)])
    other = next(at for at in order if shown_outputs[at] != shown_outputs[order[0]])
    if order.index(other) >= KEPT:  # what is kept must not always be the same
        order.remove(other)
        order.insert(KEPT - 1, other)
    return [(calls[at], results[at]) for at in order]


def _draw_calls(params: Sequence[Param], random: Random) -> list[tuple[Any, ...]]:
    calls: dict[str, tuple[Any, ...]] = {}
    for _ in range(INPUTS):
        args = tuple(p.draw(random) for p in params)
        calls.setdefault(show(args), args)
    return list(calls.values())


def _header(task: Task, name: str, imports: list[str], style: float) -> str:
    returns, annotations = task.returns, [p.annotation for p in task.params]
    if style < 0.5:
        signature = f"def {name}({', '.join(p.name for p in task.params)}):"
        return "\n".join([*imports, *([""] if imports else []), signature])
    used: set[str] = {"Optional"} if "Optional" in returns else set()
    if style < 0.8:
        for lower, upper in _TYPING.items():
            if any(re.search(rf"\b{lower}\[", a) for a in [returns, *annotations]):
                used.add(upper)
                returns = re.sub(rf"\b{lower}\[", f"{upper}[", returns)
                annotations = [re.sub(rf"\b{lower}\[", f"{upper}[", a) for a in annotations]
    if used:
        imports = [*imports, f"from typing import {', '.join(sorted(used))}"]
    pairs = ", ".join(f"{p.name}: {a}" for p, a in zip(task.params, annotations, strict=True))
    signature = f"def {name}({pairs}) -> {returns}:"
    return "\n".join([*imports, *([""] if imports else []), signature])


def _docstring(task: Task, examples: tuple[tuple[str, str], ...], random: Random) -> str:
    text = " ".join([_sentence(task, random), *task.notes]).replace(",,", ",").replace(",.", ".").replace(",;", ";")
    shown = [e for e in examples if len(e[0]) + len(e[1]) < 130][: random.choice((0, 1, 1, 2, 2, 2, 3))]
    layout = random.random()
    wrapped = textwrap.wrap(text, random.choice((76, 88, 92)))
    if layout < 0.14 and len(wrapped) == 1 and len(wrapped[0]) < 80:
        shown = []
        return _quoted(wrapped[0], random)
    body = list(wrapped)
    if layout > 0.85 and all(p.describe for p in task.params):
        body += ["", "Args:", *(f"    {p.name}: {p.describe}." for p in task.params)]
        body[-1:] = [body[-1]]
    if shown:
        form = random.random()
        if form < 0.05 and all(len(_assertion(*pair)) < 92 for pair in shown):
            body += ["", *(_assertion(*pair) for pair in shown)]
        elif form < 0.74:
            body += [""] if random.random() < 0.3 or len(body) > len(wrapped) else []
            body += [line for pair in shown for line in _prompted(task, *pair)]
        else:
            arrow = random.choice(("->", "=>", "==", "returns"))
            head = random.choice(("For example:", "Example:", "Examples:", "E.g."))
            body += ["", head, *(f"{call} {arrow} {out}" for call, out in shown)]
    opening = "\n" if random.random() < 0.6 else ""
    return _quoted(opening + "\n".join(body) + "\n", random)


def _tests(examples: tuple[tuple[str, str], ...], random: Random) -> str:
    """Write some examples as assertions behind the solution, in one exercise of twelve."""
    kind = random.random()
    short = [e for e in examples if len(e[0]) + len(e[1]) < 84]
    if kind > 1 / 12 or len(short) < 2:
        return ""
    rows = [_assertion(*pair) for pair in short[: random.randint(2, 4)]]
    if kind < 1 / 24:
        return "\n\n" + "\n".join(rows) + "\n"
    name = short[0][0].partition("(")[0]
    return f"\n\ndef test_{name}():\n" + "\n".join(f"    {row}" for row in rows) + "\n"


def _assertion(call: str, out: str) -> str:
    if out in ("True", "False"):
        return f"assert {call}" if out == "True" else f"assert not {call}"
    return f"assert {call} is None" if out == "None" else f"assert {call} == {out}"


def _prompted(task: Task, call: str, out: str) -> tuple[str, ...]:
    """Write an example as an interpreter shows it: nothing for None, and sets compared, not in some order."""
    if out == "None":
        return (f">>> {call} is None", "True")
    return (f">>> {call} == {out}", "True") if task.returns.startswith("set") else (f">>> {call}", out)


def _quoted(text: str, random: Random) -> str:
    mark = "'''" if random.random() < 0.06 and "'''" not in text and not text.endswith("'") else '"""'
    if text.endswith('"'):
        text += "\n"
    return f"{'r' if chr(92) in text else ''}{mark}{text}{mark}"


def _sentence(task: Task, random: Random) -> str:
    says = random.choice(task.says)
    kind = random.random()
    given = all(p.describe for p in task.params)
    if kind < 0.55:
        return _capital(says) + "."
    if kind < 0.73:
        return _capital(_third_person(says)) + "."
    if kind < 0.9 and given:
        if all(len(p.describe.split()) <= 4 for p in task.params) and random.random() < 0.6:
            return f"Given {listed([f'{p.describe} {p.name}' for p in task.params])}, {says}."
        if len(task.params) == 1:
            return f"Given {task.params[0].name}, {task.params[0].describe}, {says}."
    if kind < 0.95:
        return f"Write a function to {says}."
    return f"This function {_third_person(says)}."


def _third_person(says: str) -> str:
    verb, _, rest = says.partition(" ")
    rest = _LATER_VERBS.sub(lambda m: f"{m[0]}s", rest)
    return f"{_verb(verb)} {rest}"


def _verb(verb: str) -> str:
    if verb in _THIRD:
        return _THIRD[verb]
    if verb.endswith(("s", "sh", "ch", "x")):
        return verb + "es"
    return verb[:-1] + "ies" if verb.endswith("y") and verb[-2] not in "aeiou" else verb + "s"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
