"""Queries about order and neighbours: prefixes, running values, steps, runs, replacements, pairs, stopping early."""

from __future__ import annotations

from random import Random

from .fragments import negated, wrapped
from .scene import Scene, draw_attr, draw_pred, draw_scene, phrases
from .task import Param, Task, lines


def prefix(random: Random) -> Task:
    """Items before or from the first one that does not fit; the sum up to there."""
    s = draw_scene(random, pred=1.0, attr=0.0, ordered=True)
    assert s.pred
    d, c = s.domain, s.when(s.pred)
    kind = random.choice(("take", "drop", "before", "sum", "count"))
    head = f"for {d.var} in {d.iterable}:"
    if kind == "take":
        return s.task(
            (f"take_while_{s.pred.name}", f"leading_{s.pred.name}", f"initial_{s.tail}"), f"list[{d.item}]",
            (f"return a list of the {d.plural} {d.where} up to, but not including, the first one that does not fit"
             f" this condition: the {d.singular} {s.pred.singular}",
             f"return the longest run of {d.plural} at the start of {_source(s)} in which every {d.singular}"
             f" {s.pred.singular}, as a list"),
            (lines("result = []", head, f"    if {negated(c)}:", "        break", f"    result.append({d.x})",
                   "return result"),
             f"return list(itertools.takewhile(lambda {d.x}: {c}, {d.iterable}))" if "," not in d.var else
             lines("result = []", head, f"    if {c}:", f"        result.append({d.x})", "    else:",
                   "        break", "return result")),
            "take while", imports=("import itertools",),
        )  # fmt: skip
    if kind == "drop":
        return s.task(
            (f"drop_while_{s.pred.name}", f"skip_leading_{s.pred.name}"), f"list[{d.item}]",
            (f"drop {d.plural} from the start of {_source(s)} as long as each {s.pred.singular}, and return the rest"
             " as a list",),
            (lines("result = []", "dropping = True", head, f"    if dropping and ({c}):", "        continue",
                   "    dropping = False", f"    result.append({d.x})", "return result"),
             f"return list(itertools.dropwhile(lambda {d.x}: {c}, {d.iterable}))" if "," not in d.var else
             lines("result = []", head, f"    if result or not ({c}):", f"        result.append({d.x})",
                   "return result")),
            "drop while", imports=("import itertools",),
        )  # fmt: skip
    if kind == "before":
        return s.task(
            (f"before_first_{s.pred.name}", f"until_{s.pred.name}"), f"list[{d.item}]",
            (f"return a list of the {d.plural} that come before {s.one('the first')}",
             f"collect the {d.plural} {d.where} until one {s.pred.singular}, which is left out, and return the list"),
            (lines("result = []", head, f"    if {c}:", "        break", f"    result.append({d.x})",
                   "return result"),
             lines(f"chosen = list({d.iterable})", f"for at, {_group(d.var)} in enumerate(chosen):", f"    if {c}:",
                   "        return chosen[:at]", "return chosen")),
            "before", (f"If no {d.singular} fits, return all of them.",),
        )  # fmt: skip
    if kind == "count":
        return s.task(
            (f"count_before_first_{s.pred.name}", f"count_until_{s.pred.name}"), "int",
            phrases(random, f"the number of {d.plural} before {s.one('the first')}"),
            (lines("count = 0", head, f"    if {c}:", "        break", "    count += 1", "return count"),
             lines("count = 0", head, f"    if {c}:", "        return count", "    count += 1", "return count")),
            "count until", (f"If no {d.singular} fits, count all of them.",),
        )  # fmt: skip
    attr = None if d.kind == "int" else draw_attr(random, d, "int")
    if d.kind != "int" and attr is None:
        return prefix(random)
    v = s.of(attr)
    what = f"{attr.plural} of the {d.plural}" if attr else d.plural
    return s.task(
        (f"sum_until_{s.pred.name}", f"sum_before_first_{s.pred.name}"), "int",
        (f"return the sum of the {what} that come before {s.one('the first')}",
         f"add up the {what} {d.where}, stop at the first {d.singular} that {s.pred.singular} without adding it,"
         " and return the sum"),
        (lines("total = 0", head, f"    if {c}:", "        break", f"    total += {v}", "return total"),
         lines("total = 0", head, f"    if {c}:", "        return total", f"    total += {v}", "return total")),
        "sum until", (f"If no {d.singular} fits, add up all of them.",),
    )  # fmt: skip


def running(random: Random) -> Task:
    """Running sums, maxima and products, and differences of neighbours."""
    s = draw_scene(random, out="int", pred=0.35, attr=0.3, ordered=True)
    kind = random.choice(("sum", "max", "min", "difference", "pair sum", "count"))
    v, values = s.value, s.values
    if kind == "count" and s.pred:
        d, p = s.domain, s.pred
        return s.task(
            (f"running_count_{p.name}", f"cumulative_{p.name}"), "list[int]",
            (f"return a list that says, for each {d.singular} {d.where}, how many {d.plural} up to and including it"
             f" {p.plural}",),
            (lines("counts = []", "count = 0", f"for {d.var} in {d.iterable}:", f"    if {s.when(p)}:",
                   "        count += 1", "    counts.append(count)", "return counts"),
             f"return list(itertools.accumulate(int({s.when(p)}) for {d.var} in {d.iterable}))"
             if " and " not in p.expr and " or " not in p.expr else
             f"return list(itertools.accumulate(1 if {s.when(p)} else 0 for {d.var} in {d.iterable}))"),
            "running count", imports=("import itertools",),
        )  # fmt: skip
    if kind in ("difference", "pair sum", "count"):
        sign, said = ("-", "differences") if kind == "difference" else ("+", "sums")
        how = "each one minus the one before it" if sign == "-" else "each one plus the one before it"
        return s.task(
            (f"{said}_of_neighbours", f"consecutive_{said}", f"{said}_of_{s.tail}"), "list[int]",
            (f"return a list of the {said} of consecutive elements among {values}: {how}",),
            (lines(f"chosen = {s.listed()}",
                   f"return [chosen[i] {sign} chosen[i - 1] for i in range(1, len(chosen))]"),
             lines(f"chosen = {s.listed()}", f"return [b {sign} a for a, b in zip(chosen, chosen[1:])]"),
             lines("result = []", "previous = None",
                   s.loop(f"current = {v}", "if previous is not None:",
                          f"    result.append(current {sign} previous)", "previous = current"), "return result")),
            "differences",
        )  # fmt: skip
    if kind == "sum":
        return s.task(
            (f"running_sum_of_{s.tail}", f"cumulative_{s.tail}", "running_total"), "list[int]",
            (f"return a list of the running sums of {values}", f"return the cumulative sums of {values} as a list"),
            (lines("sums = []", "total = 0", s.loop(f"total += {v}", "sums.append(total)"), "return sums"),
             f"return list(itertools.accumulate({s.each()}))"),
            "running sum", imports=("import itertools",),
        )  # fmt: skip
    word, sign = ("largest", ">") if kind == "max" else ("smallest", "<")
    return s.task(
        (f"running_{kind}_of_{s.tail}", f"running_{kind}", f"{word}_so_far"), "list[int]",
        (f"return a list that holds, for each of {values}, the {word} one seen so far",
         f"return the running {'maximum' if kind == 'max' else 'minimum'} of {values} as a list"),
        (lines("result = []", "best = None",
               s.loop(f"current = {v}", f"if best is None or current {sign} best:", "    best = current",
                      "result.append(best)"), "return result"),
         f"return list(itertools.accumulate(({s.each()}), {kind}))"),
        "running extreme", imports=("import itertools",),
    )  # fmt: skip


def neighbours(random: Random) -> Task:
    """Whether values rise or fall, and how often they do."""
    s = draw_scene(random, pred=0.3, attr=0.5, ordered=True, kinds=("int", "str", "entry", "row"))
    if s.domain.kind in ("row", "entry") and (s.attr is None or s.attr.out not in ("int", "str")):
        return neighbours(random)
    sign, said, name = random.choice(
        ((">", "greater than", "increasing"), ("<", "less than", "decreasing"), ("==", "equal to", "constant"),
         (">=", "at least", "non_decreasing"), ("<=", "at most", "non_increasing"),
         ("!=", "different from", "changing"))
    )  # fmt: skip
    chosen = f"chosen = {s.listed()}"
    count = random.random() < 0.5
    if count:
        return s.task(
            (f"count_{name}_steps", f"count_{name}_{s.tail}"), "int",
            (f"count how many of {s.values} are {said} the one directly before",
             f"return how often one of {s.values} is {said} the one just before it"),
            (lines(chosen, f"return sum(1 for a, b in zip(chosen, chosen[1:]) if b {sign} a)"),
             lines(chosen, "count = 0", "for i in range(1, len(chosen)):", f"    if chosen[i] {sign} chosen[i - 1]:",
                   "        count += 1", "return count")),
            "steps",
        )  # fmt: skip
    return s.task(
        (f"is_{name}", f"is_{name}_{s.tail}", f"{name}_{s.tail}"), "bool",
        (f"return True if each of {s.values}, apart from the first, is {said} the one before it, otherwise False",
         f"check whether each of {s.values} after the first is {said} the one before it"),
        (lines(chosen, f"return all(b {sign} a for a, b in zip(chosen, chosen[1:]))"),
         lines(chosen, "for i in range(len(chosen) - 1):", f"    if not chosen[i + 1] {sign} chosen[i]:",
               "        return False", "return True"),
         lines("previous = None", s.loop(f"current = {s.value}",
               f"if previous is not None and not current {sign} previous:", "    return False",
               "previous = current"), "return True")),
        "monotone", ("With fewer than two of them the answer is True.",),
    )  # fmt: skip


def runs(random: Random) -> Task:
    """The longest run of neighbours that fit, and the number of runs."""
    s = draw_scene(random, pred=1.0, attr=0.0, ordered=True)
    assert s.pred
    d, p, c = s.domain, s.pred, s.when(s.pred)
    kind = random.choice(("length", "length", "number", "items"))
    head = f"for {d.var} in {d.iterable}:"
    if kind == "length":
        return s.task(
            (f"longest_run_{p.name}", f"longest_streak_{p.name}", f"max_consecutive_{p.name}"), "int",
            phrases(random, f"the length of the longest run of consecutive {d.plural} {d.where} that {p.plural}"),
            (lines("best = 0", "current = 0", head, f"    if {c}:", "        current += 1",
                   "        best = max(best, current)", "    else:", "        current = 0", "return best"),
             lines("best = 0", "current = 0", head, f"    current = current + 1 if {c} else 0",
                   "    if current > best:", "        best = current", "return best")),
            "longest run", ("Return 0 if there are none.",) if random.random() < 0.5 else (),
        )  # fmt: skip
    if kind == "number":
        return s.task(
            (f"count_runs_{p.name}", f"number_of_runs_{p.name}"), "int",
            (f"count the runs of consecutive {d.plural} {d.where} that {p.plural}",
             f"return the number of unbroken runs of {d.plural} {d.where} that {p.plural}"),
            (lines("runs = 0", "inside = False", head, f"    if {c}:", "        if not inside:",
                   "            runs += 1", "        inside = True", "    else:", "        inside = False",
                   "return runs"),
             lines(f"flags = [True if {c} else False for {d.var} in {d.iterable}]",
                   "return sum(1 for i, flag in enumerate(flags) if flag and (i == 0 or not flags[i - 1]))")),
            "runs",
        )  # fmt: skip
    return s.task(
        (f"longest_run_of_{s.tail}", f"longest_stretch_{p.name}"), f"list[{d.item}]",
        (f"return the longest run of consecutive {d.plural} {d.where} that {p.plural}, as a list",
         f"find the longest stretch of neighbouring {d.plural} {d.where} that {p.plural} and return it as a list"),
        (lines("best = []", "current = []", head, f"    if {c}:", f"        current.append({d.x})",
               "        if len(current) > len(best):", "            best = current[:]", "    else:",
               "        current = []", "return best"),
         lines("best = []", "current = []", head, f"    current = current + [{d.x}] if {c} else []",
               "    if len(current) > len(best):", "        best = current", "return best")),
        "longest run items", ("Of several equally long runs return the first.",),
    )  # fmt: skip


def replace(random: Random) -> Task:
    """A copy in which the items that fit are changed."""
    s = draw_scene(random, pred=1.0, attr=1.0, ordered=True, kinds=("int", "str", "char"))
    assert s.pred
    d, c = s.domain, s.when(s.pred)
    if s.attr is None or (d.kind == "int") != (s.attr.out == "int"):
        return replace(random)
    each = f"each {d.singular} that {s.pred.singular}"
    if random.random() < 0.25:
        value, said = ("0", "0") if d.kind == "int" else ('"*"', "'*'") if d.kind == "char" else ('"?"', "'?'")
        name = "replaced"
    else:
        value, said, name = s.value, _its(s.attr.noun), s.attr.slug
    joined = d.kind == "char"
    tail = 'return "".join(result)' if joined else "return result"
    if random.random() < 0.3 and not joined:
        other = draw_attr(random, d, "int" if d.kind == "int" else "str")
        if other and d.fill(other.expr) != value:
            return s.task(
                (f"{name}_or_{other.slug}", f"transform_{d.plural}"), f"list[{d.item}]",
                (f"return a list that holds, for {each} {d.where}, {said}, and for every other {d.singular} its"
                 f" {other.noun}",
                 f"replace every {d.singular} {d.where} that {s.pred.singular} with {said} and every other one with"
                 f" its {other.noun}, and return the new list"),
                (lines("result = []", f"for {d.var} in {d.iterable}:", f"    if {c}:",
                       f"        result.append({value})", "    else:", f"        result.append({s.of(other)})",
                       "return result"),
                 f"return [{value} if {c} else {s.of(other)} for {d.var} in {d.iterable}]"),
                "either",
            )  # fmt: skip
    whole = Scene(random, d, None, None).items
    return s.task(
        (f"replace_{s.pred.name}", f"{name}_where_{s.pred.name}", f"{name}_if_{s.pred.name}"),
        "str" if joined else f"list[{d.item}]",
        (f"return a {'string' if joined else 'list'} of {whole} in which {each} is replaced by {said}",
         f"replace every {d.singular} {d.where} that {s.pred.singular} with {said}, keep the others as they are, and"
         f" return the new {'string' if joined else 'list'}"),
        (lines("result = []", f"for {d.var} in {d.iterable}:", f"    if {c}:", f"        result.append({value})",
               "    else:", f"        result.append({d.x})", tail),
         f'return "".join({value} if {c} else {d.x} for {d.var} in {d.iterable})' if joined else
         f"return [{value} if {c} else {d.x} for {d.var} in {d.iterable}]"),
        "replace",
    )  # fmt: skip


def pairs(random: Random) -> Task:
    """Pairs of two different positions, by two nested loops."""
    s = draw_scene(random, pred=0.35, attr=0.5, ordered=True)
    if s.domain.kind in ("row", "entry") and (s.attr is None or s.attr.out not in ("int", "str")):
        return pairs(random)
    number = (s.attr.out if s.attr else s.domain.kind) == "int"
    tests = [
        ("{a} == {b}", "are equal", "equal"),
        ("{a} > {b}", "are in falling order, the first greater than the second", "inverted"),
        ("{a} < {b}", "are in rising order, the first less than the second", "rising"),
    ]
    more: tuple[Param, ...] = ()
    if number:
        target = random.choice(("target", "goal", "wanted"))
        if target in {p.name for p in s.params}:
            return pairs(random)
        k = random.randint(2, 5)
        tests += [(f"{{a}} + {{b}} == {target}", f"add up to {target}", "with_sum"),
                  (f"({{a}} + {{b}}) % {k} == 0", f"have a sum divisible by {k}", f"sum_divisible_by_{k}"),
                  (f"abs({{a}} - {{b}}) <= {k}", f"differ by at most {k}", f"within_{k}"),
                  ("({a} + {b}) % 2 == 1", "have an odd sum", "odd_sum")]  # fmt: skip
        more = (Param(target, "int", lambda r: r.randint(2, 30), "an integer"),)
    test, said, name = random.choice(tests)
    more = more if "target" in test or "goal" in test or "wanted" in test else ()
    at = test.replace("{a}", "chosen[i]").replace("{b}", "chosen[j]")
    ab = test.replace("{a}", "a").replace("{b}", "b")
    nested = ["for i in range(len(chosen)):", "    for j in range(i + 1, len(chosen)):", f"        if {at}:"]
    chosen = f"chosen = {s.listed()}"
    if random.random() < 0.35:
        return s.task(
            (f"has_pair_{name}", f"exists_pair_{name}"), "bool",
            (f"return True if two of {s.values}, at different positions, {said}, otherwise False",
             f"check whether there are two of {s.values}, at different positions, that {said}"),
            (lines(chosen, *nested, "            return True", "return False"),
             lines(chosen, f"return any({ab} for a, b in itertools.combinations(chosen, 2))")),
            "pair test", imports=("import itertools",), more=more,
        )  # fmt: skip
    return s.task(
        (f"count_pairs_{name}", f"count_{name}_pairs"), "int",
        (f"count the pairs of two of {s.values}, at different positions, that {said}",
         f"return how many pairs of two of {s.values}, at different positions, {said}"),
        (lines(chosen, "count = 0", *nested, "            count += 1", "return count"),
         lines(chosen, f"return sum(1 for a, b in itertools.combinations(chosen, 2) if {ab})")),
        "pairs", imports=("import itertools",), more=more,
    )  # fmt: skip


def compare(random: Random) -> Task:
    """Two aggregates of the same items against each other."""
    s = draw_scene(random, out="int", pred=1.0, attr=0.3)
    assert s.pred
    q = draw_pred(random, s.domain, tuple(p.name for p in s.pred.params))
    if q.name == s.pred.name:
        return compare(random)
    t = Scene(random, s.domain, q, s.attr)
    kind = random.choice(("greater", "difference", "product"))
    first, second = f"sum({s.each()})", f"sum({t.each()})"
    said = {"greater": ("bool", f"return True if the sum of {s.values} is greater than the sum of {t.values}"),
            "difference": ("int", f"return the sum of {s.values}, minus the sum of {t.values}"),
            "product": ("int", f"return the sum of {s.values}, multiplied by the sum of {t.values}")}[kind]  # fmt: skip
    sign = {"greater": ">", "difference": "-", "product": "*"}[kind]
    d = s.domain
    made = s.task(
        (f"compare_{s.pred.name}_with_{q.name}", f"{s.pred.name}_versus_{q.name}", f"{kind}_of_sums"), said[0],
        (said[1],),
        (lines("first = 0", "second = 0", f"for {d.var} in {d.iterable}:", f"    if {s.when(s.pred)}:",
               f"        first += {wrapped(s.value)}", f"    if {s.when(q)}:",
               f"        second += {wrapped(s.value)}", f"return first {sign} second"),
         lines(f"first = {first}", f"second = {second}", f"return first {sign} second"),
         f"return {first} {sign} {second}"),
        "compare", more=q.params,
    )  # fmt: skip
    return made


def _its(noun: str) -> str:
    return f"a {noun}" if noun.startswith("copy") else f"its {noun}"


def _source(s: Scene) -> str:
    d = s.domain
    return d.param.name if d.direct or d.kind == "char" else f"the {d.plural} {d.where}"


def _group(var: str) -> str:
    return f"({var})" if "," in var else var


QUERIES = ((prefix, 4), (running, 3), (neighbours, 2.5), (runs, 3), (replace, 4), (pairs, 3), (compare, 3))
