"""What a drawn exercise is before it becomes text: a task, its parameters, and values to call it with."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

Draw = Callable[[Random], Any]

WORDS = tuple(
    """
    apple banana cherry grape lemon mango orange peach pear plum table chair window door floor wall house
    garden river mountain forest ocean beach desert island valley cloud rain snow storm wind summer winter
    spring autumn morning evening night day week month year hour minute dog cat horse bird fish lion tiger
    bear wolf fox rabbit mouse snake frog duck goose eagle owl red blue green yellow purple black white brown
    gray pink small large tall short long wide narrow deep shallow fast slow quick quiet loud bright dark
    warm cold hot cool happy sad angry calm brave kind gentle honest level radar civic noon eye mom kayak
    python code loop list string number function class object method value key index array queue stack tree
    graph node edge path music piano guitar violin drum song dance paint paper pencil book letter story poem
    bread butter cheese milk sugar salt pepper water juice coffee tea rice soup salad train plane boat car
    truck bike road bridge tunnel station city town village market school office doctor teacher farmer baker
    pilot artist singer writer under over above below between always never often hello world area idea open
    ice egg ant arm ear use up an at it on is to we go
    """.split()  # noqa: SIM905 - a list would take a line a word
)
NAMES = tuple(
    """
    Alice Bob Carol David Emma Frank Grace Henry Ivy Jack Karen Leo Maria Nina Oscar Paul Quinn Rosa Sam Tina
    Uma Victor Wendy Xavier Yara Zoe Anna Otto Ben Clara Dan Ella
    """.split()  # noqa: SIM905 - a list would take a line a word
)

_SCALARS = {int, str, bool, float, type(None)}


@dataclass(frozen=True)
class Param:
    """A parameter: its name, its annotation in the built-in spelling (`list[int]`), how to draw a value."""

    name: str
    annotation: str
    draw: Draw
    describe: str


@dataclass(frozen=True)
class Task:
    """One exercise in the abstract.

    Attributes:
        names: function names that fit, best first.
        says: imperative sentences with the same meaning, lower case, without a full stop.
        notes: whole sentences added behind any of them.
        bodies: solutions in different idioms, all with the same meaning; each is source without indent.
        imports: import lines; those that the chosen body does not need are left out.
    """

    names: tuple[str, ...]
    params: tuple[Param, ...]
    returns: str
    says: tuple[str, ...]
    bodies: tuple[str, ...]
    tags: tuple[str, ...]
    notes: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()


def show(value: Any) -> str:
    """`repr`, with the elements of sets in sorted order, so that it does not depend on the hash seed."""
    if type(value) in _SCALARS or (type(value) in (list, tuple) and {*map(type, value)} <= _SCALARS):
        return repr(value)
    if isinstance(value, (set, frozenset)):
        return "{" + ", ".join(map(show, sorted(value))) + "}" if value else "set()"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{show(k)}: {show(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(show, value)) + "]"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(show, value)) + ("," if len(value) == 1 else "") + ")"
    return repr(value)


def lines(*parts: str | list[str]) -> str:
    """Join lines and lists of lines into one body."""
    return "\n".join(line for part in parts for line in ([part] if isinstance(part, str) else part))


def indent(text: str, by: int = 4) -> str:
    """Indent every line that is not empty."""
    return "\n".join(" " * by + line if line else line for line in text.split("\n"))


def slug(text: str) -> str:
    """Make a piece of an identifier of English words."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def listed(parts: list[str]) -> str:
    """Join phrases with commas and "and"."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def article(noun: str) -> str:
    """Put `a` or `an` before a noun."""
    return f"{'an' if noun[0] in 'aeiou' and not noun.startswith(('uni', 'use')) else 'a'} {noun}"


def small_int(random: Random) -> int:
    """Draw an integer as people write them in examples: mostly small, sometimes negative."""
    low, high = random.choice(((0, 10), (1, 30), (-20, 60)))
    return random.randint(low, high)


def word(random: Random) -> str:
    """Draw a word in lower case, sometimes capitalised."""
    text = random.choice(WORDS)
    kind = random.random()
    return text.capitalize() if kind < 0.12 else text.upper() if kind < 0.16 else text


def several(item: Draw, low: int = 0, high: int = 7) -> Callable[[Random], list[Any]]:
    """Draw a list of items; one list in twelve is empty when `low` is 0, and some have repeated items."""

    def draw(random: Random) -> list[Any]:
        if low == 0 and random.random() < 1 / 12:
            return []
        items = [item(random) for _ in range(random.randint(max(low, 1), high))]
        if len(items) > 1 and random.random() < 0.4:
            items[random.randrange(len(items))] = random.choice(items)
        return items

    return draw


def sentence(random: Random) -> str:
    """Draw a few words separated by single blanks, sometimes with punctuation or a number, rarely empty."""
    if random.random() < 1 / 14:
        return ""
    parts = [word(random) for _ in range(random.randint(1, 6))]
    if random.random() < 0.2:
        parts.insert(random.randint(0, len(parts)), str(random.randint(1, 120)))
    if random.random() < 0.15:
        parts[-1] += random.choice("!?.")
    return " ".join(parts)
