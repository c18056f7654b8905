"""Small interpreters: a string or list of commands that change a number, a position or a list, one after the other."""

from __future__ import annotations

from random import Random

from .task import Param, Task, lines, listed, several

_NUMBER = (
    ("{v} += 1", "adds 1", "inc"),
    ("{v} -= 1", "subtracts 1", "dec"),
    ("{v} *= 2", "doubles it", "double"),
    ("{v} = 0", "sets it to 0", "reset"),
    ("{v} = -{v}", "changes its sign", "flip"),
    ("{v} += 10", "adds 10", "add_ten"),
    ("{v} //= 2", "halves it, rounding down", "half"),
    ("{v} = abs({v})", "makes it positive", "abs"),
    ("{v} -= 3", "subtracts 3", "minus_three"),
    ("{v} = {v} ** 2 % 100", "squares it and keeps the last two digits", "square"),
    ("{v} = max({v} - 5, 0)", "subtracts 5 but leaves at least 0", "pay"),
    ("{v} += {v} % 3", "adds its remainder modulo 3", "rest"),
    ("{v} = 100 - {v}", "subtracts it from 100", "mirror"),
)
_LETTERS = (("+", "-", "*", "!", "?", "#", "."), ("a", "b", "c", "d", "e"), ("U", "D", "X", "R", "S"),
            ("i", "d", "s", "o", "z"), ("<", ">", "=", "^", "~"))  # fmt: skip
_MOVES = (
    ("y += 1", "adds 1 to y", "N"),
    ("y -= 1", "subtracts 1 from y", "S"),
    ("x += 1", "adds 1 to x", "E"),
    ("x -= 1", "subtracts 1 from x", "W"),
    ("x, y = 0, 0", "goes back to (0, 0)", "H"),
    ("x, y = y, x", "swaps x and y", "T"),
    ("x = -x", "changes the sign of x", "M"),
    ("x, y = x + 1, y + 1", "adds 1 to both", "D"),
    ("y *= 2", "doubles y", "J"),
)
_LIST = (
    ("{v}.append(value)", "puts value at the end", "push", True), ("{v}.insert(0, value)", "puts value at the front",
     "unshift", True), ("{v} = {v}[:-1]", "removes the last element, if there is one", "pop", False),
    ("{v} = {v}[1:]", "removes the first element, if there is one", "shift", False), ("{v} = {v}[::-1]",
     "reverses the list", "reverse", False), ("{v} = [value] * len({v})", "replaces every element by value", "fill",
     True), ("{v} = [x for x in {v} if x != value]", "removes all elements equal to value", "remove", True),
    ("{v} = sorted({v})", "sorts the list", "sort", False), ("{v} = [x + value for x in {v}]",
     "adds value to every element", "add", True), ("{v} = {v}[:value]", "keeps the first value elements", "keep", True),
    ("{v} = {v} + {v}[-1:]", "repeats the last element, if there is one", "repeat", False),
)  # fmt: skip


def machine(random: Random) -> Task:
    """A number changed by the characters of a string."""
    ops = random.sample(_NUMBER, random.choice((2, 3, 3, 4)))
    keys = random.sample(random.choice(_LETTERS), len(ops))
    name = random.choice(("commands", "program", "code", "steps", "text"))
    v = random.choice(("value", "x", "number", "total", "state"))
    begin = random.choice((0, 0, 1, 5, 10))
    given = random.random() < 0.3
    kind = random.choice(("final", "final", "list", "largest", "zeros"))
    param = Param(
        name,
        "str",
        lambda r: "".join(r.choice(keys if r.random() < 0.93 else "_") for _ in range(r.randint(1, 9))),
        "a string of commands",
    )
    first = Param("start", "int", lambda r: r.randint(-3, 20), "an integer")
    chain: list[str] = []
    for at, (key, (op, _, _)) in enumerate(zip(keys, ops, strict=True)):
        chain += [f"    {'el' if at else ''}if char == '{key}':", f"        {op.replace('{v}', v)}"]
    stop = random.random() < 0.2
    if stop:
        chain += ["    else:", "        break"]
    opening, each, end, returns, said = {
        "final": ([], [], v, "int", f"the final value of {v}"),
        "list": (["history = []"], [f"    history.append({v})"], "history", "list[int]",
                 f"a list of the values of {v} after each character"),
        "largest": ([f"largest = {v}"], [f"    largest = max(largest, {v})"], "largest", "int",
                    f"the largest value that {v} ever has, the first one included"),
        "zeros": (["zeros = 0"], [f"    if {v} == 0:", "        zeros += 1"], "zeros", "int",
                  f"after how many of the characters {v} is 0"),
    }[kind]  # fmt: skip
    rules = listed([f"'{key}' {what}" for key, (_, what, _) in zip(keys, ops, strict=True)])
    others = "any other character ends the program" if stop else "other characters do nothing"
    where = "start" if given else str(begin)
    text = f"it starts at {where} and is changed by the characters of {name} in turn: {rules}; {others}"
    loop = lines(f"{v} = {where}", *opening, f"for char in {name}:", *chain, *each, f"return {end}")
    simple = all(" = " not in op or op.count(" = ") == 1 for op, _, _ in ops)
    bodies = [loop]
    if simple and not stop:
        pairs = []
        for key, (op, _, _) in zip(keys, ops, strict=True):
            sign = next((s for s in (" += ", " -= ", " *= ", " //= ") if s in op), "")
            right = op.split(sign)[1] if sign else op.split(" = ")[1]
            expr = f"{{v}}{sign.replace('=', '').rstrip()} {right}" if sign else right
            pairs.append(f"    '{key}': lambda {v}: {expr.replace('{v}', v)},")
        bodies.append(
            lines(
                "actions = {",
                *pairs,
                "}",
                f"{v} = {where}",
                *opening,
                f"for char in {name}:",
                "    if char in actions:",
                f"        {v} = actions[char]({v})",
                *each,
                f"return {end}",
            )
        )
    return Task(
        ("run", "run_program", "execute", "interpret", f"run_{ops[0][2]}_{ops[-1][2]}", f"apply_{name}"),
        (param, first) if given else (param,), returns,
        (f"return {said}: {text}",
         f"follow the characters of {name}, which change {v}, starting at {where}: {rules}; {others}; return {said}"),
        tuple(bodies), ("commands", "number", kind),
    )  # fmt: skip


def walk(random: Random) -> Task:
    """A position changed by the characters of a string, or by pairs of a direction and a distance."""
    moves = random.sample(_MOVES[:4], random.choice((2, 3, 4))) + random.sample(_MOVES[4:], random.choice((0, 1, 1, 2)))
    name = random.choice(("moves", "path", "route", "steps", "commands"))
    kind = random.choice(("position", "position", "distance", "visited", "returns", "farthest"))
    keys = [key for _, _, key in moves]
    if random.random() < 0.4:
        keys = random.sample("UDLRFBQZ", len(moves))
    param = Param(name, "str", lambda r: "".join(r.choice(keys) for _ in range(r.randint(1, 9))), "a string of moves")
    chain: list[str] = []
    for at, (key, (op, _, _)) in enumerate(zip(keys, moves, strict=True)):
        chain += [f"    {'el' if at else ''}if {'step' if name != 'step' else 's'} == '{key}':", f"        {op}"]
    opening, each, end, returns, said = {
        "position": ([], [], "(x, y)", "tuple[int, int]", "return the final position as a tuple (x, y)"),
        "distance": ([], [], "abs(x) + abs(y)", "int", "return the sum of the absolute values of x and y at the end"),
        "visited": (["seen = {(0, 0)}"], ["    seen.add((x, y))"], "len(seen)", "int",
                    "return how many different positions were visited, the first one included"),
        "returns": (["count = 0"], ["    if (x, y) == (0, 0):", "        count += 1"], "count", "int",
                    "return after how many of the moves the position is (0, 0)"),
        "farthest": (["farthest = 0"], ["    farthest = max(farthest, abs(x) + abs(y))"], "farthest", "int",
                     "return the largest value that the sum of the absolute values of x and y ever has"),
    }[kind]  # fmt: skip
    rules = listed([f"'{key}' {what}" for key, (_, what, _) in zip(keys, moves, strict=True)])
    loop = lines("x, y = 0, 0", *opening, f"for step in {name}:", *chain, *each, f"return {end}")
    bodies = [loop]
    if all(op.count("=") == 1 and op[2:4] in ("+=", "-=") for op, _, _ in moves) and kind in ("position", "distance"):
        changes = {key: op for key, (op, _, _) in zip(keys, moves, strict=True)}
        table = ", ".join(f"'{k}': ({_change(op, 'x')}, {_change(op, 'y')})" for k, op in changes.items())
        bodies.append(lines(f"changes = {{{table}}}", "x = y = 0", f"for step in {name}:", "    dx, dy = changes[step]",
                            "    x += dx", "    y += dy", f"return {end}"))  # fmt: skip
    return Task(
        (f"follow_{name}", "walk", "final_position" if kind == "position" else f"{kind}_of_{name}", f"trace_{name}"),
        (param,), returns,
        (f"start at the position x = 0, y = 0 and follow the string {name}, in which {rules}; {said}",
         f"{said} of a walk that starts at x = 0, y = 0 and follows the string {name}, in which {rules}"
         if kind in ("position",) else
         f"follow the moves of the string {name} from x = 0, y = 0: {rules}; {said}"),
        tuple(bodies), ("commands", "walk", kind),
    )  # fmt: skip


def editor(random: Random) -> Task:
    """A list changed by pairs of a command and a value."""
    ops = [random.choice(_LIST[:2]), *random.sample(_LIST[2:], random.choice((1, 2, 2, 3)))]
    name = random.choice(("commands", "operations", "actions", "orders"))
    v = random.choice(("items", "stack", "values", "result", "row"))
    kind = random.choice(("final", "final", "sum", "length", "longest"))

    def draw(r: Random) -> list[tuple[str, int]]:
        def one(r: Random) -> tuple[str, int]:
            op = r.choice((ops[0], *ops))
            return (op[2], r.randint(0, 9) if op[3] else 0)

        return [tuple_ for tuple_ in several(one, 1, 7)(r)]

    param = Param(name, "list[tuple[str, int]]", draw, "a list of (name, value) pairs")
    chain: list[str] = []
    for at, (op, _, key, _) in enumerate(ops):
        chain += [f"    {'el' if at else ''}if name == '{key}':", f"        {op.replace('{v}', v)}"]
    opening, each, end, returns, said = {
        "final": ([], [], v, "list[int]", "return the list at the end"),
        "sum": ([], [], f"sum({v})", "int", "return the sum of the list at the end"),
        "length": ([], [], f"len({v})", "int", "return the length of the list at the end"),
        "longest": (["longest = 0"], [f"    longest = max(longest, len({v}))"], "longest", "int",
                    "return the greatest length that the list ever has"),
    }[kind]  # fmt: skip
    rules = listed([f"'{key}' {what}" for _, what, key, _ in ops])
    ignores = any(not op[3] for op in ops)
    note = ("Where a command does not need a value, it is ignored.",) if ignores else ()
    loop = lines(f"{v} = []", *opening, f"for name, value in {name}:", *chain, *each, f"return {end}")
    return Task(
        ("run_commands", "apply_operations", f"edit_{v}", f"process_{name}", f"run_{ops[0][2]}_{ops[-1][2]}"),
        (param,),
        returns,
        (
            f"start with an empty list and apply the (name, value) pairs of {name} in turn, where {rules}; {said}",
            f"apply the (name, value) pairs of {name}, one after the other, to a list that is empty at first: {rules};"
            f" {said}",
        ),
        (loop,),
        ("commands", "list", kind),
        note,
    )


def _change(move: str, axis: str) -> str:
    """What `x += 1` adds to x, and to y."""
    return f"{move[2]}1".removeprefix("+") if move.startswith(axis) else "0"


QUERIES = ((machine, 2), (walk, 1.5), (editor, 1.5))
