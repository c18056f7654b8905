"""Items that are made from the parameters first: cells, diagonals, windows, substrings, divisors, zipped lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from .domains import Domain
from .task import NAMES, WORDS, Draw, Param, several, small_int, word


def _cells(random: Random) -> Domain:
    name = random.choice(("matrix", "grid", "table", "board", "m"))
    row, v = random.choice((("row", "cell"), ("row", "value"), ("line", "x")))
    draw = several(several(small_int, 1, 4), 0, 4)
    param = Param(name, "list[list[int]]", draw, "a list of lists of integers")
    whole = f"[{v} for {row} in {name} for {v} in {row}]"
    noun, where = random.choice((("cell", f"of {name}"), ("number", f"in the rows of {name}"), ("value", f"in {name}")))
    return _made(random, "int", param, whole, "cells", v, noun, where)


def _diagonal(random: Random) -> Domain:
    name = random.choice(("matrix", "grid", "m", "square"))

    def draw(r: Random) -> list[list[int]]:
        n = r.randint(1, 4)
        return [[small_int(r) for _ in range(n)] for _ in range(n)]

    index, where = random.choice(
        ((f"{name}[i][i]", f"on the main diagonal of {name}"),
         (f"{name}[i][len({name}) - 1 - i]", f"on the diagonal of {name} that starts at the top right"))
    )  # fmt: skip
    param = Param(name, "list[list[int]]", draw, "a square matrix")
    whole = f"[{index} for i in range(len({name}))]"
    return _made(random, "int", param, whole, "diagonal", "value", "value", where)


def _column(random: Random) -> Domain:
    name = random.choice(("matrix", "grid", "table", "rows"))

    def draw(r: Random) -> list[list[int]]:
        n = r.randint(2, 4)
        return [[small_int(r) for _ in range(n)] for _ in range(r.randint(0, 5))]

    param = Param(name, "list[list[int]]", draw, "a list of rows of at least two integers each")
    if random.random() < 0.5:
        which, said = random.choice(((0, "first"), (1, "second"), (-1, "last")))
        return _made(random, "int", param, f"[row[{which}] for row in {name}]", "column", "value", "value",
                     f"in the {said} column of {name}")  # fmt: skip
    more = Param("column", "int", lambda r: r.randint(0, 1), "a column index")
    d = _made(random, "int", param, f"[row[column] for row in {name}]", "selected_column", "value", "value",
              f"in the given column of {name}")  # fmt: skip
    return replace(d, more=(more,))


def _columns(random: Random) -> Domain:
    name = random.choice(("matrix", "grid", "table"))

    def draw(r: Random) -> list[list[int]]:
        n = r.randint(1, 4)
        return [[small_int(r) for _ in range(n)] for _ in range(r.randint(1, 4))]

    param = Param(name, "list[list[int]]", draw, "a rectangular matrix")
    return _made(random, "row", param, f"[list(column) for column in zip(*{name})]", "columns", "column", "column",
                 f"of {name}")  # fmt: skip


def _zipped(random: Random) -> Domain:
    a, b = random.choice((("a", "b"), ("first", "second"), ("left", "right"), ("xs", "ys"), ("nums1", "nums2")))
    expr, noun, plural = random.choice(
        (("x + y", "sum", "sums"), ("x * y", "product", "products"), ("x - y", "difference", "differences"),
         ("abs(x - y)", "absolute difference", "absolute differences"), ("max(x, y)", "maximum", "maxima"),
         ("min(x, y)", "minimum", "minima"))
    )  # fmt: skip
    param = Param(a, "list[int]", several(small_int), "a list of integers")
    more = Param(b, "list[int]", several(small_int), "a list of integers")
    where = f"of the pairs of elements at the same positions of {a} and {b}"
    d = _made(random, "int", param, f"[{expr} for x, y in zip({a}, {b})]", plural.replace(" ", "_"), "value", noun,
              where)  # fmt: skip
    return replace(d, plural=plural, more=(more,))


def _window(random: Random) -> Domain:
    name = random.choice(("numbers", "nums", "values", "data"))
    k = random.choice(("2", "3", "k"))
    param = Param(name, "list[int]", several(small_int), "a list of integers")
    fun, noun, plural = random.choice(
        (("sum", "sum", "sums"), ("max", "maximum", "maxima"), ("min", "minimum", "minima"))
    )
    whole = f"[{fun}({name}[i:i + {k}]) for i in range(len({name}) - {k} + 1)]"
    d = _made(random, "int", param, whole, "windows", "value", noun, f"of {k} consecutive elements of {name}")
    size = Param("k", "int", lambda r: r.randint(1, 3), "a positive integer")
    return replace(d, plural=plural, more=(size,) if k == "k" else ())


def _some(random: Random) -> Domain:
    name = random.choice(("numbers", "nums", "values", "items", "words", "strings"))
    text = name in ("words", "strings")
    k = random.randint(2, 4)
    part, where = random.choice(
        ((f"{name}[::2]", f"at even indices of {name}"), (f"{name}[1::2]", f"at odd indices of {name}"),
         (f"{name}[:{k}]", f"among the first {k} of {name}"), (f"{name}[-{k}:]", f"among the last {k} of {name}"),
         (f"{name}[1:-1]", f"of {name} other than its first and last element"),
         (f"{name}[1:]", f"after the first element of {name}"), (f"sorted({name})", f"of {name}, in ascending order,"),
         (f"{name}[::-1]", f"of {name}, taken from the end,"),
         (f"sorted(set({name}))", f"of {name}, taken once each and in ascending order,"))
    )  # fmt: skip
    item: Draw = word if text else small_int
    param = Param(name, "list[str]" if text else "list[int]", several(item, 0, 8),
                  "a list of strings" if text else "a list of integers")  # fmt: skip
    noun = {"words": "word", "strings": "string"}.get(name, random.choice(("element", "number")))
    return _made(random, "str" if text else "int", param, part, "part", noun if text else "x", noun, where)


def _substrings(random: Random) -> Domain:
    name = random.choice(("text", "s", "word", "string"))
    param = Param(name, "str", lambda r: r.choice(WORDS) + r.choice(("", r.choice(WORDS))), "a string")
    k = random.randint(2, 3)
    whole, plural, where = random.choice(
        ((f"[{name}[i:i + {k}] for i in range(len({name}) - {k - 1})]", "substrings", f"of length {k} of {name}"),
         (f"[{name}[:i] for i in range(1, len({name}) + 1)]", "prefixes", f"of {name} that are not empty"),
         (f"[{name}[i:] for i in range(len({name}))]", "suffixes", f"of {name} that are not empty"))
    )  # fmt: skip
    if plural != "substrings":
        where = f"of {name}, from the {'shortest' if plural == 'prefixes' else 'longest'} non-empty one on,"
    noun = {"substrings": "substring", "prefixes": "prefix", "suffixes": "suffix"}[plural]
    d = _made(random, "str", param, whole, plural, noun, noun, where)
    return replace(d, plural=plural)


def _divisors(random: Random) -> Domain:
    name = random.choice(("n", "number", "num", "value"))
    param = Param(name, "int", lambda r: r.randint(1, 120), "a positive integer")
    whole = f"[k for k in range(1, {name} + 1) if {name} % k == 0]"
    return _made(random, "int", param, whole, "divisors", "divisor", "divisor", f"of {name}")


def _multiples(random: Random) -> Domain:
    step = random.choice(("3", "4", "7", "step"))
    param = Param("stop", "int", lambda r: r.randint(0, 60), "a non-negative integer")
    d = _made(random, "int", param, f"range({step}, stop, {step})", "", "value", "multiple",
              f"of {step} from {step} up to, but not including, stop,")  # fmt: skip
    more = Param("step", "int", lambda r: r.randint(2, 7), "a positive integer")
    return replace(d, more=(more,) if step == "step" else ())


def _values(random: Random) -> Domain:
    name = random.choice(("table", "mapping", "d", "stock", "ages", "inventory"))
    pairs = several(lambda r: (r.choice(NAMES), r.randint(-5, 50)))
    param = Param(name, "dict[str, int]", lambda r: dict(pairs(r)), "a dictionary from strings to integers")
    if random.random() < 0.6:
        return _made(random, "int", param, f"{name}.values()", "", "value", "value", f"of the dictionary {name}")
    return _made(random, "str", param, f"{name}.keys()" if random.random() < 0.3 else name, "", "key", "key",
                 f"of the dictionary {name}")  # fmt: skip


def _shared(random: Random) -> Domain:
    a, b = random.choice((("a", "b"), ("first", "second"), ("left", "right"), ("old", "new")))
    text = random.random() < 0.5
    item: Draw = (lambda r: r.choice(WORDS[:14])) if text else (lambda r: r.randint(0, 12))
    kind = "str" if text else "int"
    described = "a list of strings" if text else "a list of integers"
    param = Param(a, f"list[{kind}]", several(item), described)
    more = Param(b, f"list[{kind}]", several(item), described)
    sign, name = random.choice((("in", "shared"), ("not in", "missing")))
    where = f"of {a} shared with {b}" if sign == "in" else f"of {a} missing from {b}"
    whole = f"[x for x in {a} if x {sign} {b}]"
    d = _made(random, kind, param, whole, name, "item", "element", where)
    return replace(d, more=(more,))


def _made(random: Random, kind: str, param: Param, whole: str, name: str, var: str, noun: str, where: str) -> Domain:
    """Name the items first, or loop over the expression that makes them."""
    item = {"int": "int", "str": "str", "row": "list[int]"}[kind]
    named = bool(name) and name != param.name and random.random() < 0.65
    if var == param.name:
        var = "item"
    return Domain(
        kind, param, name if named else whole, var, var, "", "", noun, noun + "s", where, item, direct=False,
        made=whole if named else "",
    )  # fmt: skip


MAKERS: tuple[tuple[Callable[[Random], Domain], float], ...] = (
    (_cells, 2), (_diagonal, 0.8), (_column, 1), (_columns, 0.8), (_zipped, 2), (_window, 1.2), (_some, 3),
    (_substrings, 1.5), (_divisors, 1), (_multiples, 0.7), (_values, 2), (_shared, 2),
)  # fmt: skip
