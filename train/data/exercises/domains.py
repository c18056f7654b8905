"""Where the items come from: lists, tuples, sets, sentences, digits, ranges, dictionaries, rows and records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from . import fragments, numeric, textual
from .fragments import Attr, Pred
from .task import NAMES, WORDS, Draw, Param, sentence, several, small_int, word


@dataclass(frozen=True)
class Domain:
    """A source of items.

    Attributes:
        kind: int, str, char, row or entry; decides which attributes and predicates fit.
        param: the parameter that holds the items, or from which they are made.
        iterable: the expression to loop over.
        var, x, a, b: the loop's target, the item, and of an entry its text and its number.
        singular, plural: what an item is called.
        where: behind the items' name: "in nums".
        item: the item's annotation.
        direct: the parameter itself is a list or tuple of the items.
        ordered: items have positions; False for sets.
        parts: of an entry, what its text and its number are called.
        single: the integers are digits from 0 to 9.
        more: further parameters the items are made from.
        made: what `iterable` is assigned first, where it is a name of the solution's own.
    """

    kind: str
    param: Param
    iterable: str
    var: str
    x: str
    a: str
    b: str
    singular: str
    plural: str
    where: str
    item: str
    direct: bool = True
    ordered: bool = True
    parts: tuple[str, str] = ("", "")
    single: bool = False
    more: tuple[Param, ...] = ()
    made: str = ""

    def attrs(self, random: Random) -> list[Attr]:
        """Everything that can be computed of one item."""
        if self.single:
            return [a for a in numeric.number_attrs(random) if a.noun in _OF_A_DIGIT]
        if self.kind == "entry":
            text, number = fragments.entry_parts(*self.parts)
            made = [text, number, number]
            made.append(fragments.compose(random.choice(numeric.number_attrs(random)), number))
            made.append(fragments.compose(random.choice(textual.text_attrs(random)), text))
            return made
        makers: dict[str, Callable[[Random], list[Attr]]] = {
            "int": numeric.number_attrs,
            "str": textual.text_attrs,
            "char": textual.char_attrs,
            "row": numeric.row_attrs,
        }
        return makers[self.kind](random)

    def preds(self, random: Random) -> list[Pred]:
        """Conditions on one item."""
        if self.single:
            return numeric.count_preds(random)
        if self.kind == "entry":
            text, number = fragments.entry_parts(*self.parts)
            return [
                fragments.lift(number, random.choice(numeric.number_preds(random))),
                fragments.lift(text, random.choice(textual.text_preds(random))),
            ]
        makers: dict[str, Callable[[Random], list[Pred]]] = {
            "int": numeric.number_preds,
            "str": textual.text_preds,
            "char": textual.char_preds,
            "row": numeric.row_preds,
        }
        return makers[self.kind](random)

    def fill(self, expr: str) -> str:
        """Write this domain's names into a fragment's expression."""
        return fragments.fill(expr, self.x, self.a, self.b)

    def hinted(self, hints: tuple[Any, ...]) -> Domain:
        """Make about a third of the drawn items fit a predicate's hints."""
        if not hints or self.kind not in ("int", "str", "row") or not self.direct:
            return self
        draw = self.param.draw

        def mixed(random: Random) -> Any:
            items = draw(random)
            kind = type(items)
            return kind(random.choice(hints) if random.random() < 0.35 else item for item in items)

        return replace(self, param=replace(self.param, draw=mixed))


INT_NOUNS = ("number", "number", "integer", "value", "element")
THEMES = (
    ("scores", "score"), ("ages", "age"), ("prices", "price"), ("temperatures", "temperature"),
    ("heights", "height"), ("grades", "grade"), ("weights", "weight"), ("distances", "distance"),
    ("sizes", "size"), ("readings", "reading"), ("amounts", "amount"), ("costs", "cost"),
)  # fmt: skip
ENTRIES = (
    ("name", "score", "student", "scores"), ("name", "age", "person", "people"),
    ("product", "price", "item", "prices"), ("city", "population", "place", "cities"),
    ("name", "salary", "employee", "staff"), ("title", "year", "book", "books"),
    ("word", "count", "entry", "entries"), ("name", "weight", "parcel", "parcels"),
    ("fruit", "quantity", "order", "orders"), ("team", "rank", "result", "results"),
)  # fmt: skip
PLURALS = {"person": "people", "entry": "entries", "city": "cities"}
_OF_A_DIGIT = ("square", "cube", "double", "decimal string", "half (rounded down)")


def _numbers(random: Random) -> Domain:
    if random.random() < 0.3:
        name, singular = random.choice(THEMES)
        plural = name
    else:
        name = random.choice(("numbers", "nums", "values", "data", "arr", "lst", "ints", "xs", "items", "a"))
        singular = random.choice(INT_NOUNS)
        plural = singular + "s"
    if random.random() < 0.1:
        tuple_draw = several(small_int)
        param = Param(name, "tuple[int, ...]", lambda r: tuple(tuple_draw(r)), "a tuple of integers")
    else:
        param = Param(name, "list[int]", several(small_int), "a list of integers")
    var = random.choice(("x", "n", "num", "value", "number", singular, singular))
    kind = "tuple" if param.annotation.startswith("tuple") else "list"
    return Domain("int", param, name, var, var, "", "", singular, plural, _where(random, name, kind), "int")


def _words(random: Random) -> Domain:
    name, singular = random.choice(
        (
            ("words", "word"), ("words", "word"), ("strings", "string"), ("names", "name"),
            ("texts", "string"), ("items", "string"), ("tokens", "token"), ("labels", "label"),
            ("titles", "title"), ("keys", "key"),
        )
    )  # fmt: skip
    var = random.choice((singular, singular, singular, "s", "w", "text"))
    item: Draw = (lambda r: r.choice(NAMES)) if name == "names" else word
    param = Param(name, "list[str]", several(item), f"a list of {singular}s")
    return Domain("str", param, name, var, var, "", "", singular, singular + "s", _where(random, name, "list"), "str")


def _sentence(random: Random) -> Domain:
    name = random.choice(("text", "sentence", "s", "line", "message", "phrase", "string"))
    var = random.choice(("word", "word", "w", "token", "part"))
    param = Param(name, "str", sentence, "a string of words separated by spaces")
    where = random.choice((f"of {name}", f"in {name}", f"of the string {name}", f"in the sentence {name}"))
    return Domain("str", param, f"{name}.split()", var, var, "", "", "word", "words", where, "str", direct=False)


def _characters(random: Random) -> Domain:
    name = random.choice(("text", "s", "string", "word", "line", "message", "st"))
    var = random.choice(("c", "ch", "char", "character"))
    param = Param(name, "str", sentence, "a string")
    where = random.choice((f"of {name}", f"in {name}", f"of the string {name}", f"in the string {name}"))
    return Domain("char", param, name, var, var, "", "", "character", "characters", where, "str", direct=False)


def _range(random: Random) -> Domain:
    name = random.choice(("n", "limit", "stop", "number", "upper"))
    var = random.choice(("i", "k", "value", "x"))
    start = random.choice((0, 1, 1, 1))
    param = Param(name, "int", lambda r: r.randint(0, 40), "a non-negative integer")
    noun = random.choice(("integer", "number"))
    return Domain(
        "int", param, f"range({start}, {name} + 1)", var, var, "", "", noun, noun + "s",
        f"from {start} to {name} inclusive", "int", direct=False,
    )  # fmt: skip


def _digits(random: Random) -> Domain:
    name = random.choice(("n", "number", "num", "value", "x"))
    var = "digit"
    param = Param(name, "int", lambda r: r.randint(0, 10 ** r.randint(1, 8)), "a non-negative integer")
    where = random.choice((f"of {name}", f"of the integer {name}", f"of the number {name}"))
    return Domain(
        "int",
        param,
        f"map(int, str({name}))",
        var,
        var,
        "",
        "",
        "digit",
        "digits",
        where,
        "int",
        direct=False,
        single=True,
    )


def _pairs(random: Random) -> Domain:
    text, number, noun, name = random.choice(ENTRIES)
    draw_text, draw_number = _entry_draws(text, number)
    param = Param(
        name, "list[tuple[str, int]]", several(lambda r: (draw_text(r), draw_number(r))),
        f"a list of ({text}, {number}) pairs",
    )  # fmt: skip
    noun = random.choice(("pair", "entry", noun))
    if random.random() < 0.6:
        var, x, a, b = f"{text}, {number}", f"({text}, {number})", text, number
    else:
        var = x = random.choice(("pair", "entry", "item"))
        a, b = f"{x}[0]", f"{x}[1]"
    return Domain(
        "entry", param, name, var, x, a, b, noun, PLURALS.get(noun, noun + "s"), f"in {name}",
        "tuple[str, int]", parts=(text, number),
    )  # fmt: skip


def _mapping(random: Random) -> Domain:
    text, number, _, _ = random.choice(ENTRIES)
    draw_text, draw_number = _entry_draws(text, number)
    name = random.choice((f"{number}s" if number not in ("salary", "quantity", "points") else "table",
                          "table", "mapping", "data", "d", f"{number}_by_{text}"))  # fmt: skip
    pairs = several(lambda r: (draw_text(r), draw_number(r)))
    plural = {"salary": "salaries", "quantity": "quantities", "points": "points"}.get(number, number + "s")
    names = {"city": "cities"}.get(text, text + "s")
    param = Param(name, "dict[str, int]", lambda r: dict(pairs(r)), f"a dictionary that maps {names} to {plural}")
    var, x = f"{text}, {number}", f"({text}, {number})"
    if name in (text, number):
        name = "table"
    return Domain(
        "entry", replace(param, name=name), f"{name}.items()", var, x, text, number, "item", "items",
        f"of the dictionary {name}", "tuple[str, int]", direct=False, parts=(text, number),
    )  # fmt: skip


def _records(random: Random) -> Domain:
    text, number, noun, name = random.choice(ENTRIES)
    draw_text, draw_number = _entry_draws(text, number)
    param = Param(
        name, "list[dict]", several(lambda r: {text: draw_text(r), number: draw_number(r)}, 0, 5),
        f"a list of dictionaries with the keys '{text}' and '{number}'",
    )  # fmt: skip
    var = random.choice(("record", "row", noun)) if noun != "item" else "record"
    noun = random.choice((noun, "record"))
    return Domain(
        "entry", param, name, var, var, f'{var}["{text}"]', f'{var}["{number}"]', noun,
        PLURALS.get(noun, noun + "s"), f"in {name}", "dict", parts=(text, number),
    )  # fmt: skip


def _rows(random: Random) -> Domain:
    name, singular = random.choice(
        (("matrix", "row"), ("rows", "row"), ("lists", "list"), ("groups", "group"), ("table", "row"),
         ("grid", "row"), ("nested", "inner list"))
    )  # fmt: skip
    var = {"list": "sub", "inner list": "inner"}.get(singular, singular)
    param = Param(
        name, "list[list[int]]", several(several(small_int, 1, 4), 0, 5), "a list of non-empty lists of integers"
    )
    return Domain("row", param, name, var, var, "", "", singular, singular + "s", f"in {name}", "list[int]")


def _number_set(random: Random) -> Domain:
    name = random.choice(("numbers", "values", "unique", "pool", "ids"))
    var = random.choice(("x", "n", "value", "number"))
    draw = several(small_int)
    param = Param(name, "set[int]", lambda r: set(draw(r)), "a set of integers")
    return Domain(
        "int", param, name, var, var, "", "", "number", "numbers", f"in the set {name}", "int",
        ordered=False, direct=False,
    )  # fmt: skip


def _csv(random: Random) -> Domain:
    name = random.choice(("text", "line", "csv", "s"))
    mark, called = random.choice(((",", "comma"), (";", "semicolon"), (" ", "space"), ("-", "hyphen")))
    var = random.choice(("n", "value", "number", "x"))

    def draw(r: Random) -> str:
        return mark.join(str(r.randint(0, 40)) for _ in range(r.randint(1, 6)))

    param = Param(name, "str", draw, f"a string of one or more non-negative integers separated by {called}s")
    return Domain(
        "int", param, f'map(int, {name}.split("{mark}"))', var, var, "", "", "number", "numbers",
        f"in the {called}-separated string {name}", "int", direct=False,
    )  # fmt: skip


def _lines(random: Random) -> Domain:
    name = random.choice(("text", "content", "document", "block"))
    var = random.choice(("line", "row"))
    draw = several(lambda r: " ".join(r.choice(WORDS) for _ in range(r.randint(1, 3))), 0, 4)
    param = Param(name, "str", lambda r: "\n".join(draw(r)), "a string of lines")
    return Domain(
        "str", param, f"{name}.splitlines()", var, var, "", "", "line", "lines", f"of {name}", "str",
        direct=False,
    )  # fmt: skip


def _entry_draws(text: str, number: str) -> tuple[Draw, Draw]:
    pool: tuple[str, ...] = {
        "product": ("pen", "book", "lamp", "cup", "chair", "desk", "bag", "hat", "ring"),
        "city": ("Oslo", "Rome", "Lima", "Paris", "Cairo", "Delhi", "Quito", "Accra"),
        "fruit": ("apple", "pear", "plum", "fig", "kiwi", "lime", "orange"),
        "title": ("Dune", "Emma", "Ulysses", "Ivanhoe", "Kim", "Nana"),
        "team": ("Reds", "Blues", "Lions", "Eagles", "Owls"),
        "word": WORDS[:60],
    }.get(text, NAMES)  # fmt: skip
    low, high = {"age": (5, 80), "year": (1900, 2024), "population": (100, 9000), "salary": (1000, 6000)}.get(
        number, (0, 60)
    )
    return (lambda r: r.choice(pool)), (lambda r: r.randint(low, high))


def _where(random: Random, name: str, kind: str) -> str:
    return random.choice((f"in {name}", f"in {name}", f"in the {kind} {name}", f"in the given {kind} {name}"))


MAKERS: tuple[tuple[Callable[[Random], Domain], float], ...] = (
    (_numbers, 9), (_words, 8), (_sentence, 4), (_characters, 4), (_range, 1.5), (_digits, 1.5),
    (_pairs, 3), (_mapping, 3), (_records, 2), (_rows, 3), (_number_set, 1), (_csv, 1), (_lines, 1),
)  # fmt: skip
