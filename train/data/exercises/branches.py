"""Rules that are tried in order: if, elif and else over one or two numbers or a string, or over a whole list."""

from __future__ import annotations

from random import Random

from .fragments import Attr, Pred, fill, negate, whose
from .numeric import number_attrs, number_preds
from .task import Param, Task, lines, several, small_int, word
from .textual import text_attrs, text_preds

LABELS = (
    ("low", "medium", "high", "extreme"),
    ("small", "middle", "large", "huge"),
    ("A", "B", "C", "D"),
    ("cold", "mild", "warm", "hot"),
    ("red", "yellow", "green", "blue"),
    ("never", "seldom", "often", "always"),
    ("tiny", "light", "heavy", "massive"),
    ("minimal", "partial", "ample", "maximal"),
    ("first", "second", "third", "fourth"),
    ("bronze", "silver", "gold", "platinum"),
    ("fail", "pass", "good", "excellent"),
)
THINGS = (
    ("score", "grade", 0, 100),
    ("temperature", "describe", -20, 45),
    ("age", "group", 0, 90),
    ("speed", "rate", 0, 160),
    ("weight", "class", 1, 120),
    ("price", "category", 1, 200),
    ("distance", "zone", 0, 60),
    ("points", "rank", 0, 100),
    ("level", "status", 0, 40),
    ("hour", "part", 0, 23),
    ("balance", "status", -50, 100),
)
FORMULAS = (
    ("{a} + {b}", "the sum of {a} and {b}"),
    ("{a} - {b}", "{a} minus {b}"),
    ("{b} - {a}", "{b} minus {a}"),
    ("{a} * {b}", "the product of {a} and {b}"),
    ("2 * {a}", "twice {a}"),
    ("{a} + 2 * {b}", "{a} plus twice {b}"),
    ("{a} ** 2 + {b} ** 2", "the sum of the squares of {a} and {b}"),
    ("max({a}, {b})", "the larger of {a} and {b}"),
    ("{a} * {a} - {b}", "the square of {a} minus {b}"),
    ("({a} + {b}) // 2", "half the sum of {a} and {b}, rounded down"),
    ("abs({a} - {b})", "the distance between {a} and {b}"),
    ("0", "0"),
    ("-1", "-1"),
    ("{a}", "{a}"),
    ("{b}", "{b}"),
    ("3 * {b}", "three times {b}"),
    ("({a} - {b}) ** 2", "the square of the difference of {a} and {b}"),
)
RELATIONS = (
    ("{a} > {b}", "{a} is greater than {b}"), ("{a} == {b}", "{a} equals {b}"), ("{a} < {b}", "{a} is less than {b}"),
    ("{a} % 2 == {b} % 2", "both are even or both are odd"), ("{a} + {b} > {k}", "their sum is greater than {k}"),
    ("{a} * {b} < 0", "exactly one of them is negative and neither is 0"), ("{b} != 0 and {a} % {b} == 0",
     "{b} is not 0 and divides {a}"), ("abs({a} - {b}) <= {m}", "they differ by at most {m}"),
    ("{a} % {m} == 0 and {b} % {m} == 0", "both are divisible by {m}"), ("{a} > 0 and {b} > 0", "both are positive"),
    ("{a} < 0 or {b} < 0", "at least one of them is negative"), ("{a} % 2 == 0", "{a} is even"),
    ("{b} % {m} == 0", "{b} is divisible by {m}"), ("{a} == 2 * {b}", "{a} is twice {b}"),
    ("{a} > {k}", "{a} is greater than {k}"), ("{b} > {k}", "{b} is greater than {k}"),
)  # fmt: skip


def thresholds(random: Random) -> Task:
    """A number sorted into named ranges."""
    thing, verb, low, high = random.choice(THINGS)
    number = random.choice((2, 3, 3))
    fitting = [each for each in LABELS if (each[0] == "cold") == (thing == "temperature")]
    labels = list(random.choice(fitting)[: number + 1])
    step = random.choice((1, 5))
    cuts = sorted(random.sample(range((low + 2) // step + 1, (high - 1) // step), number))
    cuts = [cut * step for cut in cuts]
    strict = random.random() < 0.5
    sign, said = ("<", "less than") if strict else ("<=", "at most")
    falling = random.random() < 0.4
    if falling:
        sign, said = (">", "greater than") if strict else (">=", "at least")
        cuts.reverse()
        labels.reverse()
    rules = [f"'{label}' if {thing} is {said} {cut}" for label, cut in zip(labels, cuts, strict=False)]
    text = f"{', '.join(rules)}, and '{labels[number]}' otherwise"
    chain = []
    for at, cut in enumerate(cuts):
        chain += [f"{'el' if at else ''}if {thing} {sign} {cut}:", f'    return "{labels[at]}"']
    plain = lines(*[line.removeprefix("el") for line in chain], f'return "{labels[number]}"')
    single = " ".join(f'"{labels[at]}" if {thing} {sign} {cut} else' for at, cut in enumerate(cuts))
    listed = ", ".join(f'({cut}, "{labels[at]}")' for at, cut in enumerate(cuts))
    table = lines(f"for bound, label in [{listed}]:", f"    if {thing} {sign} bound:", "        return label",
                  f'return "{labels[number]}"')  # fmt: skip
    param = Param(thing, "int", lambda r: r.randint(low, high), "an integer")
    many = random.random() < 0.35
    if not many:
        return Task(
            (f"{verb}_{thing}", f"{verb}_of_{thing}", f"classify_{thing}", f"{thing}_to_label"),
            (param,), "str",
            (f"return {text}", f"classify {thing}: return {text}"),
            (lines(*chain, "else:", f'    return "{labels[number]}"'), plain, f'return {single} "{labels[number]}"',
             table),
            ("branches", "thresholds"),
        )  # fmt: skip
    names = thing if thing.endswith("s") else f"{thing}s"
    if names == thing:
        return thresholds(random)
    param = Param(names, "list[int]", several(lambda r: r.randint(low, high)), "a list of integers")
    inner = [line.replace("return ", "label = ").replace("    label", "        label") for line in chain]
    inner = [f"    {line}" if not line.startswith("  ") else line for line in inner]
    count = random.random() < 0.5
    add = "counts[label] = counts.get(label, 0) + 1" if count else "labels.append(label)"
    start, end = ("counts = {}", "counts") if count else ("labels = []", "labels")
    result = "a dictionary that says how often each label was given" if count else "the list of labels"
    comprehended = f'[{single} "{labels[number]}" for {thing} in {names}]'
    quick = (
        lines(f"labels = {comprehended}", "return {label: labels.count(label) for label in labels}")
        if count
        else f"return {comprehended}"
    )
    return Task(
        (f"count_{thing}_labels" if count else f"label_{names}", f"{verb}_{names}", f"classify_{names}"),
        (param,), "dict[str, int]" if count else "list[str]",
        (f"give each {thing} in {names} a label: {text}; return {result}",
         f"label every {thing} in {names} with {text}; return {result}"),
        (lines(start, f"for {thing} in {names}:", *inner, "    else:", f'        label = "{labels[number]}"',
               f"    {add}", f"return {end}"), quick),
        ("branches", "labels"),
    )  # fmt: skip


def rules(random: Random) -> Task:
    """Two or three conditions on a value, each with its own result."""
    text = random.random() < 0.35
    name = random.choice(("text", "word", "s", "name") if text else ("n", "number", "x", "value"))
    preds = _distinct_preds(random, text, random.choice((1, 2, 2)))
    values = _values(random, text, len(preds) + 1)
    if len({v.noun for v in values}) < len(values) or name in {p.name for q in preds for p in q.params}:
        return rules(random)
    its = [whose(value, name) if value.noun else f"{name} itself" for value in values]
    shown = [fill(value.expr, name) for value in values]
    tests = [fill(pred.expr, name) for pred in preds]
    said = ", ".join(f"{what} if {name} {p.singular}" for what, p in zip(its, preds, strict=False))
    whole = f"{said}, and {its[-1]} otherwise"
    if len(preds) > 1:
        whole += "; the first rule that fits counts"
    chain: list[str] = []
    for at, test in enumerate(tests):
        chain += [f"{'el' if at else ''}if {test}:", f"    return {shown[at]}"]
    out = "str" if text else values[0].out
    draw = word if text else small_int
    hinted = tuple(h for p in preds for h in p.hints)
    param = Param(name, "str" if text else "int",
                  lambda r: r.choice(hinted) if hinted and r.random() < 0.35 else draw(r),
                  "a string" if text else "an integer")  # fmt: skip
    params = (param, *(p for q in preds for p in q.params))
    single = " ".join(f"{value} if {test} else" for value, test in zip(shown, tests, strict=False)) + f" {shown[-1]}"
    stored = [line.replace("return ", "result = ") for line in chain]
    slugs = [p.name for p in preds]
    return Task(
        (f"{values[0].slug}_if_{slugs[0]}", f"{'_or_'.join(slugs)}_rule", f"apply_{slugs[0]}_rule", "transform",
         f"change_{name}_by_rule"),
        params, "str" if out in ("str", "code") else out,
        (f"return {whole}", f"compute a result from {name} as follows: {whole}"),
        (lines(*chain, "else:", f"    return {shown[-1]}"), lines(*[c.removeprefix("el") for c in chain],
         f"return {shown[-1]}"), f"return {single}",
         lines(*stored, "else:", f"    result = {shown[-1]}", "return result")),
        ("branches", "rules"),
    )  # fmt: skip


def two_numbers(random: Random) -> Task:
    """Conditions on two numbers, each with a formula."""
    a, b = random.choice(
        (("a", "b"), ("x", "y"), ("m", "n"), ("first", "second"), ("width", "height"), ("left", "right"))
    )
    k, m = random.randint(4, 25), random.randint(2, 6)
    number = random.choice((1, 2, 2, 3))
    chosen = random.sample(RELATIONS, number)
    formulas = random.sample(FORMULAS, number + 1)

    def named(text: str) -> str:
        return text.format(a=a, b=b, k=k, m=m)

    parts = [f"{named(said)} if {named(when)}" for (_, said), (_, when) in zip(formulas, chosen, strict=False)]
    whole = f"{', '.join(parts)}, and {named(formulas[-1][1])} otherwise"
    order = "; if more than one of these holds, the first counts" if number > 1 else ""
    chain: list[str] = []
    for at, ((test, _), (value, _)) in enumerate(zip(chosen, formulas, strict=False)):
        chain += [f"{'el' if at else ''}if {named(test)}:", f"    return {named(value)}"]
    last = named(formulas[-1][0])
    if not _reached([named(test) for test, _ in chosen], a, b, random):
        return two_numbers(random)
    single = " ".join(f"{named(v)} if {named(t)} else" for (v, _), (t, _) in zip(formulas, chosen, strict=False))
    params = tuple(Param(n, "int", small_int, "an integer") for n in (a, b))
    return Task(
        ("combine", f"combine_{a}_and_{b}", "compute", "evaluate", "choose_result", f"{a}_{b}_rule"), params, "int",
        (f"return {whole}{order}", f"compute a value from {a} and {b}: {whole}{order}"),
        (lines(*chain, "else:", f"    return {last}"), lines(*[c.removeprefix("el") for c in chain], f"return {last}"),
         f"return {single} {last}",
         lines(*[c.replace("return ", "result = ") for c in chain], "else:", f"    result = {last}", "return result")),
        ("branches", "two numbers"),
    )  # fmt: skip


def _reached(tests: list[str], a: str, b: str, random: Random) -> bool:
    """Tell whether every rule, and none of them, is the first to fit for some of the drawn numbers."""
    hits = [0] * (len(tests) + 1)
    for _ in range(60):
        scope = {a: small_int(random), b: small_int(random)}
        hits[next((at for at, test in enumerate(tests) if eval(test, scope)), len(tests))] += 1
    return min(hits) >= 3


def _distinct_preds(random: Random, text: bool, number: int) -> list[Pred]:
    while True:
        preds = [random.choice(text_preds(random) if text else number_preds(random)) for _ in range(number)]
        if random.random() < 0.15 and not preds[0].adjective:
            preds[0] = negate(preds[0])
        names = [p.name for q in preds for p in q.params]
        if len({p.name for p in preds}) == number and len(set(names)) == len(names):
            return preds


def _values(random: Random, text: bool, number: int) -> list[Attr]:
    out = ("str", "code") if text or random.random() < 0.15 else ("int",)
    pool = [a for a in (text_attrs(random) if text else number_attrs(random)) if a.out in out]
    same = Attr("{x}", "", "", out[0], "itself")
    if text or out == ("int",):
        pool.append(same)
    if len(pool) < number:
        return [same] * number
    return random.sample(pool, number)


QUERIES = ((thresholds, 1.5), (rules, 3), (two_numbers, 3))
