"""Dictionaries: two combined or compared, and one parsed of a string of fields."""

from __future__ import annotations

from random import Random

from .task import WORDS, Param, Task, lines, several, small_int


def parse(random: Random) -> Task:
    """A string of key and number fields, as a dictionary or reduced to a number."""
    name = random.choice(("text", "line", "config", "record", "query", "s"))
    outer, outer_name = random.choice(((";", "semicolons"), (",", "commas"), ("&", "ampersands"), ("|", "'|'")))
    inner = random.choice(("=", ":"))
    key, number = random.choice((("key", "value"), ("name", "score"), ("item", "amount"), ("label", "count")))
    fields = several(lambda r: f"{r.choice(WORDS[:25])}{inner}{r.randint(0, 30)}", 0, 5)
    param = Param(
        name,
        "str",
        lambda r: outer.join(fields(r)),
        f"a string of {key}{inner}{number} fields separated by {outer_name}",
    )
    kind = random.choice(("dict", "sum", "keys", "max", "pairs", "sums"))
    v = f"int({number})"
    test, limit = "", random.choice((None, 3, 5, 10, 12))
    that = ""
    if limit is not None:
        test, that = random.choice(
            (
                (f"{v} > {limit}", f" whose {number} is greater than {limit}"),
                (f"{v} % 2 == 0", f" whose {number} is even"),
                (f"len({key}) > 4", f" whose {key} has more than 4 characters"),
            )
        )
    start, add, end, returns, said = {
        "dict": (
            "result = {}",
            f"result[{key}] = {v}",
            "result",
            "dict[str, int]",
            f"return a dictionary from {key} to {number}, as an integer, of the fields{that}; a later {key} replaces an"
            " earlier one",
        ),
        "sum": (
            "result = 0",
            f"result += {v}",
            "result",
            "int",
            f"return the sum of the {number}s of the fields{that}",
        ),
        "keys": (
            "result = []",
            f"result.append({key})",
            "result",
            "list[str]",
            f"return a list of the {key}s of the fields{that}, in order",
        ),
        "max": (
            "result = 0",
            f"result = max(result, {v})",
            "result",
            "int",
            f"return the largest {number} of the fields{that}, or 0 if there are none",
        ),
        "pairs": (
            "result = []",
            f"result.append(({key}, {v}))",
            "result",
            "list[tuple[str, int]]",
            f"return a list of ({key}, {number}) tuples, with {number} as an integer, of the fields{that}",
        ),
        "sums": (
            "result = {}",
            f"result[{key}] = result.get({key}, 0) + {v}",
            "result",
            "dict[str, int]",
            f"return a dictionary from each {key} to the sum of its {number}s over the fields{that}",
        ),
    }[kind]
    body = [f"    if {test}:", f"        {add}"] if test else [f"    {add}"]
    head = [f"if not {name}:", f"    return {start.split(' = ')[1]}"]
    split = [f'for field in {name}.split("{outer}"):', f'    {key}, {number} = field.split("{inner}")']
    later = [
        f'for field in {name}.split("{outer}"):',
        "    if not field:",
        "        continue",
        f'    {key}, _, {number} = field.partition("{inner}")',
    ]
    return Task(
        (f"parse_{key}s" if kind in ("dict", "pairs") else f"{kind}_of_fields", f"parse_{kind}", f"read_{name}_{kind}"),
        (param,),
        returns,
        (
            f"parse the string {name}, which holds fields of the form {key}{inner}{number} separated by {outer_name},"
            f" and {said}",
        ),
        (lines(start, *head, *split, body, f"return {end}"), lines(start, *later, body, f"return {end}")),
        ("texts", "parse"),
        (f"An empty {name} has no fields.",),
    )


def tables(random: Random) -> Task:
    """Two dictionaries combined, one inverted or filtered."""
    a, b = random.choice((("a", "b"), ("first", "second"), ("left", "right"), ("old", "new")))
    pairs = several(lambda r: (r.choice(WORDS[:10]), small_int(r)), 0, 5)
    params = tuple(
        Param(n, "dict[str, int]", lambda r: dict(pairs(r)), "a dictionary from strings to integers") for n in (a, b)
    )
    expr, said, name = random.choice(
        (
            ("{x} + {y}", "the sum of both values", "add"),
            ("max({x}, {y})", "the larger of both values", "max"),
            ("{y}", f"the value in {b}", "update"),
            ("min({x}, {y})", "the smaller of both values", "min"),
            ("{x} - {y}", f"the value in {a} minus the value in {b}", "subtract"),
            ("[{x}, {y}]", "a list of both values", "pair"),
            ("{x} * {y}", "the product of both values", "multiply"),
        )
    )
    both = expr.replace("{x}", f"{a}[key]").replace("{y}", f"{b}[key]")
    which = random.choice(("all", "shared", "diff"))
    if which == "shared":
        limit, that = random.choice(
            (
                ("", ""),
                (f" and {a}[key] > {b}[key]", f" and whose value is greater in {a} than in {b}"),
                (f" and {a}[key] != {b}[key]", " with different values"),
            )
        )
        return Task(
            (f"{name}_shared", f"combine_shared_by_{name}", f"intersect_{name}"),
            params,
            "dict[str, list[int]]" if expr.startswith("[") else "dict[str, int]",
            (
                f"return a dictionary with every key that {a} and {b} share{that}; its value is {said}",
                f"build a dictionary that maps every key that {a} and {b} share{that} to {said}",
            ),
            (
                lines(
                    "result = {}",
                    f"for key in {a}:",
                    f"    if key in {b}{limit}:",
                    f"        result[key] = {both}",
                    "return result",
                ),
                f"return {{key: {both} for key in {a} if key in {b}{limit}}}",
            ),
            ("tables", "shared"),
        )
    if which == "all" and expr != "[{x}, {y}]":
        merged = lines(
            f"result = dict({a})",
            f"for key, value in {b}.items():",
            "    if key in result:",
            "        result[key] = " + expr.replace("{x}", "result[key]").replace("{y}", "value"),
            "    else:",
            "        result[key] = value",
            "return result",
        )
        return Task(
            (f"merge_{name}", f"merge_by_{name}", f"combine_{name}"),
            params,
            "dict[str, int]",
            (
                f"merge the dictionaries {a} and {b} into a new one and return it; if both have a key, its"
                f" value is {said}",
            ),
            (
                merged,
                lines(
                    "result = {}",
                    f"for key in [*{a}, *{b}]:",
                    f"    if key in {a} and key in {b}:",
                    f"        result[key] = {both}",
                    f"    elif key in {a}:",
                    f"        result[key] = {a}[key]",
                    "    else:",
                    f"        result[key] = {b}[key]",
                    "return result",
                ),
            ),
            ("tables", "merge"),
        )
    test, said = random.choice(
        (
            (f"key not in {b}", f"that {b} lacks"),
            (f"key in {b} and {a}[key] == {b}[key]", f"that have the same value in {b}"),
            (f"key in {b} and {a}[key] != {b}[key]", f"that have another value in {b}"),
            (
                f"{a}[key] > {b}.get(key, 0)",
                f"whose value is greater than their value in {b}, which counts as 0 if missing",
            ),
        )
    )
    return Task(
        ("compare_keys", "changed_keys", "keys_by_comparison"),
        params,
        "list[str]",
        (
            f"return a sorted list of the keys of {a} {said}",
            f"find the keys of {a} {said} and return them as a sorted list",
        ),
        (
            f"return sorted(key for key in {a} if {test})",
            lines(
                "keys = []", f"for key in {a}:", f"    if {test}:", "        keys.append(key)", "return sorted(keys)"
            ),
        ),
        ("tables", "compare"),
    )


QUERIES = ((parse, 1.2), (tables, 1.2))
