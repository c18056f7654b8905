"""Searching: by bisection in a sorted list, forward over the integers, and for the pair that fits best."""

from __future__ import annotations

import itertools
from random import Random

from .fragments import Pred, fill, lift
from .numeric import count_preds, number_attrs, number_preds
from .task import Draw, Param, Task, lines, several, small_int, word


def bisection(random: Random) -> Task:
    """A place in a sorted list, found by halving, beside the scan that does the same."""
    name = random.choice(("numbers", "nums", "values", "data", "arr", "sorted_list", "words", "names"))
    text = name in ("words", "names")
    falling = random.random() < 0.25 and not text
    target = random.choice(("target", "x", "key", "limit", "wanted"))
    item: Draw = (lambda r: word(r).lower()) if text else small_int
    draw = several(item, 0, 9)
    param = Param(
        name,
        "list[str]" if text else "list[int]",
        lambda r: sorted(draw(r), reverse=falling),
        f"a list of {'strings' if text else 'integers'} in {'descending' if falling else 'ascending'} order",
    )
    other = Param(target, "str" if text else "int", item,
                  "a string" if text else "an integer")  # fmt: skip
    noun = "string" if text else "number"
    less, greater = ("less", "greater")
    strict = random.random() < 0.5
    # The first index whose item is past the target.
    past = {(False, False): ">", (False, True): ">=", (True, False): "<", (True, True): "<="}[falling, strict]
    before = {">": "<=", ">=": "<", "<": ">=", "<=": ">"}[past]
    word_ = (less if falling else greater) if past in "<>" else ("at most" if falling else "at least")
    beyond = f"{word_} than {target}" if word_ in (less, greater) else f"{word_} {target}"
    opposite = {"less": f"at least {target}", "greater": f"at most {target}", "at most": f"greater than {target}",
                "at least": f"less than {target}"}[word_]  # fmt: skip
    kind = random.choice(("index", "count before", "count after", "first", "last before", "insert", "contains"))
    low, high = random.choice((("low", "high"), ("left", "right"), ("lo", "hi"), ("start", "end")))
    middle = random.choice(("middle", "mid"))
    halve = [f"{low}, {high} = 0, len({name})", f"while {low} < {high}:", f"    {middle} = ({low} + {high}) // 2",
             f"    if {name}[{middle}] {before} {target}:", f"        {low} = {middle} + 1", "    else:",
             f"        {high} = {middle}"]  # fmt: skip
    in_order = "descending" if falling else "ascending"
    given = f"the list {name}, which is in {in_order} order,"
    scan = f"sum(1 for item in {name} if item {before} {target})"
    end, quick, returns, said, names, note = {
        "index": (
            low,
            scan,
            "int",
            f"the index of the first {noun} {beyond} in {given}",
            ("first_index_beyond", "lower_position", "search_position"),
            f"Return len({name}) if there is none.",
        ),
        "count before": (
            low,
            scan,
            "int",
            f"how many {noun}s in {given} are {opposite}",
            ("count_before", "count_in_sorted", "how_many_before"),
            "",
        ),
        "count after": (
            f"len({name}) - {low}",
            f"sum(1 for item in {name} if item {past} {target})",
            "int",
            f"how many {noun}s in {given} are {beyond}",
            ("count_after", "count_beyond"),
            "",
        ),
        "first": (
            f"{name}[{low}] if {low} < len({name}) else None",
            f"next((item for item in {name} if item {past} {target}), None)",
            f"Optional[{'str' if text else 'int'}]",
            f"the first {noun} in {given} that is {beyond}",
            ("first_beyond", "next_in_sorted", "successor"),
            "Return None if there is none.",
        ),
        "last before": (
            f"{name}[{low} - 1] if {low} else None",
            f"next((item for item in reversed({name}) if item {before} {target}), None)",
            f"Optional[{'str' if text else 'int'}]",
            f"the last {noun} in {given} that is {opposite}",
            ("last_before", "previous_in_sorted", "predecessor"),
            "Return None if there is none.",
        ),
        "insert": (
            f"{name}[:{low}] + [{target}] + {name}[{low}:]",
            f"sorted({name} + [{target}]{', reverse=True' if falling else ''})",
            "list[str]" if text else "list[int]",
            f"a copy of {given} with {target} inserted so that the order is kept",
            ("insert_in_order", "insert_sorted", "add_in_order"),
            "",
        ),
        "contains": (
            f"{low} < len({name}) and {name}[{low}] == {target}",
            f"{target} in {name}",
            "bool",
            f"whether {target} is in {given}",
            ("binary_search", "contains_sorted", "is_in_sorted"),
            "",
        ),
    }[kind]
    if kind == "contains":
        halve[3] = f"    if {name}[{middle}] {'>' if falling else '<'} {target}:"
    hint = random.random() < 0.6
    says = f"return {said.rstrip(',')}"
    says = says.replace(", that is", " that is") if kind == "last before" else says
    return Task(
        names, (param, other), returns,
        (f"{says}, using binary search" if hint else says, f"use binary search to find {said.rstrip(',')}" if hint else
         f"find {said.rstrip(',')}" if kind not in ("insert", "contains") else says),
        (lines(*halve, f"return {end}"), *(() if hint else (f"return {quick}",))),
        ("search", "bisection", kind), (note,) if note else (),
    )  # fmt: skip


def forward(random: Random) -> Task:
    """The integers in their order until some fit: the next one, the first few, how many or how far."""
    pred = _frequent(random)
    name = random.choice(("n", "start", "number", "value"))
    kind = random.choice(("next", "next", "previous", "first", "nth", "nearest", "gap", "sum first"))
    i = random.choice(("candidate", "current", "i", "k"))
    if name == i or {name, "found"} & {p.name for p in pred.params}:
        return forward(random)
    test = fill(pred.expr, i)
    tags = ("search", "forward", kind)
    such = f"{pred.adjective} integer" if pred.adjective else "integer"
    that = "" if pred.adjective else f" that {pred.singular}"
    those = "" if pred.adjective else f" that {pred.plural}"
    if kind in ("first", "nth", "sum first"):
        name = random.choice(("n", "count", "amount"))
    count = Param(name, "int", lambda r: r.randint(1, 8), "a positive integer")
    whole = Param(name, "int", lambda r: r.randint(0, 90), "a non-negative integer")
    if kind in ("next", "gap"):
        near = random.random() < 0.4
        bound = "not less than" if near else "greater than"
        end = i if kind == "next" else f"{i} - {name}"
        what = (
            f"the smallest {such} {bound} {name}{that}"
            if pred.adjective
            else f"the smallest integer {bound} {name}{that}"
        )
        steps = f"how much must be added to {name} to reach {what}"
        negated_ = f"not ({test})"
        return Task(
            (f"next_{pred.name}", f"smallest_{pred.name}_after", f"find_next_{pred.name}") if kind == "next" else
            (f"distance_to_next_{pred.name}", f"steps_to_{pred.name}"), (whole,), "int",
            (f"return {what}", f"find {what}") if kind == "next" else (f"return {steps}", f"compute {steps}"),
            (lines(f"{i} = {name}{'' if near else ' + 1'}", f"while {negated_}:", f"    {i} += 1", f"return {end}"),
             lines(f"{i} = {name}{'' if near else ' + 1'}", "while True:", f"    if {test}:", f"        return {end}",
                   f"    {i} += 1")), tags,
        )  # fmt: skip
    if kind == "previous":
        return Task(
            (f"previous_{pred.name}", f"largest_{pred.name}_up_to", f"last_{pred.name}_before"), (whole,), "int",
            (f"return the largest positive {such} less than {name}{that}, or 0 if there is none",
             f"find the largest positive {such} less than {name}{that}; return 0 if there is none"),
            (lines(f"for {i} in range({name} - 1, 0, -1):", f"    if {test}:", f"        return {i}", "return 0"),
             f"return max(({i} for {i} in range(1, {name}) if {test}), default=0)",
             lines(f"{i} = {name} - 1", f"while {i} > 0:", f"    if {test}:", f"        return {i}", f"    {i} -= 1",
                   "return 0")), tags,
        )  # fmt: skip
    if kind == "nearest":
        return Task(
            (f"nearest_{pred.name}", f"closest_{pred.name}"), (whole,), "int",
            (f"return the {such} closest to {name}{that}; of two equally close ones return the smaller",
             f"find the {such} nearest to {name}{that}, the smaller one on a tie"),
            (lines("distance = 0", "while True:", f"    for {i} in ({name} - distance, {name} + distance):",
                   f"        if {test}:", f"            return {i}", "    distance += 1"),
             lines(f"found = [{i} for {i} in range({name} - 400, {name} + 401) if {test}]",
                   f"return min(found, key=lambda {i}: (abs({i} - {name}), {i}))")), tags,
        )  # fmt: skip
    if kind == "nth":
        return Task(
            (f"nth_{pred.name}", f"find_nth_{pred.name}", f"{pred.name}_number"), (count,), "int",
            (f"return the {name}-th smallest positive {such}{that}",
             f"list the positive {such}s{those} in ascending order and return the one at place {name}, counted from 1"),
            (lines("found = 0", f"{i} = 0", f"while found < {name}:", f"    {i} += 1", f"    if {test}:",
                   "        found += 1", f"return {i}"),
             lines("found = []", f"{i} = 1", f"while len(found) < {name}:", f"    if {test}:",
                   f"        found.append({i})", f"    {i} += 1", "return found[-1]"),
             lines(f"matches = ({i} for {i} in itertools.count(1) if {test})",
                   f"return next(itertools.islice(matches, {name} - 1, None))")), tags, imports=("import itertools",),
        )  # fmt: skip
    total = kind == "sum first"
    result = "the sum of" if total else "a list of"
    return Task(
        (f"sum_first_{pred.name}" if total else f"first_{pred.name}", f"{'add' if total else 'list'}_{pred.name}"),
        (count,), "int" if total else "list[int]",
        (f"return {result} the first {name} positive {such}s{those}",
         f"{'compute' if total else 'build'} {result} the smallest {name} positive {such}s{those}"),
        (lines("found = []", f"{i} = 1", f"while len(found) < {name}:", f"    if {test}:", f"        found.append({i})",
               f"    {i} += 1", f"return {'sum(found)' if total else 'found'}"),
         lines(f"matches = ({i} for {i} in itertools.count(1) if {test})",
               f"return {'sum' if total else 'list'}(itertools.islice(matches, {name}))")), tags,
        imports=("import itertools",),
    )  # fmt: skip


def best_pair(random: Random) -> Task:
    """The pair of neighbours, of two elements or of two lists' elements with the largest or smallest value."""
    name = random.choice(("numbers", "nums", "values", "data", "heights"))
    expr, said, slug = random.choice(
        (("abs({a} - {b})", "absolute difference", "difference"), ("{a} + {b}", "sum", "sum"),
         ("{a} * {b}", "product", "product"), ("({a} + {b}) % 10", "last digit of the sum", "sum_digit"),
         ("abs({a} + {b})", "absolute value of the sum", "absolute_sum"), ("max({a}, {b})", "maximum", "maximum"),
         ("min({a}, {b})", "minimum", "minimum"), ("{a} ** 2 + {b} ** 2", "sum of the squares", "square_sum"))
    )  # fmt: skip
    most, fun, sign = random.choice((("largest", "max", ">"), ("smallest", "min", "<")))
    where = random.choice(("neighbours", "any", "two lists"))
    pair = random.random() < 0.5
    given = random.choice((None, None, "even", "different", "apart"))
    extra, test = {"even": (" and an even sum", "({a} + {b}) % 2 == 0"), "different": (" and different elements",
                   "{a} != {b}"), "apart": (" and a difference of at least 3", "abs({a} - {b}) >= 3")}.get(
                   given or "", ("", ""))  # fmt: skip
    value = expr.replace("{a}", "a").replace("{b}", "b")
    check = test.replace("{a}", "a").replace("{b}", "b")
    param = Param(name, "list[int]", several(small_int, 0, 7), "a list of integers")
    params: tuple[Param, ...] = (param,)
    if where == "two lists":
        one, two = random.choice((("first", "second"), ("left", "right"), ("a_values", "b_values")))
        params = tuple(Param(n, "list[int]", several(small_int, 0, 5), "a list of integers") for n in (one, two))
        walk, depth = [f"for a in {one}:", f"    for b in {two}:"], 2
        pairs, which = f"[(a, b) for a in {one} for b in {two}]", f"pairs of an element of {one} and one of {two}"
    elif where == "any":
        walk, depth = [f"for i in range(len({name})):", f"    for j in range(i + 1, len({name})):",
                       f"        a, b = {name}[i], {name}[j]"], 2  # fmt: skip
        pairs, which = f"itertools.combinations({name}, 2)", f"pairs of elements of {name} at different positions"
    else:
        walk, depth = [f"for a, b in zip({name}, {name}[1:]):"], 1
        pairs, which = f"zip({name}, {name}[1:])", f"pairs of neighbouring elements of {name}"
    filtered = f"[(a, b) for a, b in {pairs} if {check}]" if check else f"list({pairs})"
    filtered = pairs if not check and pairs.startswith("[") else filtered
    pad = "    " * depth
    update = [f"{pad}if best is None or {value} {sign} {expr.replace('{a}', 'best[0]').replace('{b}', 'best[1]')}:",
              f"{pad}    best = (a, b)"]  # fmt: skip
    track = [f"{pad}if best is None or {value} {sign} best:", f"{pad}    best = {value}"]
    inner = update if pair else track
    if check:
        inner = [f"{pad}if {check}:", *("    " + line for line in inner)]
    what = f"that has the {most} {said}" if pair else ""
    scope = f"{which}{' that have' + extra[4:] if extra else ''}"
    return Task(
        (f"{most}_{slug}_pair", f"pair_with_{most}_{slug}", f"find_{most}_{slug}_pair")
        if pair
        else (f"{most}_pair_{slug}", f"{fun}_{slug}_of_pairs", f"{most}_{slug}"),
        params,
        "Optional[tuple[int, int]]" if pair else "Optional[int]",
        (
            f"return, of the {scope}, the one {what} as a tuple",
            f"find, among the {scope}, the one {what}; return it as a tuple",
        )
        if pair
        else (f"return the {most} {said} among the {scope}", f"find the {most} {said} among the {scope}"),
        (
            lines("best = None", *walk, *inner, "return best"),
            lines(
                f"pairs = {filtered}",
                "if not pairs:",
                "    return None",
                f"return {fun}(pairs, key=lambda pair: {expr.replace('{a}', 'pair[0]').replace('{b}', 'pair[1]')})"
                if pair
                else f"return {fun}({value} for a, b in pairs)",
            ),
        ),
        ("search", "pair", most),
        ("The first one wins a tie; return None if there is no pair.",)
        if pair
        else ("Return None if there is no such pair.",),
        ("import itertools",),
    )


def _frequent(random: Random) -> Pred:
    """A condition, or two joined, that enough integers meet and not nearly all do."""
    while True:
        preds = [p for p in number_preds(random) if not p.params and p.name not in ("positive", "negative")]
        pred = random.choice(preds)
        kind = random.random()
        attrs = [
            a for a in number_attrs(random) if any(w in a.noun for w in ("digit sum", "digit count", "largest digit"))
        ]
        if kind < 0.3 and attrs:
            pred = lift(random.choice(attrs), random.choice(count_preds(random)))
        other = random.choice(preds)
        if kind > 0.5 and other.name != pred.name:
            test = (
                f"({pred.expr}) and ({other.expr})"
                if " or " in pred.expr + other.expr
                else f"{pred.expr} and {other.expr}"
            )
            pred = Pred(test, f"{pred.plural} and {other.plural}", f"{pred.singular} and {other.singular}",
                        f"{pred.name}_{other.name}")  # fmt: skip
        hits = eval(f"[x for x in range(1, 400) if {fill(pred.expr, 'x')}]", {})
        if (
            20 <= len(hits) <= 320
            and max(b - a for a, b in itertools.pairwise(hits)) < 120
            and hits[0] < 60
            and hits[-1] > 280
        ):
            return pred


QUERIES = ((bisection, 1.2), (forward, 3), (best_pair, 1.2))
