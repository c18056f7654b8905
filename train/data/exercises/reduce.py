"""Queries that reduce items to a value: sums, counts, extremes, tests, positions, joined strings."""

from __future__ import annotations

from random import Random

from .fragments import negated, wrapped
from .scene import Scene, draw_pred, draw_scene, phrases
from .task import Param, Task, lines


def collect(random: Random) -> Task:
    """A list, set or sorted list of values."""
    s = draw_scene(random, pred=0.75, attr=0.6)
    if s.pred is None and s.attr is None:
        return collect(random)
    shape = random.choice(("list", "list", "list", "set", "sorted"))
    if shape != "list" and (s.attr is None or s.attr.out not in ("int", "str", "code")):
        shape = "list"
    if shape == "list" and not s.domain.ordered:
        shape = "sorted"
    name = random.choice(("result", "selected", "found", "output", "kept", "answer"))
    append = lines(f"{name} = []", s.loop(f"{name}.append({s.value})"), f"return {name}")
    names = (f"get_{s.tail}", f"{s.tail}", f"list_{s.tail}", f"collect_{s.tail}", f"find_{s.tail}")
    if shape == "set":
        bodies = (
            lines(f"{name} = set()", s.loop(f"{name}.add({s.value})"), f"return {name}"),
            f"return {{{s.each()}}}",
            f"return set({s.each()})",
        )
        return s.task(
            names, f"set[{s.kind}]",
            (f"return the set of {s.values}", f"return a set of {s.values}"), bodies, "set",
        )  # fmt: skip
    if shape == "sorted":
        return s.task(
            (f"sorted_{s.tail}", *names), f"list[{s.kind}]",
            (f"return a sorted list of {s.values}", f"return {s.values} in ascending order as a list"),
            (
                lines(f"{name} = []", s.loop(f"{name}.append({s.value})"), f"{name}.sort()", f"return {name}"),
                f"return sorted({s.each()})",
            ),
            "sorted",
        )  # fmt: skip
    order = random.choice(("", ", in their original order", ", in the order in which they appear"))
    if s.domain.kind == "int" and "range" in s.domain.iterable:
        order = ""
    idioms = [append, append, f"return {s.listed()}"]
    if s.pred is None:
        idioms.append(f"return list(map(lambda {s.domain.x}: {s.value}, {s.domain.iterable}))")
        if "," in s.domain.var:
            idioms.pop()
    elif s.attr is None and "," not in s.domain.var:
        idioms.append(f"return list(filter(lambda {s.domain.var}: {s.when(s.pred)}, {s.domain.iterable}))")
    return s.task(
        names, f"list[{s.kind}]",
        (f"return a list of {s.values}{order}", f"return {s.values}{order or ' as a list'}",
         f"build a list of {s.values}{order}"), tuple(idioms), "list",
    )  # fmt: skip


def total(random: Random) -> Task:
    """Sum, product, mean, spread, or number of distinct values."""
    s = draw_scene(random, out="int", pred=0.6, attr=0.5)
    kind = random.choice(("sum", "sum", "product", "mean", "spread", "distinct", "alternating"))
    d = s.domain
    if kind == "product":
        name = random.choice(("product", "result", "answer"))
        return s.task(
            (f"product_of_{s.tail}", f"multiply_{s.tail}"), "int",
            phrases(random, f"the product of {s.values}"),
            (
                lines(f"{name} = 1", s.loop(f"{name} *= {wrapped(s.value)}"), f"return {name}"),
                f"return math.prod({s.each()})",
            ),
            "product", (_empty(random, "1"),), ("import math",),
        )  # fmt: skip
    if kind == "mean":
        default, word = random.choice((("0", "0"), ("0.0", "0.0"), ("None", "None")))
        acc, count = random.choice((("total", "count"), ("total", "n_items"), ("acc", "size")))
        return s.task(
            (f"average_{s.tail}", f"mean_{s.tail}", f"mean_of_{s.tail}"),
            "Optional[float]" if default == "None" else "float",
            phrases(random, f"the {random.choice(('average', 'mean', 'arithmetic mean'))} of {s.values}"),
            (
                lines(
                    f"{acc} = 0", f"{count} = 0", s.loop(f"{acc} += {s.value}", f"{count} += 1"),
                    f"if {count} == 0:", f"    return {default}", f"return {acc} / {count}",
                ),
                lines(
                    f"selected = {s.listed()}", "if not selected:", f"    return {default}",
                    "return sum(selected) / len(selected)",
                ),
                lines(f"chosen = {s.listed()}", f"return sum(chosen) / len(chosen) if chosen else {default}"),
            ),
            "mean", (_empty(random, word),),
        )  # fmt: skip
    if kind == "spread":
        return s.task(
            (f"range_of_{s.tail}", f"spread_of_{s.tail}"), "int",
            phrases(random, f"the difference between the largest and the smallest of {s.values}"),
            (
                lines(f"chosen = {s.listed()}", "if not chosen:", "    return 0",
                      "return max(chosen) - min(chosen)"),
                lines("low = None", "high = None",
                      s.loop(f"current = {s.value}", "if low is None or current < low:", "    low = current",
                             "if high is None or current > high:", "    high = current"),
                      "return 0 if low is None else high - low"),
            ),
            "spread", (_empty(random, "0"),),
        )  # fmt: skip
    if kind == "distinct":
        return s.task(
            (f"count_distinct_{s.tail}", f"distinct_{s.tail}", f"count_unique_{s.tail}"), "int",
            phrases(random, f"the number of distinct values among {s.values}"),
            (
                f"return len(set({s.each()}))",
                f"return len({{{s.each()}}})",
                lines("seen = set()", s.loop(f"seen.add({s.value})"), "return len(seen)"),
            ),
            "distinct",
        )  # fmt: skip
    if kind == "alternating" and d.ordered:
        return s.task(
            (f"alternating_sum_of_{s.tail}", "alternating_sum"), "int",
            (f"return the alternating sum of {s.values}: add the first, subtract the second, and so on",
             f"return the result of adding and subtracting {s.values} in turn, starting with an addition"),
            (
                lines("total = 0", "sign = 1", s.loop(f"total += sign * {wrapped(s.value)}", "sign = -sign"),
                      "return total"),
                lines(f"chosen = {s.listed()}", "return sum(chosen[::2]) - sum(chosen[1::2])")
                if d.param.annotation.startswith(("list", "str")) else
                lines(f"chosen = list({s.each()})", "return sum(chosen[::2]) - sum(chosen[1::2])"),
            ),
            "alternating", (_empty(random, "0"),),
        )  # fmt: skip
    name = random.choice(("total", "total", "result", "acc", "s_total"))
    bodies = [
        lines(f"{name} = 0", s.loop(f"{name} += {s.value}"), f"return {name}"),
        f"return sum({s.each()})" if s.pred or s.attr or not d.direct else f"return sum({d.iterable})",
    ]
    if s.pred:
        bodies.append(lines(f"chosen = {s.listed()}", "return sum(chosen)"))
    notes = (_empty(random, "0"),) if random.random() < 0.3 else ()
    says = (*phrases(random, f"the sum of {s.values}"), f"add up {s.values}", f"sum {s.values}")
    return s.task((f"sum_of_{s.tail}", f"sum_{s.tail}", f"total_{s.tail}"), "int", says, tuple(bodies), "sum", notes)


def count(random: Random) -> Task:
    """How many items fit; whether at least or exactly so many do; which of two conditions more do."""
    s = draw_scene(random, pred=1.0, attr=0.0)
    assert s.pred
    d, p = s.domain, s.pred
    tally = lines("count = 0", s.loop("count += 1"), "return count")
    short = f"return sum(1 for {d.var} in {d.iterable} if {s.when(p)})"
    kind = random.choice(("count", "count", "at least", "exactly", "more", "share"))
    if kind in ("at least", "exactly"):
        n = random.randint(2, 3) if random.random() < 0.6 else None
        sign = ">=" if kind == "at least" else "=="
        amount = str(n) if n else "count"
        more = () if n else (Param("count", "int", lambda r: r.randint(1, 4), "a positive integer"),)
        if {"count", "found"} & {q.name for q in s.params}:
            return count(random)
        return s.task(
            (f"has_{slug_words(kind)}_{amount}_{s.tail}", f"{slug_words(kind)}_{amount}_{p.name}"), "bool",
            (f"return True if {kind} {amount} {d.plural} {d.where} {p.plural}, and False otherwise",
             f"check whether {kind} {amount} {d.plural} {d.where} {p.plural}"),
            (
                lines("found = 0", s.loop("found += 1"), f"return found {sign} {amount}"),
                f"return sum(1 for {d.var} in {d.iterable} if {s.when(p)}) {sign} {amount}",
                f"return len([{d.x} for {d.var} in {d.iterable} if {s.when(p)}]) {sign} {amount}",
            ),
            "quantified", more=more,
        )  # fmt: skip
    if kind == "more":
        q = draw_pred(random, d, tuple(x.name for x in p.params))
        if q.name == p.name:
            return count(random)
        scene = Scene(random, d, p, None)
        return Task(
            (f"more_{p.name}_than_{q.name}", f"compare_{p.name}_{q.name}"),
            (*scene.params, *q.params), "bool",
            (f"return True if more {d.plural} {d.where} {p.plural} than {q.plural}",
             f"check whether there are more {d.plural} {d.where} that {p.plural} than {d.plural} that {q.plural}"),
            scene.complete((
                lines("first = 0", "second = 0", f"for {d.var} in {d.iterable}:", f"    if {s.when(p)}:",
                      "        first += 1", f"    if {s.when(q)}:", "        second += 1",
                      "return first > second"),
                lines(f"first = sum(1 for {d.var} in {d.iterable} if {s.when(p)})",
                      f"second = sum(1 for {d.var} in {d.iterable} if {s.when(q)})", "return first > second"),
            )),
            ("items", d.kind, "more"),
        )  # fmt: skip
    if kind == "share":
        return s.task(
            (f"share_of_{s.tail}", f"fraction_of_{s.tail}", f"fraction_{p.name}"), "float",
            (f"return the fraction of {s.phrase(None)} that {p.plural}",
             f"compute which share of {s.phrase(None)} {p.plural}, as a number from 0 to 1"),
            (
                lines("total = 0", "count = 0", f"for {d.var} in {d.iterable}:", "    total += 1",
                      f"    if {s.when(p)}:", "        count += 1", "return count / total if total else 0.0"),
                lines(f"flags = [{s.when(p)} for {d.var} in {d.iterable}]", "if not flags:", "    return 0.0",
                      "return flags.count(True) / len(flags)") if not p.params and not _loose(p.expr) else
                lines(f"flags = [bool({s.when(p)}) for {d.var} in {d.iterable}]", "if not flags:",
                      "    return 0.0", "return sum(flags) / len(flags)"),
            ),
            "share", (f"Return 0.0 if there are no {d.plural}.",),
        )  # fmt: skip
    whose = s.phrase(None).removeprefix("the ")
    says = (
        f"count {s.items}", f"return how many {whose} {p.plural}", f"return the number of {s.items[4:]}",
        f"count how many {whose} {p.plural}",
    )  # fmt: skip
    return s.task(
        (f"count_{s.tail}", f"count_{p.name}", f"number_of_{s.tail}"), "int", says,
        (tally, tally, short, f"return len([{d.x} for {d.var} in {d.iterable} if {s.when(p)}])"), "count",
    )  # fmt: skip


def test(random: Random) -> Task:
    """Whether any, all or none of the items fit."""
    s = draw_scene(random, pred=1.0, attr=0.0)
    assert s.pred
    d, p = s.domain, s.pred
    kind = random.choice(("any", "all", "none"))
    head = f"for {d.var} in {d.iterable}:"
    whose = s.phrase(None).removeprefix("the ")
    if kind == "any":
        return s.task(
            (f"has_{s.tail}", f"any_{p.name}", f"contains_{s.tail}"), "bool",
            (f"return True if at least one {d.singular} {d.where} {p.singular}, otherwise False",
             f"check whether any {d.singular} {d.where} {p.singular}",
             f"return whether there is a {d.singular} {d.where} that {p.singular}"
             if d.singular[0] not in "aeiou" else
             f"return whether there is an {d.singular} {d.where} that {p.singular}"),
            (lines(head, f"    if {s.when(p)}:", "        return True", "return False"),
             f"return any({s.when(p)} for {d.var} in {d.iterable})"),
            "any",
        )  # fmt: skip
    if kind == "none":
        return s.task(
            (f"no_{s.tail}", f"none_{p.name}", f"has_no_{s.tail}"), "bool",
            (f"return True if no {d.singular} {d.where} {p.singular}, otherwise False",
             f"check that none of {s.phrase(None)} {p.plural}"),
            (lines(head, f"    if {s.when(p)}:", "        return False", "return True"),
             f"return not any({s.when(p)} for {d.var} in {d.iterable})"),
            "none",
        )  # fmt: skip
    note = random.choice((f"If there are no {d.plural}, return True.", f"Without any {d.plural} the answer is True."))
    return s.task(
        (f"all_{s.tail}", f"all_{p.name}", f"is_all_{p.name}"), "bool",
        (f"return True if all {whose} {p.plural}, otherwise False",
         f"check whether every {d.singular} {d.where} {p.singular}"),
        (lines(head, f"    if {negated(s.when(p))}:", "        return False", "return True"),
         f"return all({s.when(p)} for {d.var} in {d.iterable})"),
        "all", (note,) if random.random() < 0.6 else (),
    )  # fmt: skip


def find(random: Random) -> Task:
    """The first, last or n-th item that fits, or its position."""
    s = draw_scene(random, pred=1.0, attr=0.2, ordered=True)
    assert s.pred
    d, p = s.domain, s.pred
    kind = random.choice(("first", "last", "index", "indices", "nth", "last index"))
    head = f"for {d.var} in {d.iterable}:"
    if kind in ("index", "indices", "last index"):
        s = Scene(random, d, p, None)
        pattern = f"({d.var})" if "," in d.var else d.var
        at = random.choice(("i", "index", "i", "position"))
        if at in d.var or at in [q.name for q in s.params] or "range(" in d.iterable:
            return find(random)
        walk = f"for {at}, {pattern} in enumerate({d.iterable}):"
        if kind == "index":
            return s.task(
                (f"index_of_first_{p.name}", f"find_index_{p.name}", f"first_{p.name}_index"), "int",
                phrases(random, s.one("the index of the first")),
                (lines(walk, f"    if {s.when(p)}:", f"        return {at}", "return -1"),
                 f"return next(({at} for {at}, {pattern} in enumerate({d.iterable}) if {s.when(p)}), -1)"),
                "index", (_nothing(random, "-1", d.singular),),
            )  # fmt: skip
        if kind == "last index":
            return s.task(
                (f"index_of_last_{p.name}", f"last_{p.name}_index"), "int",
                phrases(random, s.one("the index of the last")),
                (lines("last = -1", walk, f"    if {s.when(p)}:", f"        last = {at}", "return last"),
                 f"return max(({at} for {at}, {pattern} in enumerate({d.iterable}) if {s.when(p)}), default=-1)"),
                "index", (_nothing(random, "-1", d.singular),),
            )  # fmt: skip
        return s.task(
            (f"indices_of_{s.tail}", f"positions_of_{s.tail}", f"find_positions_{p.name}"), "list[int]",
            (f"return the indices of {s.items}", f"return a list of the positions, counted from 0, of {s.items}"),
            (lines("found = []", walk, f"    if {s.when(p)}:", f"        found.append({at})", "return found"),
             f"return [{at} for {at}, {pattern} in enumerate({d.iterable}) if {s.when(p)}]"),
            "indices",
        )  # fmt: skip
    default = random.choice(
        ('""', "None") if s.kind == "str" else ("0", "None", "-1") if s.kind == "int" else ("None",)
    )
    shown = {'""': "an empty string"}.get(default, default)
    returns = f"Optional[{s.kind}]" if default == "None" else s.kind
    lead = f"the {s.attr.noun} of the" if s.attr else "the"
    note = (_nothing(random, shown, d.singular),)
    if kind == "first":
        return s.task(
            (f"first_{s.tail}", f"find_first_{s.tail}", f"find_{p.name}"), returns,
            phrases(random, s.one(f"{lead} first")),
            (lines(head, f"    if {s.when(p)}:", f"        return {s.value}", f"return {default}"),
             f"return next(({s.each()}), {default})",
             lines(f"matches = {s.listed()}", f"return matches[0] if matches else {default}")),
            "first", note,
        )  # fmt: skip
    if kind == "last":
        return s.task(
            (f"last_{s.tail}", f"find_last_{s.tail}"), returns, phrases(random, s.one(f"{lead} last")),
            (lines(f"last = {default}", head, f"    if {s.when(p)}:", f"        last = {s.value}", "return last"),
             lines(f"matches = {s.listed()}", f"return matches[-1] if matches else {default}")),
            "last", note,
        )  # fmt: skip
    n, called = random.choice(((2, "second"), (3, "third")))
    return s.task(
        (f"{called}_{s.tail}", f"find_{called}_{s.tail}"), returns, phrases(random, s.one(f"{lead} {called}")),
        (lines("seen = 0", head, f"    if {s.when(p)}:", "        seen += 1", f"        if seen == {n}:",
               f"            return {s.value}", f"return {default}"),
         lines(f"matches = {s.listed()}", f"return matches[{n - 1}] if len(matches) >= {n} else {default}")),
        "nth", (f"Return {shown} if there are fewer than {n} of them.",),
    )  # fmt: skip


def join(random: Random) -> Task:
    """Values that are strings, joined."""
    s = draw_scene(random, out="str", pred=0.6, attr=0.6, ordered=True)
    if s.domain.kind == "char":
        mark, said = "", "joined into one string"
    else:
        mark, named = random.choice(
            ((" ", "single spaces"), (", ", "a comma and a space"), ("-", "hyphens"), ("", "nothing"), ("|", "'|'"))
        )
        said = f"joined with {named} between them" if mark else "joined into one string"
    if s.pred is None and s.attr is None:
        return join(random)
    name = random.choice(("result", "out", "joined"))
    slow = (
        lines(f'{name} = ""', s.loop(f"{name} += {s.value}"), f"return {name}")
        if not mark
        else lines("parts = []", s.loop(f"parts.append({s.value})"), f'return "{mark}".join(parts)')
    )
    return s.task(
        (f"join_{s.tail}", f"concatenate_{s.tail}", f"{s.tail}_to_string"), "str",
        (f"return {s.values}, {said}", f"return a string of {s.values}, {said}"),
        (slow, f'return "{mark}".join({s.each()})', f'return "{mark}".join([{s.each()}])'),
        "join", (_empty(random, "an empty string"),) if random.random() < 0.3 else (),
    )  # fmt: skip


def slug_words(text: str) -> str:
    """Put underscores between words."""
    return text.replace(" ", "_")


def _empty(random: Random, default: str) -> str:
    return random.choice(
        (f"Return {default} if there are none.", f"If there are none, return {default}.",
         f"The result is {default} if there are none.")
    )  # fmt: skip


def _nothing(random: Random, default: str, singular: str) -> str:
    return random.choice(
        (f"Return {default} if there is none.", f"If there is no such {singular}, return {default}.",
         f"Return {default} if no {singular} fits.")
    )  # fmt: skip


def _loose(expr: str) -> bool:
    return " and " in expr or " or " in expr


QUERIES = ((collect, 5), (total, 6), (count, 4), (test, 3), (find, 5), (join, 2))
