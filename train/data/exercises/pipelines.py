"""Two to four steps on a list, one after the other: keep, change, order, cut, and perhaps one value of what is left."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from .fragments import Attr, Pred, fill, wrapped
from .numeric import number_attrs, number_preds
from .task import Param, Task, lines, sentence, several, small_int, word
from .textual import text_attrs, text_preds


@dataclass(frozen=True)
class _Step:
    """One step: what it does in English, as an expression of `@`, and as statements that leave `result` changed."""

    said: str
    expr: str
    name: str
    slow: tuple[str, ...] = ()
    params: tuple[Param, ...] = ()
    out: str = ""  # the kind of the items after it, where it changes


@dataclass(frozen=True)
class _End:
    """What is returned of the list that is left."""

    said: str
    expr: str
    returns: str
    name: str
    slow: tuple[str, ...] = ()


def pipeline(random: Random) -> Task:
    """Draw the steps one by one, each fitting what the one before it leaves."""
    param, kind, first = _source(random)
    taken = {param.name, "result", "item", "a", "b"}
    steps: list[_Step] = [first] if first else []
    for _ in range(random.choice((2, 2, 3, 3) if first is None else (1, 2, 2))):
        step = random.choice(_steps(random, kind))
        used = {p.name for p in step.params}
        if used & taken or any(step.name == other.name for other in steps):
            return pipeline(random)
        taken |= used
        steps.append(step)
        kind = step.out or kind
    ends = _ends(kind)
    end = random.choice(ends) if random.random() < 0.65 else None
    params = (param, *(p for step in steps for p in step.params))
    if not _all_matter(steps, params, random):
        return pipeline(random)
    whole = param.name
    for step in steps:
        whole = _put(step.expr, whole)
    name = param.name
    short = [f"{'result' if at else name} = {_put(s.expr, 'result' if at else name)}" for at, s in enumerate(steps)]
    short[0] = short[0].replace(f"{name} = ", "result = ", 1)
    final = _put(end.expr, "result") if end else "result"
    slow: list[str] = []
    for at, step in enumerate(steps):
        source = "result" if at else name
        slow += [line.replace("@", source) for line in step.slow] or [f"result = {_put(step.expr, source)}"]
    tail = [line.replace("@", "result") for line in end.slow] if end and end.slow else [f"return {final}"]
    shortest = f"return {_put(end.expr, whole) if end else whole}"
    listed = ", then ".join(step.said for step in steps)
    result = end.said if end else "the resulting list"
    says = (
        f"apply these steps to {_called(param)}: {listed}; return {result}",
        f"return {result} after these steps on {_called(param)}: {listed}",
        f"transform {_called(param)} step by step ({listed}) and return {result}",
    )
    names = "_".join(step.name for step in steps)
    return Task(
        (f"{names}_{end.name}" if end else names, f"{steps[0].name}_then_{end.name if end else steps[-1].name}",
         f"{end.name}_after_{steps[-1].name}" if end else f"{steps[-1].name}_of_{steps[0].name}"),
        params,
        end.returns if end else f"list[{kind}]",
        says,
        (lines(*short, f"return {final}"), lines(*slow, *tail), shortest),
        ("pipelines", kind, end.name if end else "list"),
        (_EMPTY[end.name],) if end and end.name in _EMPTY else (),
    )  # fmt: skip


_EMPTY = {
    "largest": "The largest of no numbers counts as 0.",
    "smallest": "The smallest of no numbers counts as 0.",
    "first": "If nothing is left, return None.",
    "last": "If nothing is left, return None.",
    "longest": "If nothing is left, return an empty string.",
}


def _source(random: Random) -> tuple[Param, str, _Step | None]:
    kind = random.choice(("int", "int", "int", "str", "str", "words", "digits"))
    if kind == "int":
        name = random.choice(("numbers", "nums", "values", "data", "readings", "scores", "xs", "amounts"))
        return Param(name, "list[int]", several(small_int, 0, 9), "a list of integers"), "int", None
    if kind == "str":
        name = random.choice(("words", "strings", "names", "tokens", "labels", "tags"))
        return Param(name, "list[str]", several(word, 0, 8), "a list of strings"), "str", None
    if kind == "words":
        name = random.choice(("text", "sentence", "line", "phrase"))
        step = _Step("split it into words at whitespace", "@.split()", "words", out="str")
        return Param(name, "str", sentence, "a string"), "str", step
    name = random.choice(("n", "number", "num", "code"))
    step = _Step("take the list of its decimal digits", "[int(d) for d in str(@)]", "digits",
                 ("result = []", "for d in str(@):", "    result.append(int(d))"), out="int")  # fmt: skip
    return Param(name, "int", lambda r: r.randint(0, 10 ** r.randint(2, 9)), "a non-negative integer"), "int", step


def _called(param: Param) -> str:
    kind = {"list[int]": "the list", "list[str]": "the list", "str": "the string", "int": "the number"}
    return f"{kind[param.annotation]} {param.name}"


def _steps(random: Random, kind: str) -> list[_Step]:
    preds = number_preds(random) if kind == "int" else text_preds(random)
    attrs = number_attrs(random) if kind == "int" else text_attrs(random)
    noun = "number" if kind == "int" else "string"
    made = [_keep(random.choice(preds), noun), _keep(random.choice(preds), noun), _drop(random.choice(preds), noun)]
    made += [_change(random.choice(attrs), noun) for _ in range(3)]
    k = random.randint(2, 4)
    made += [
        _Step("sort it in ascending order", "sorted(@)", "sort", ("result = list(@)", "result.sort()")),
        _Step("sort it in descending order", "sorted(@, reverse=True)", "sort_down"),
        _Step("reverse it", "@[::-1]", "reverse", ("result = list(reversed(@))",)),
        _Step("remove repeated elements, keeping the first of each", "list(dict.fromkeys(@))", "unique",
              ("kept = []", "for item in @:", "    if item not in kept:", "        kept.append(item)",
               "result = kept")),
        _Step(f"keep only the first {k} elements", f"@[:{k}]", f"first_{k}"),
        _Step(f"keep only the last {k} elements", f"@[-{k}:]", f"last_{k}"),
        _Step("drop the first element", "@[1:]", "drop_first"),
        _Step("drop the last element", "@[:-1]", "drop_last"),
        _Step("keep every second element, beginning with the first", "@[::2]", "every_second",
              ("result = [item for i, item in enumerate(@) if i % 2 == 0]",)),
        _Step("keep the elements at odd indices", "@[1::2]", "odd_indices",
              ("result = [item for i, item in enumerate(@) if i % 2 == 1]",)),
        _Step("keep only the first k elements", "@[:k]", "first_k",
              params=(Param("k", "int", lambda r: r.randint(1, 4), "a positive integer"),)),
        _Step("move the first element to the end", "@[1:] + @[:1]", "rotate"),
        _Step("keep the elements that occur exactly once", "[item for item in @ if @.count(item) == 1]", "once"),
        _Step("append a reversed copy of it", "@ + @[::-1]", "mirror"),
    ]  # fmt: skip
    if kind == "int":
        n = random.randint(2, 9)
        made += [
            _Step(f"add {n} to every number", f"[item + {n} for item in @]", f"add_{n}"),
            _Step(f"multiply every number by {n}", f"[item * {n} for item in @]", f"times_{n}"),
            _Step("replace negative numbers by 0", "[max(item, 0) for item in @]", "clip"),
            _Step(f"cap every number at {n * 4}", f"[min(item, {n * 4}) for item in @]", "cap"),
            _Step("take the differences between each number and the one before it",
                  "[b - a for a, b in zip(@, @[1:])]", "differences",
                  ("result = [@[i] - @[i - 1] for i in range(1, len(@))]",)),
            _Step("take the sums of neighbouring numbers", "[a + b for a, b in zip(@, @[1:])]", "neighbour_sums",
                  ("result = [@[i] + @[i + 1] for i in range(len(@) - 1)]",)),
            _Step("replace each number by the running total up to it", "[sum(@[:i + 1]) for i in range(len(@))]",
                  "running_totals",
                  ("sums = []", "total = 0", "for item in @:", "    total += item", "    sums.append(total)",
                   "result = sums")),
            _Step("multiply each number by its index", "[i * item for i, item in enumerate(@)]", "times_index"),
            _Step("remove every number equal to the largest", "[item for item in @ if item != max(@)]", "drop_max"),
            _Step("subtract the smallest number from every number", "[item - min(@) for item in @]", "shift",
                  ("low = min(@, default=0)", "result = [item - low for item in @]")),
            _Step("remove the numbers that are less than their left neighbour",
                  "[item for i, item in enumerate(@) if i == 0 or item >= @[i - 1]]", "keep_rising"),
        ]  # fmt: skip
    else:
        made += [
            _Step("sort it by length, keeping the order of strings of the same length", "sorted(@, key=len)",
                  "by_length", ("result = list(@)", "result.sort(key=len)")),
            _Step("remove the empty strings", "[item for item in @ if item]", "drop_empty"),
            _Step("put the index and a colon before each string",
                  '[f"{i}:{item}" for i, item in enumerate(@)]', "number",
                  ("numbered = []", "for i in range(len(@)):", '    numbered.append(str(i) + ":" + @[i])',
                   "result = numbered")),
            _Step("cut every string after three characters", "[item[:3] for item in @]", "cut"),
            _Step("capitalize every string", "[item.capitalize() for item in @]", "capitalize"),
            _Step("join each string with the one after it", "[a + b for a, b in zip(@, @[1:])]", "join_pairs",
                  ("result = [@[i] + @[i + 1] for i in range(len(@) - 1)]",)),
        ]  # fmt: skip
    return made


def _keep(pred: Pred, noun: str) -> _Step:
    test = fill(pred.expr, "item")
    said = f"keep the {pred.adjective} {noun}s" if pred.adjective else f"keep the {noun}s that {pred.plural}"
    slow = ("kept = []", "for item in @:", f"    if {test}:", "        kept.append(item)", "result = kept")
    return _Step(said, f"[item for item in @ if {test}]", f"keep_{pred.name}", slow, pred.params)


def _drop(pred: Pred, noun: str) -> _Step:
    test = fill(pred.expr, "item")
    said = f"remove the {pred.adjective} {noun}s" if pred.adjective else f"remove the {noun}s that {pred.plural}"
    slow = ("kept = []", "for item in @:", f"    if not ({test}):", "        kept.append(item)", "result = kept")
    return _Step(said, f"[item for item in @ if not ({test})]", f"drop_{pred.name}", slow, pred.params)


def _change(attr: Attr, noun: str) -> _Step:
    value = fill(attr.expr, "item")
    its = f"a {attr.noun}" if attr.noun.startswith(("copy", "spelling", "form")) else f"its {attr.noun}"
    slow = ("changed = []", "for item in @:", f"    changed.append({value})", "result = changed")
    return _Step(f"replace every {noun} by {its}", f"[{value} for item in @]", f"to_{attr.slug}", slow,
                 out="int" if attr.out == "int" else "str")  # fmt: skip


def _ends(kind: str) -> list[_End]:
    count = ("count = 0", "for _ in @:", "    count += 1", "return count")
    both = [
        _End("how many elements are left", "len(@)", "int", "count", count),
        _End("the number of distinct elements that are left", "len(set(@))", "int", "distinct"),
        _End("the first element that is left", "next(iter(@), None)", f"Optional[{kind}]", "first",
             ("return @[0] if @ else None",)),
        _End("the last element that is left", "next(reversed(@), None)", f"Optional[{kind}]", "last",
             ("return @[-1] if @ else None",)),
    ]  # fmt: skip
    if kind == "int":
        total = ("total = 0", "for item in @:", "    total += item", "return total")
        return [
            *both,
            _End("the sum of the result", "sum(@)", "int", "sum", total),
            _End("the sum of what is left", "sum(@)", "int", "sum", total),
            _End("the largest number that is left", "max(@, default=0)", "int", "largest",
                 ("return max(@) if @ else 0",)),
            _End("the smallest number that is left", "min(@, default=0)", "int", "smallest",
                 ("return min(@) if @ else 0",)),
            _End("the remaining numbers as a string, separated by commas", '",".join(map(str, @))', "str", "joined",
                 ('return ",".join(str(item) for item in @)',)),
        ]  # fmt: skip
    return [
        *both,
        _End("the strings joined with hyphens", '"-".join(@)', "str", "joined"),
        _End("the strings joined with single spaces", '" ".join(@)', "str", "joined"),
        _End("the total length of the strings", "sum(map(len, @))", "int", "total_length",
             ("total = 0", "for item in @:", "    total += len(item)", "return total")),
        _End("the longest string that is left, the first one on a tie", 'max(@, key=len, default="")', "str", "longest",
             ('best = ""', "for item in @:", "    if len(item) > len(best):", "        best = item", "return best")),
    ]  # fmt: skip


def _put(expr: str, value: str) -> str:
    return expr.replace("@", value if expr.count("@") == 1 and " in @" in expr else wrapped(value))


def _all_matter(steps: list[_Step], params: tuple[Param, ...], random: Random) -> bool:
    """Tell whether each step changes a good part of the lists that reach it."""
    codes = [compile(step.expr.replace("@", "at_hand"), "<step>", "eval") for step in steps]
    changed = [0] * len(steps)
    for _ in range(12):
        scope: dict[str, Any] = {p.name: p.draw(random) for p in params}
        value = scope[params[0].name]
        for at, code in enumerate(codes):
            after = eval(code, {**scope, "at_hand": value})
            changed[at] += after != value
            value = after
    return min(changed) >= 4


QUERIES = ((pipeline, 9),)
