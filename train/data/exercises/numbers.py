"""Exercises on one or two numbers: loops with a stopping rule, recurrences, recursion, digits, nested lists."""

from __future__ import annotations

from random import Random

from .fragments import fill
from .numeric import count_preds, number_preds
from .task import Param, Task, lines

TERMS = (
    ("{i}", "integers", "integers"),
    ("{i} ** 2", "squares of the integers", "squares"),
    ("{i} ** 3", "cubes of the integers", "cubes"),
    ("2 * {i}", "doubles of the integers", "doubles"),
    ("{i} * ({i} + 1)", "products of each integer and the next one, taken over the integers", "products"),
    ("sum(int(d) for d in str({i}))", "digit sums of the integers", "digit_sums"),
    ("len(str({i}))", "digit counts of the integers", "digit_counts"),
)


def steps(random: Random) -> Task:
    """A number that changes by a rule until it is small: how often, through which values."""
    n = random.choice(("n", "number", "value", "x"))
    m = random.randint(2, 5)
    grow, shrink = (
        random.choice(((f"{n} -= 1", "subtract 1 from it"), (f"{n} -= {m - 1}", f"subtract {m - 1} from it"))),
        (f"{n} //= {m}", f"divide it by {m}"),
    )
    if m == 2:
        grow = (f"{n} -= 1", "subtract 1 from it")
    stop = random.choice(("0", "1", "10", "m"))
    more = (Param("m", "int", lambda r: r.randint(1, 8), "a positive integer"),) if stop == "m" else ()
    rule = f"as long as {n} is greater than {stop}, {shrink[1]} if it is divisible by {m}, otherwise {grow[1]}"
    kind = random.choice(("count", "list", "sum", "final"))
    result = {
        "count": "return the number of steps this takes",
        "final": f"return the value {n} ends with",
        "list": f"return the list of values that {n} takes after each step",
        "sum": f"return the sum of the values that {n} takes after each step",
    }[kind]
    start = {"count": "steps = 0", "list": "path = []", "sum": "total = 0", "final": "pass"}[kind]
    each = {"count": "steps += 1", "list": f"path.append({n})", "sum": f"total += {n}", "final": "pass"}[kind]
    end = {"count": "steps", "list": "path", "sum": "total", "final": n}[kind]
    inner = [f"    if {n} % {m} == 0:", f"        {shrink[0]}", "    else:", f"        {grow[0]}"]
    one = f"    {n} = {n} // {m} if {n} % {m} == 0 else {n} {grow[0].split()[1][0]} {grow[0].split()[2]}"
    keep = kind != "final"
    param = Param(n, "int", lambda r: r.randint(0, 90), "a non-negative integer")
    return Task(
        (f"{'count_steps' if kind == 'count' else kind + '_of_steps'}_to_{stop}", f"reduce_to_{stop}", "shrink"),
        (param, *more),
        "list[int]" if kind == "list" else "int",
        (f"{result}: {rule}",),
        (
            lines(
                *([start] if keep else []),
                f"while {n} > {stop}:",
                inner,
                *([f"    {each}"] if keep else []),
                f"return {end}",
            ),
            lines(
                *([start] if keep else []),
                f"while {n} > {stop}:",
                one,
                *([f"    {each}"] if keep else []),
                f"return {end}",
            ),
        ),
        ("numbers", "steps"),
    )


def recurrence(random: Random) -> Task:
    """A sequence that is given by its first terms and a rule."""
    a, b = random.randint(0, 3), random.randint(1, 5)
    p, q, c = random.choice((1, 1, 2, 3)), random.choice((1, 2, -1)), random.choice((0, 0, 0, 1, 2))
    if (a, b, p, q, c) == (0, 1, 1, 1, 0):
        c = 1
    left = "the previous term" if p == 1 else f"{p} times the previous term"
    right = {1: "plus the term before that", 2: "plus twice the term before that", -1: "minus the term before that"}[q]
    rule = f"starts with {a} and {b} and whose every further term is {left} {right}" + (f" plus {c}" if c else "")
    before = f" {'-' if q < 0 else '+'} {'' if abs(q) == 1 else '2 * '}"
    expr = f"{'' if p == 1 else f'{p} * '}{{b}}{before}{{a}}" + (f" + {c}" if c else "")
    step = expr.replace("{a}", "a").replace("{b}", "b")
    n = random.choice(("n", "k", "index", "count"))
    param = Param(n, "int", lambda r: r.randint(0, 12), "a non-negative integer")
    kind = random.choice(("nth", "nth", "list", "sum", "below"))
    tags = ("numbers", "recurrence")
    if kind == "nth":
        name = random.choice(("nth_term", "term", "sequence_term", "get_term", "seq"))
        rec = expr.replace("{b}", f"{name}({n} - 1)").replace("{a}", f"{name}({n} - 2)")
        return Task(
            (name,),
            (param,),
            "int",
            (
                f"return the term with index {n}, counted from 0, of the sequence that {rule}",
                f"compute the term at index {n} (counted from 0) of the sequence that {rule}",
            ),
            (
                lines(f"a, b = {a}, {b}", f"for _ in range({n}):", f"    a, b = b, {step}", "return a"),
                lines(
                    f"terms = [{a}, {b}]",
                    f"while len(terms) <= {n}:",
                    "    terms.append(" + expr.replace("{b}", "terms[-1]").replace("{a}", "terms[-2]") + ")",
                    f"return terms[{n}]",
                ),
                lines(f"if {n} == 0:", f"    return {a}", f"if {n} == 1:", f"    return {b}", f"return {rec}"),
            ),
            tags,
        )
    walk = lines(
        "terms = []", f"a, b = {a}, {b}", f"for _ in range({n}):", "    terms.append(a)", f"    a, b = b, {step}"
    )
    if kind == "below" and q > 0 and p >= 1:
        return Task(
            ("terms_below", "sequence_below", "count_terms_below"),
            (Param("limit", "int", lambda r: r.randint(0, 200), "an integer"),),
            "list[int]",
            (
                f"return the terms at the start of the sequence that {rule}, up to but not including the first one that"
                " is limit or more",
            ),
            (
                lines(
                    "terms = []",
                    f"a, b = {a}, {b}",
                    "while a < limit:",
                    "    terms.append(a)",
                    f"    a, b = b, {step}",
                    "return terms",
                ),
            ),
            tags,
        )
    if kind == "sum":
        return Task(
            ("sum_of_terms", "sequence_sum", "sum_first_terms"),
            (param,),
            "int",
            (f"return the sum of the first {n} terms of the sequence that {rule}",),
            (
                lines(
                    "total = 0",
                    f"a, b = {a}, {b}",
                    f"for _ in range({n}):",
                    "    total += a",
                    f"    a, b = b, {step}",
                    "return total",
                ),
                lines(walk, "return sum(terms)"),
            ),
            tags,
        )
    return Task(
        ("first_terms", "sequence", "generate_sequence", "build_sequence"),
        (param,),
        "list[int]",
        (f"return a list of the first {n} terms of the sequence that {rule}",),
        (
            lines(walk, "return terms"),
            lines(
                f"terms = [{a}, {b}][:{n}]",
                f"while len(terms) < {n}:",
                "    terms.append(" + expr.replace("{b}", "terms[-1]").replace("{a}", "terms[-2]") + ")",
                "return terms",
            ),
        ),
        tags,
    )


def recursive_range(random: Random) -> Task:
    """A recursion over the integers from 1 to n."""
    n = random.choice(("n", "number", "k"))
    term, said, name = random.choice(TERMS)
    pred = random.choice((None, None, *count_preds(random)[:3], *number_preds(random)[11:14]))
    f = random.choice((f"sum_{name}", f"recursive_sum_{name}", f"add_{name}", f"total_{name}"))
    sign, empty, verb = ("+", "0", "sum") if random.random() < 0.75 or pred is None else ("*", "1", "product")
    value = term.replace("{i}", n)
    value = f"({value})" if "+" in value and sign == "*" else value
    call = f"{f}({n} - 1)"
    param = Param(n, "int", lambda r: r.randint(0, 15 if verb == "sum" else 12), "a non-negative integer")
    base = (
        [f"if {n} == 0:", f"    return {empty}"] if random.random() < 0.6 else [f"if {n} < 1:", f"    return {empty}"]
    )
    which = f"{said} from 1 to {n}" + (f" that {pred.plural}" if pred else "")
    if pred:
        body = lines(base, f"if {fill(pred.expr, n)}:", f"    return {value} {sign} {call}", f"return {call}")
    else:
        body = lines(base, f"return {value} {sign} {call}")
    i = "i"
    each = f"{term.replace('{i}', i)} for i in range(1, {n} + 1)" + (f" if {fill(pred.expr, i)}" if pred else "")
    fast = f"return sum({each})" if sign == "+" else f"return math.prod({each})"
    suffix = ", using recursion" if random.random() < 0.5 else ""
    return Task(
        (f,),
        (param,),
        "int",
        (f"return the {verb} of the {which}{suffix}", f"compute the {verb} of the {which}{suffix}"),
        (body,) if suffix else (body, fast),
        ("numbers", "recursion"),
        (f"The result is {empty} if there are none.",) if random.random() < 0.4 else (),
        ("import math",),
    )


def nested(random: Random) -> Task:
    """A recursion over a nested list of integers."""
    name = random.choice(("nested", "items", "tree", "data"))
    pred = random.choice((None, *number_preds(random)[:16], *number_preds(random)[:16]))
    c = fill(pred.expr, "item") if pred else ""
    kind = random.choice(("sum", "count", "flatten", "depth", "max", "map", "any"))
    that = f" that {pred.plural}" if pred else ""

    def draw(r: Random, deep: int = 0) -> list[object]:
        return [
            draw(r, deep + 1) if deep < 2 and r.random() < 0.3 else r.randint(-5, 30)
            for _ in range(r.randint(0 if deep else 1, 4))
        ]

    param = Param(name, "list", draw, "a list of integers and of lists of the same form, nested to any depth")
    f = {
        "sum": "nested_sum",
        "count": "count_nested",
        "flatten": "flatten",
        "depth": "depth",
        "max": "nested_max",
        "map": "map_nested",
        "any": "any_nested",
    }[kind] + (f"_{pred.name}" if pred and kind != "depth" else "")
    where = f"the list {name} and in the lists nested in it"
    deep = ["if isinstance(item, list):"]
    if kind == "depth":
        body = lines(
            "deepest = 0",
            f"for item in {name}:",
            "    if isinstance(item, list):",
            f"        deepest = max(deepest, {f}(item))",
            "return deepest + 1",
        )
        says: tuple[str, ...] = (
            f"return the depth of the nested list {name}: 1 for a list without lists in it, one"
            " more for each level of nesting",
        )
        returns = "int"
    elif kind == "map":
        m, noun = random.choice(
            (
                ("item * 2", "double"),
                ("item ** 2", "square"),
                ("-item", "negation"),
                ("item + 1", "successor"),
                ("abs(item)", "absolute value"),
            )
        )
        f = f"{noun.split()[0]}_nested" + (f"_{pred.name}" if pred else "")
        test = (
            [f"elif {c}:", f"    result.append({m})", "else:", "    result.append(item)"]
            if pred
            else ["else:", f"    result.append({m})"]
        )
        body = lines(
            "result = []",
            f"for item in {name}:",
            *("    " + line for line in [*deep, f"    result.append({f}(item))", *test]),
            "return result",
        )
        says = (
            f"return a copy of the nested list {name} in which every integer"
            + (f" that {pred.singular}" if pred else "")
            + f" is replaced by its {noun}",
        )
        returns = "list"
    elif kind == "any":
        if pred is None:
            return nested(random)
        body = lines(
            f"for item in {name}:",
            "    if isinstance(item, list):",
            f"        if {f}(item):",
            "            return True",
            f"    elif {c}:",
            "        return True",
            "return False",
        )
        says = (f"return True if any integer in {where} {pred.singular}, otherwise False",)
        returns = "bool"
    else:
        start, rec, step, returns, said = {
            "sum": ("total = 0", f"total += {f}(item)", "total += item", "int", "sum"),
            "count": ("total = 0", f"total += {f}(item)", "total += 1", "int", "number"),
            "flatten": ("total = []", f"total.extend({f}(item))", "total.append(item)", "list[int]", "flat list"),
            "max": ("total = 0", f"total = max(total, {f}(item))", "total = max(total, item)", "int", "largest"),
        }[kind]
        test = [f"elif {c}:"] if pred else ["else:"]
        body = lines(
            start,
            f"for item in {name}:",
            *("    " + line for line in [*deep, f"    {rec}", *test, f"    {step}"]),
            "return total",
        )
        what = f"integers{that} in {where}"
        says = (
            (f"return the largest of 0 and the {what}",)
            if kind == "max"
            else (f"return the {said} of the {what}", f"use recursion to find the {said} of the {what}")
        )
    body = body.replace("total", random.choice(("total", "result", "answer")))
    return Task((f,), (param,), returns, says, (body,), ("numbers", "nested"))


QUERIES = ((steps, 1.5), (recurrence, 1.5), (recursive_range, 1.5), (nested, 2.5))
