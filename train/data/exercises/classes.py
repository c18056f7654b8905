"""Small classes: a state and a few methods that change it or answer a question about it."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from random import Random
from typing import Any

from .render import Candidate, Dropped
from .task import WORDS, Draw, indent, show


@dataclass(frozen=True)
class _Method:
    """A method: names to choose from, an argument and how to draw it, code with `@` for the state, English."""

    names: tuple[str, ...]
    arg: str
    code: str
    says: str
    changes: bool = False


def _word(random: Random) -> str:
    return random.choice(WORDS[:20])


def _number(random: Random) -> int:
    return random.randint(-5, 30)


def _amount(random: Random) -> int:
    return random.randint(1, 20)


_NUMBER = (
    _Method(("add", "increase", "deposit"), "amount", "@ += amount", "adds amount to it", True),
    _Method(("subtract", "decrease"), "amount", "@ -= amount", "subtracts amount from it", True),
    _Method(
        ("withdraw", "take"),
        "amount",
        "if amount > @:\n    return False\n@ -= amount\nreturn True",
        "subtracts amount and returns True, or changes nothing and returns False if amount is greater than it",
        True,
    ),
    _Method(
        ("reduce", "use", "spend"), "amount", "@ = max(0, @ - amount)", "subtracts amount but never goes below 0", True
    ),
    _Method(("double",), "", "@ *= 2", "doubles it", True),
    _Method(("halve",), "", "@ //= 2", "halves it, rounding down", True),
    _Method(("reset", "clear"), "", "@ = 0", "sets it to 0", True),
    _Method(("increment", "step_up", "tick"), "", "@ += 1\nreturn @", "adds 1 and returns the new value", True),
    _Method(
        ("fill_to", "raise_to"), "amount", "if @ < amount:\n    @ = amount", "raises it to amount if it is less", True
    ),
    _Method(("cap_at", "limit_to"), "amount", "@ = min(@, amount)", "lowers it to amount if it is greater", True),
    _Method(("get", "current", "read"), "", "return @", "returns it"),
    _Method(("is_zero", "is_empty"), "", "return @ == 0", "returns True if it is 0"),
    _Method(
        ("can_spend", "has_at_least", "covers"), "amount", "return @ >= amount", "returns True if it is at least amount"
    ),
    _Method(
        ("missing", "shortfall"),
        "amount",
        "return max(0, amount - @)",
        "returns how much it is short of amount, or 0 if it is not",
    ),
    _Method(("is_even",), "", "return @ % 2 == 0", "returns True if it is even"),
    _Method(("digits",), "", "return len(str(abs(@)))", "returns how many digits it has"),
)
_LIST = (
    _Method(("add", "append", "push", "insert"), "item", "@.append(item)", "adds item at the end", True),
    _Method(("add_first", "push_front"), "item", "@.insert(0, item)", "adds item at the front", True),
    _Method(
        ("add_new", "add_unique"),
        "item",
        "if item not in @:\n    @.append(item)",
        "adds item at the end unless it is there already",
        True,
    ),
    _Method(
        ("pop", "take_last"),
        "",
        "if not @:\n    return None\nreturn @.pop()",
        "removes and returns the last one, or returns None if there are none",
        True,
    ),
    _Method(
        ("dequeue", "take_first", "next_item"),
        "",
        "if not @:\n    return None\nreturn @.pop(0)",
        "removes and returns the first one, or returns None if there are none",
        True,
    ),
    _Method(
        ("discard", "remove"),
        "item",
        "if item in @:\n    @.remove(item)\n    return True\nreturn False",
        "removes the first one equal to item and returns True, or returns False if there is none",
        True,
    ),
    _Method(
        ("remove_all", "purge"),
        "item",
        "before = len(@)\n@ = [x for x in @ if x != item]\nreturn before - len(@)",
        "removes all that are equal to item and returns how many those were",
        True,
    ),
    _Method(("clear", "reset"), "", "@ = []", "removes all", True),
    _Method(("reverse",), "", "@ = @[::-1]", "reverses their order", True),
    _Method(("rotate",), "", "if @:\n    @.append(@.pop(0))", "moves the first one to the end, if there is one", True),
    _Method(("size", "count", "length"), "", "return len(@)", "returns how many there are"),
    _Method(
        ("peek", "last", "top"), "", "return @[-1] if @ else None", "returns the last one, or None if there are none"
    ),
    _Method(("first", "front"), "", "return @[0] if @ else None", "returns the first one, or None if there are none"),
    _Method(("contains", "has"), "item", "return item in @", "returns True if one is equal to item"),
    _Method(("occurrences", "count_of"), "item", "return @.count(item)", "returns how many are equal to item"),
    _Method(
        ("position", "find"),
        "item",
        "return @.index(item) if item in @ else -1",
        "returns the index of the first one equal to item, or -1",
    ),
    _Method(("distinct", "unique_count"), "", "return len(set(@))", "returns how many different ones there are"),
    _Method(("ordered", "in_order"), "", "return sorted(@)", "returns a sorted list of them"),
    _Method(
        ("largest", "maximum"), "", "return max(@, default=None)", "returns the largest, or None if there are none"
    ),
    _Method(
        ("smallest", "minimum"), "", "return min(@, default=None)", "returns the smallest, or None if there are none"
    ),
    _Method(("to_list", "snapshot"), "", "return list(@)", "returns a copy of the list of them"),
    _Method(
        ("less_than", "below"), "item", "return [x for x in @ if x < item]", "returns a list of those less than item"
    ),
)
_DICT = (
    _Method(
        ("add", "increase"), "key, amount", "@[key] = @.get(key, 0) + amount", "adds amount to the number of key", True
    ),
    _Method(("set", "put", "store"), "key, amount", "@[key] = amount", "sets the number of key to amount", True),
    _Method(
        ("remove", "take"),
        "key, amount",
        "if @.get(key, 0) < amount:\n    return False\n@[key] -= amount\nreturn True",
        "subtracts amount from the number of key and returns True, or returns False if that number is less than amount",
        True,
    ),
    _Method(
        ("delete", "drop"),
        "key",
        "return @.pop(key, None) is not None",
        "removes key and returns whether it was there",
        True,
    ),
    _Method(("hit", "count_one", "record"), "key", "@[key] = @.get(key, 0) + 1", "adds 1 to the number of key", True),
    _Method(
        ("rename",),
        "key, other",
        "if key in @:\n    @[other] = @.pop(key)",
        "stores the number of key under other instead, if key is known",
        True,
    ),
    _Method(
        ("get", "number_of", "lookup"), "key", "return @.get(key, 0)", "returns the number of key, 0 if it is unknown"
    ),
    _Method(("total",), "", "return sum(@.values())", "returns the sum of all numbers"),
    _Method(("names", "keys"), "", "return sorted(@)", "returns a sorted list of the keys"),
    _Method(
        ("largest", "top", "best"),
        "",
        "return max(@, key=@.get, default=None)",
        "returns the key with the largest number, the first one stored on a tie, or None if there are none",
    ),
    _Method(("has", "contains"), "key", "return key in @", "returns True if key is known"),
    _Method(("size", "count"), "", "return len(@)", "returns how many keys there are"),
    _Method(
        ("at_least", "above"),
        "amount",
        "return sorted(k for k, v in @.items() if v >= amount)",
        "returns a sorted list of the keys whose number is at least amount",
    ),
    _Method(
        ("average",),
        "",
        "return sum(@.values()) / len(@) if @ else 0.0",
        "returns the average of the numbers, or 0.0 if there are none",
    ),
)
_KINDS: tuple[tuple[tuple[_Method, ...], str, str, tuple[tuple[str, str], ...]], ...] = (
    (
        _NUMBER,
        "0",
        "a number that starts at 0",
        (
            ("Counter", "value"),
            ("Account", "balance"),
            ("Tank", "level"),
            ("Purse", "coins"),
            ("Score", "points"),
            ("Battery", "charge"),
        ),
    ),
    (
        _LIST,
        "[]",
        "items in a list that starts empty",
        (
            ("Stack", "items"),
            ("Queue", "items"),
            ("Basket", "items"),
            ("History", "entries"),
            ("Playlist", "tracks"),
            ("WaitingList", "waiting"),
            ("Notebook", "lines"),
        ),
    ),
    (
        _DICT,
        "{}",
        "a number for each key, in a dictionary that starts empty",
        (
            ("Inventory", "stock"),
            ("Tally", "counts"),
            ("ScoreBoard", "scores"),
            ("Register", "table"),
            ("Votes", "votes"),
            ("Ledger", "amounts"),
        ),
    ),
)


def draw_class(random: Random) -> Candidate:
    """Draw a class, write it out and run a sequence of calls on it for its examples.

    Raises:
        Dropped: the calls show nothing, or only one value.
    """
    pool, start, holds, names = random.choice(_KINDS)
    first = random.choice(pool[:1] if pool is _NUMBER else pool[:3] if pool is _LIST else (*pool[:2], pool[4]))
    others = [m for m in pool if m.changes and m is not first]
    changing = [first, *random.sample(others, random.choice((0, 1, 1, 2)))]
    asking = random.sample([m for m in pool if not m.changes], random.choice((1, 2, 2, 3)))
    methods = [(random.choice(m.names), m) for m in dict.fromkeys(changing + asking)]
    if len({name for name, _ in methods}) < len(methods):
        raise Dropped("methods share a name")
    name, attribute = random.choice(names)
    if attribute in [n for n, _ in methods]:
        raise Dropped("methods share a name")
    of_words = random.random() < 0.5
    draws: dict[str, Draw] = {"amount": _amount, "key": _word, "other": _word, "item": _word if of_words else _number}
    listed = [f"{n}({m.arg}) {m.says}" for n, m in methods]
    doc = [random.choice((f"Hold {holds}.", f"A class that keeps {holds}.", f"Keeps {holds}."))]
    doc += [""] * (random.random() < 0.6)
    doc += [part for line in listed for part in textwrap.wrap(f"{line}.", 90, subsequent_indent="    ")]
    init = f"def __init__(self):\n    self.{attribute} = {start}"
    parts = [init]
    for method, m in methods:
        arguments = f", {m.arg}" if m.arg else ""
        parts.append(f"def {method}(self{arguments}):\n{indent(m.code.replace('@', f'self.{attribute}'))}")
    solution = indent("\n\n".join(parts)) + "\n"
    variable = random.choice(("c", "x", "obj", name.lower()[0]))
    examples = _play(random, f"class {name}:\n{solution}", name, variable, methods, draws)
    shown = random.random() < 0.75
    if shown:
        doc += [""] + [line for call, out in examples[:7] for line in (f">>> {call}", out) if line]
    prompt = f'class {name}:\n    """\n{indent(chr(10).join(doc))}\n    """\n'
    if shown:
        prompt = f'class {name}:\n    """{doc[0]}\n{indent(chr(10).join(doc[1:]))}\n    """\n'
    return Candidate(name, prompt, solution, examples, ("classes", attribute))


def _play(
    random: Random,
    source: str,
    name: str,
    variable: str,
    methods: list[tuple[str, _Method]],
    draws: dict[str, Draw],
) -> tuple[tuple[str, str], ...]:
    scope: dict[str, Any] = {}
    exec(compile(source, "<exercise>", "exec"), scope)
    exec(f"{variable} = {name}()", scope)
    examples = [(f"{variable} = {name}()", "")]
    changing = [m for m in methods if m[1].changes]
    asking = [m for m in methods if not m[1].changes]
    order = [changing[0], random.choice(changing), random.choice(asking), random.choice(changing), *methods, *asking]
    for method, m in order:
        arguments = ", ".join(show(draws[a](random)) for a in m.arg.split(", ") if a)
        call = f"{variable}.{method}({arguments})"
        value = eval(call, scope)
        examples.append((call, "" if value is None else show(value)))
    if len({out for _, out in examples if out}) < 2:
        raise Dropped("constant")
    return tuple(examples)
