"""Queries by a key: grouping, counting, mapping, sorting, extremes, the most common value."""

from __future__ import annotations

from random import Random

from .fragments import Attr
from .scene import ANNOTATION, Scene, draw_attr, draw_scene, phrases
from .task import Param, Task, lines

KEYS = ("length", "last digit", "digit sum", "digit count", "first character", "last character", "vowel count",
        "lower-case form", "absolute value", "sum", "maximum", "minimum", "first element", "last element",
        "count of distinct characters", "remainder", "sorted string of characters", "spread",
        "largest digit", "prefix of three characters")  # fmt: skip


def group(random: Random) -> Task:
    """A dictionary from a key to the list of items, or to their number, sum, maximum or first one."""
    s = draw_scene(random, pred=0.35, attr=0.0, ordered=True)
    key = _key(random, s)
    if key is None:
        return group(random)
    d, k = s.domain, s.of(key)
    by = ANNOTATION[key.out]
    name = random.choice(("groups", "result", "grouped", "buckets"))
    kind = random.choice(("items", "items", "count", "sum", "max", "first", "last", "values"))
    if kind == "count":
        name = random.choice(("counts", "result", "tally"))
        step = lines(f"{name} = {{}}", s.loop(f"key = {k}", f"{name}[key] = {name}.get(key, 0) + 1"), f"return {name}")
        return s.task(
            (f"count_by_{key.slug}", f"count_{d.plural}_by_{key.slug}", f"{key.slug}_counts"), f"dict[{by}, int]",
            (f"count {s.items} by {key.noun} and return a dictionary from {key.noun} to count",
             f"return a dictionary that maps each {key.noun} to the number of {s.items[4:]} with that {key.noun}",),
            (step,
             lines(f"{name} = {{}}",
                   s.loop(f"if {k} not in {name}:", f"    {name}[{k}] = 0", f"{name}[{k}] += 1"),
                   f"return {name}"),
             f"return dict(Counter({s.each(k)}))"),
            "count by", imports=("from collections import Counter",),
        )  # fmt: skip
    if kind in ("sum", "max", "values"):
        value = draw_attr(random, d, "int") if d.kind != "int" else None
        if (d.kind != "int" and value is None) or (value and value.noun == key.noun):
            return group(random)
        v, noun = s.of(value), f"{value.noun}" if value else d.singular
        plural = f"{value.plural} of the {d.plural}" if value else d.plural
        if kind == "values":
            return s.task(
                (f"{(value.slug if value else d.singular)}s_by_{key.slug}", f"group_by_{key.slug}"),
                f"dict[{by}, list[int]]",
                (f"group {s.items} by {key.noun} and return a dictionary from each {key.noun} to the list of the"
                 f" {plural} in that group",),
                (lines(f"{name} = {{}}", s.loop(f"{name}.setdefault({k}, []).append({v})"), f"return {name}"),
                 lines(f"{name} = defaultdict(list)", s.loop(f"{name}[{k}].append({v})"), f"return dict({name})")),
                "group values", imports=("from collections import defaultdict",),
            )  # fmt: skip
        if kind == "sum":
            return s.task(
                (f"total_by_{key.slug}", f"sum_by_{key.slug}", f"totals_per_{key.slug}"), f"dict[{by}, int]",
                (f"return a dictionary that maps the {key.noun} of {s.items} to the sum of the {plural} with that"
                 f" {key.noun}",
                 f"group {s.items} by {key.noun} and sum the {plural} in each group; return a dictionary"),
                (lines("totals = {}", s.loop(f"key = {k}", f"totals[key] = totals.get(key, 0) + {v}"),
                       "return totals"),
                 lines("totals = defaultdict(int)", s.loop(f"totals[{k}] += {v}"), "return dict(totals)")),
                "sum by", imports=("from collections import defaultdict",),
            )  # fmt: skip
        return s.task(
            (f"max_by_{key.slug}", f"largest_per_{key.slug}"), f"dict[{by}, int]",
            (f"return a dictionary that maps the {key.noun} of {s.items} to the largest {noun} among those with that"
             f" {key.noun}",),
            (lines("best = {}",
                   s.loop(f"key = {k}", f"if key not in best or {v} > best[key]:", f"    best[key] = {v}"),
                   "return best"),
             lines("groups = {}", s.loop(f"groups.setdefault({k}, []).append({v})"),
                   "return {key: max(members) for key, members in groups.items()}")),
            "max by",
        )  # fmt: skip
    if kind in ("first", "last"):
        each = "if key not in result:" if kind == "first" else ""
        body = lines(
            "result = {}",
            s.loop(f"key = {k}", *([each, f"    result[key] = {d.x}"] if each else [f"result[key] = {d.x}"])),
            "return result",
        )
        fast = (
            f"return {{{k}: {d.x} for {d.var} in {d.iterable}" + (f" if {s.when(s.pred)}" if s.pred else "") + "}"
            if kind == "last"
            else lines("result = {}", s.loop(f"result.setdefault({k}, {d.x})"), "return result")
        )
        return s.task(
            (f"{kind}_by_{key.slug}", f"{kind}_{d.singular}_per_{key.slug}", f"index_by_{key.slug}"),
            f"dict[{by}, {d.item}]",
            (f"return a dictionary that maps each {key.noun} to the {kind} {d.singular} with it among {s.items}",
             f"build a dictionary from the {key.noun} of {s.items} to the {kind} {d.singular} that has it"),
            (body, fast), f"{kind} by",
        )  # fmt: skip
    says = (
        f"group {s.items} by {key.noun} and return a dictionary of lists",
        f"return a dictionary that maps each {key.noun} to the list of {s.items[4:]} with that {key.noun}",
        f"group {s.items} by their {key.noun}; the result maps each {key.noun} to a list of {d.plural}",
    )
    plain = lines(f"{name} = {{}}", s.loop(f"key = {k}", f"if key not in {name}:", f"    {name}[key] = []",
                                          f"{name}[key].append({d.x})"), f"return {name}")  # fmt: skip
    return s.task(
        (f"group_by_{key.slug}", f"group_{d.plural}_by_{key.slug}"), f"dict[{by}, list[{d.item}]]", says,
        (plain, plain,
         lines(f"{name} = {{}}", s.loop(f"{name}.setdefault({k}, []).append({d.x})"), f"return {name}"),
         lines(f"{name} = defaultdict(list)", s.loop(f"{name}[{k}].append({d.x})"), f"return dict({name})")),
        "group by", imports=("from collections import defaultdict",),
    )  # fmt: skip


def mapping(random: Random) -> Task:
    """A dictionary from each item to an attribute of it."""
    s = draw_scene(random, pred=0.4, attr=1.0, ordered=True, hashable=True, kinds=("int", "str", "char"))
    if s.attr is None:
        return mapping(random)
    d, a = s.domain, s.attr
    name = random.choice(("result", "mapping", "table", "lookup"))
    if name in {p.name for p in s.params}:
        name = "answer"
    body = lines(f"{name} = {{}}", s.loop(f"{name}[{d.x}] = {s.value}"), f"return {name}")
    return s.task(
        (f"{d.plural}_to_{a.slug}", f"map_{d.plural}_to_{a.slug}", f"{a.slug}_by_{d.singular}", f"{a.slug}_map"),
        f"dict[{d.item}, {ANNOTATION[a.out]}]",
        (f"return a dictionary that maps {s.items} to their {a.plural}",
         f"map {s.items} to their {a.plural} and return the dictionary",
         f"build a dictionary whose keys are {s.items} and whose values are their {a.plural}"),
        (body, f"return {{{s.each(f'{d.x}: {s.value}')}}}", f"return dict({s.each(f'({d.x}, {s.value})')})"),
        "mapping",
    )  # fmt: skip


def extreme(random: Random) -> Task:
    """The item with the largest or smallest key, the first of them on a tie."""
    s = draw_scene(random, pred=0.45, attr=0.0, ordered=True)
    key = _key(random, s, "int") if random.random() < 0.8 or s.domain.kind != "int" else None
    if key is None and s.domain.kind != "int":
        return extreme(random)
    d = s.domain
    if key is None:
        most = random.choice(("largest", "smallest"))
        sign, fun = (">", "max") if most == "largest" else ("<", "min")
        default = random.choice(("None", "0", "-1"))
        best = random.choice(("best", most, "answer"))
        return s.task(
            (f"{most}_{s.tail}", f"{fun}_{s.tail}", f"find_{most}_{s.tail}"),
            "Optional[int]" if default == "None" else "int",
            phrases(random, s.one(f"the {most}")),
            (lines(f"{best} = None", s.loop(f"if {best} is None or {d.x} {sign} {best}:", f"    {best} = {d.x}"),
                   f"return {best}" if default == "None" else f"return {default} if {best} is None else {best}"),
             f"return {fun}(({s.each()}), default={default})"),
            fun, (f"Return {default} if there is none.",),
        )  # fmt: skip
    most, sign, fun = random.choice((("largest", ">", "max"), ("smallest", "<", "min")))
    worded = {"length": {"largest": "longest", "smallest": "shortest"}}.get(key.noun, {}).get(most)
    lead = (
        f"the {worded} {d.singular} {d.where}" if worded else f"the {d.singular} {d.where} with the {most} {key.noun}"
    )
    scope = (f" among those that {s.pred.plural}" if s.pred and not worded else
                             f" that {s.pred.singular}" if s.pred else "")  # fmt: skip
    k = s.of(key)
    if "," in d.var:
        target = "item"
        if "item" in d.var or "item" in [p.name for p in s.params]:
            return extreme(random)
        pick = f"lambda {target}: {_on(d, key, target)}"
        track = [f"if best is None or {k} {sign} {_on(d, key, 'best')}:", f"    best = {d.x}"]
    else:
        pick = f"lambda {d.x}: {k}"
        track = [f"if best is None or {k} {sign} {_on(d, key, 'best')}:", f"    best = {d.x}"]
    if key.expr == "len({x})":
        pick = "len"
    adjective = worded or f"{most}_{key.slug}"
    shown = f"[{s.each(d.x)}]" if s.pred or not d.direct else d.iterable
    second = random.random() < 0.2 and d.kind != "entry"
    if second:
        return s.task(
            (f"{fun}_{key.slug}", f"{most}_{key.slug}_of_{d.plural}"), "int",
            phrases(random, f"the {most} {key.noun} of {s.items}"),
            (lines("best = None", s.loop(f"current = {k}", f"if best is None or current {sign} best:",
                                        "    best = current"), "return 0 if best is None else best"),
             f"return {fun}(({s.each(k)}), default=0)"),
            f"{fun} value", ("Return 0 if there are none.",),
        )  # fmt: skip
    return s.task(
        (f"{adjective}_{d.singular}", f"find_{adjective}_{d.singular}", f"get_{adjective}_{d.singular}"),
        f"Optional[{d.item}]",
        phrases(random, lead + scope),
        (lines("best = None", s.loop(*track), "return best"),
         f"return {fun}({shown}, key={pick}, default=None)",
         lines(f"candidates = {shown}", "if not candidates:", "    return None",
               f"return {fun}(candidates, key={pick})")),
        f"arg{fun}", (random.choice(("On a tie return the first one; return None if there is none.",
                                     "If several tie, return the first of them. Return None if there is none.",
                                     "The first one wins a tie, and the result is None if there is none.")),),
    )  # fmt: skip


def order(random: Random) -> Task:
    """Items sorted by a key, perhaps only the first few."""
    s = draw_scene(random, pred=0.3, attr=0.0, ordered=True)
    d = s.domain
    key = _key(random, s)
    if key is None or ((key.out == "int") is False and key.out not in ("str", "code")):
        return order(random)
    down = random.random() < 0.45
    target = d.x if "," not in d.var else "item"
    k = _on(d, key, target)
    tie = random.random() < 0.25 and d.kind in ("int", "str")
    rev = ", reverse=True" if down else ""
    pick = "len" if key.expr == "len({x})" and not tie else f"lambda {target}: {f'({k}, {target})' if tie else k}"
    if tie:
        down, rev = False, ""
    direction = "descending" if down else "ascending"
    source = f"[{s.each(d.x)}]" if s.pred else d.iterable
    bodies = [f"return sorted({source}, key={pick}{rev})"]
    bodies.append(
        lines(f"result = {f'[{s.each(d.x)}]' if s.pred else f'list({d.iterable})'}", f"result.sort(key={pick}{rev})",
              "return result")
    )  # fmt: skip
    ties = (f"{d.plural[0].upper() + d.plural[1:]} with the same {key.noun} are in ascending order." if tie else
            f"{d.plural[0].upper() + d.plural[1:]} with the same {key.noun} keep their order.")  # fmt: skip
    if random.random() < 0.25:
        n = random.choice((2, 3)) if random.random() < 0.5 else 0
        amount = str(n) if n else "k"
        if "k" in [p.name for p in s.params] or d.var == "k":
            return order(random)
        most = "largest" if down else "smallest"
        return s.task(
            (f"top_{amount}_by_{key.slug}" if down else f"first_{amount}_by_{key.slug}",
             f"{amount}_{most}_by_{key.slug}"),
            f"list[{d.item}]",
            (f"return a list of the {amount} {d.plural} with the {most} {key.noun} among {s.items}, in {direction}"
             f" order of {key.noun}",),
            tuple(f"{b}[:{amount}]" for b in bodies), "top",
            (ties, f"Return all of them if there are fewer than {amount}."),
            more=() if n else (Param("k", "int", lambda r: r.randint(1, 4), "a positive integer"),),
        )  # fmt: skip
    return s.task(
        (f"sort_by_{key.slug}", f"sort_{d.plural}_by_{key.slug}", f"order_by_{key.slug}"), f"list[{d.item}]",
        (f"sort {s.items} by {key.noun} in {direction} order and return a new list",
         f"return {s.items} as a list sorted by {key.noun}, {'largest' if down else 'smallest'} first",
         f"return a list of {s.items}, in {direction} order of their {key.noun}"),
        tuple(bodies), "sort", (ties,) if tie or random.random() < 0.5 else (),
    )  # fmt: skip


def common(random: Random) -> Task:
    """The most or least common value, values that repeat, values that occur once."""
    s = draw_scene(random, pred=0.3, attr=0.6, ordered=True, hashable=True)
    kind = random.choice(("most", "repeated", "once", "dedupe", "is distinct"))
    if s.attr is not None and s.attr.out == "rowcode":
        return common(random)
    values, d = s.values, s.domain
    tally = lines("counts = {}", s.loop(f"value = {s.value}", "counts[value] = counts.get(value, 0) + 1"))
    if "value" in d.var or "value" in [p.name for p in s.params]:
        tally = lines("counts = {}", s.loop(f"counts[{s.value}] = counts.get({s.value}, 0) + 1"))
    if kind == "most":
        return s.task(
            (f"most_common_{s.attr.slug if s.attr else d.singular}", f"most_frequent_{s.tail}", "mode"),
            f"Optional[{s.kind}]",
            phrases(random, f"the most common value among {values}"),
            (lines(tally, "best = None", "for key in counts:", "    if best is None or counts[key] > counts[best]:",
                   "        best = key", "return best"),
             lines(tally, "return max(counts, key=counts.get, default=None)"),
             lines(f"counts = Counter({s.each()})", "return counts.most_common(1)[0][0] if counts else None")),
            "mode",
            (random.choice(("On a tie return the one that appears first, and None if there are none.",
                            "If several are equally common, return the one seen first. Return None if there are"
                            " none.")),),
            ("from collections import Counter",),
        )  # fmt: skip
    if kind in ("repeated", "once"):
        test, said = ("> 1", "more than once") if kind == "repeated" else ("== 1", "exactly once")
        return s.task(
            (f"{'repeated' if kind == 'repeated' else 'unique'}_{s.tail}",
             f"{'find_duplicate' if kind == 'repeated' else 'singly_occurring'}_{s.tail}"),
            f"list[{s.kind}]",
            (f"return a list of the values that occur {said} among {values}, in order of first appearance",
             f"find the values that appear {said} among {values} and return them in order of first appearance"),
            (lines(tally, f"return [key for key, count in counts.items() if count {test}]"),
             lines(f"counts = Counter({s.each()})", f"return [key for key in counts if counts[key] {test}]"),
             lines(tally, "result = []", "for key, count in counts.items():", f"    if count {test}:",
                   "        result.append(key)", "return result")),
            kind, imports=("from collections import Counter",),
        )  # fmt: skip
    if kind == "is distinct":
        return s.task(
            (f"all_distinct_{s.tail}", f"has_distinct_{s.tail}", f"are_unique_{s.tail}"), "bool",
            (f"return True if all of {values} are different from one another, otherwise False",
             f"check whether no value occurs twice among {values}"),
            (lines("seen = set()", s.loop(f"if {s.value} in seen:", "    return False", f"seen.add({s.value})"),
                   "return True"),
             lines(f"chosen = {s.listed()}", "return len(set(chosen)) == len(chosen)")),
            "distinct",
        )  # fmt: skip
    return s.task(
        (f"distinct_{s.tail}", f"unique_{s.tail}", f"remove_duplicate_{s.tail}"), f"list[{s.kind}]",
        (f"return a list of {values} without duplicates, in order of first appearance",
         f"remove the duplicates from {values} and return a list that keeps the first of each"),
        (lines("seen = set()", "result = []",
               s.loop(f"if {s.value} not in seen:", f"    seen.add({s.value})", f"    result.append({s.value})"),
               "return result"),
         lines("result = []", s.loop(f"if {s.value} not in result:", f"    result.append({s.value})"), "return result"),
         f"return list(dict.fromkeys({s.each()}))"),
        "dedupe",
    )  # fmt: skip


def split(random: Random) -> Task:
    """Items that fit and items that do not: partition, the difference of sums, moving to the front."""
    s = draw_scene(random, pred=1.0, attr=0.0, ordered=True)
    assert s.pred
    d, p = s.domain, s.pred
    c = s.when(p)
    whole = Scene(random, d, None, None).items
    kind = random.choice(("partition", "front", "difference", "remove first", "labels"))
    head = f"for {d.var} in {d.iterable}:"
    if kind == "difference":
        if d.kind != "int":
            return split(random)
        return s.task(
            (f"sum_difference_{p.name}", f"{p.name}_minus_rest"), "int",
            phrases(random, f"the sum of {s.items}, minus the sum of the other {d.plural}"),
            (lines("difference = 0", head, f"    if {c}:", f"        difference += {d.x}", "    else:",
                   f"        difference -= {d.x}", "return difference"),
             f"return sum({d.x} if {c} else -{d.x} for {d.var} in {d.iterable})"),
            "difference",
        )  # fmt: skip
    first, second = random.choice((("matching", "rest"), ("yes", "no"), ("chosen", "others")))
    parts = lines(f"{first} = []", f"{second} = []", head, f"    if {c}:", f"        {first}.append({d.x})",
                  "    else:", f"        {second}.append({d.x})")  # fmt: skip
    if {first, second} & {q.name for q in s.params}:
        return split(random)
    if kind == "partition":
        return s.task(
            (f"partition_by_{p.name}", f"split_{d.plural}", f"separate_{p.name}"),
            f"tuple[list[{d.item}], list[{d.item}]]",
            (f"split {whole} into two lists, those that {p.plural} and the others, and return both as a tuple",
             f"return a tuple of two lists: {s.items}, and the other {d.plural}"),
            (lines(parts, f"return {first}, {second}"),
             lines(f"{first} = [{d.x} for {d.var} in {d.iterable} if {c}]",
                   f"{second} = [{d.x} for {d.var} in {d.iterable} if not ({c})]", f"return ({first}, {second})")),
            "partition",
        )  # fmt: skip
    if kind == "front":
        return s.task(
            (f"move_{p.name}_to_front", f"{p.name}_first"), f"list[{d.item}]",
            (f"return a list of {whole} with those that {p.plural} moved to the front, otherwise in the same order",
             f"move {s.items} to the front and keep the order otherwise; return a new list"),
            (lines(parts, f"return {first} + {second}"),
             f"return sorted({d.iterable}, key=lambda {d.x}: not ({c}))" if "," not in d.var else
             lines(parts, f"return [*{first}, *{second}]")),
            "front",
        )  # fmt: skip
    if kind == "labels":
        yes, no = random.choice((("yes", "no"), ("good", "bad"), ("keep", "drop"), ("hit", "miss"), ("A", "B")))
        return s.task(
            (f"label_{d.plural}", f"label_by_{p.name}", f"classify_{d.plural}"), "list[str]",
            (f"return a list with '{yes}' for every {d.singular} {d.where} that {p.singular} and '{no}' for every"
             " other",
             f"label each {d.singular} {d.where}: '{yes}' if it {p.singular}, otherwise '{no}'; return the labels as"
             " a list"),
            (lines("labels = []", head, f"    if {c}:", f'        labels.append("{yes}")', "    else:",
                   f'        labels.append("{no}")', "return labels"),
             f'return ["{yes}" if {c} else "{no}" for {d.var} in {d.iterable}]'),
            "labels",
        )  # fmt: skip
    return s.task(
        (f"remove_first_{p.name}", f"drop_first_{p.name}", f"without_first_{p.name}"), f"list[{d.item}]",
        (f"return a list of {whole} without {s.one('the first')}",
         f"remove {s.one('the first')} and return the other {d.plural} as a list"),
        (lines("result = []", "removed = False", head, f"    if not removed and ({c}):", "        removed = True",
               "    else:", f"        result.append({d.x})", "return result"),
         lines(f"result = list({d.iterable})", f"for {d.var} in result:", f"    if {c}:",
               f"        result.remove({d.x})", "        break", "return result")),
        "remove first", (f"If no {d.singular} fits, return all of them.",),
    )  # fmt: skip


def _key(random: Random, s: Scene, out: str = "") -> Attr | None:
    keys = [a for a in s.domain.attrs(random) if (a.noun in KEYS or s.domain.kind == "entry") or "remainder" in a.noun]
    keys = [a for a in keys if (a.out == out if out else a.out in ("int", "str", "code"))]
    return random.choice(keys) if keys else None


def _on(d: object, key: Attr, name: str) -> str:
    """Write the key of an item that is not the loop's own name."""
    from .domains import Domain

    assert isinstance(d, Domain)
    a, b = (d.a, d.b) if d.kind == "entry" and "[" in d.a and name == d.x else (f"{name}[0]", f"{name}[1]")
    if d.item == "dict":
        a, b = f'{name}["{d.parts[0]}"]', f'{name}["{d.parts[1]}"]'
    return key.expr.replace("{x}", name).replace("{a}", a).replace("{b}", b)


QUERIES = ((group, 6), (mapping, 3), (extreme, 5), (order, 5), (common, 4), (split, 4))
