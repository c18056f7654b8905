"""Several results at once: tuples and dictionaries of sums, counts and extremes, values combined with one another."""

from __future__ import annotations

from random import Random

from .fragments import wrapped
from .scene import draw_scene
from .task import Task, lines, listed

_PARTS = (
    ("count", "how many there are", "len(chosen)", "count = 0", "count += 1"),
    ("total", "their sum", "sum(chosen)", "total = 0", "total += {v}"),
    (
        "largest",
        "the largest (0 if there are none)",
        "max(chosen, default=0)",
        "largest = None",
        "largest = {v} if largest is None or {v} > largest else largest",
    ),
    (
        "smallest",
        "the smallest (0 if there are none)",
        "min(chosen, default=0)",
        "smallest = None",
        "smallest = {v} if smallest is None or {v} < smallest else smallest",
    ),
    ("distinct", "how many different ones there are", "len(set(chosen))", "", ""),
    ("first", "the first of them (None if there are none)", "chosen[0] if chosen else None", "", ""),
    (
        "last",
        "the last of them (None if there are none)",
        "chosen[-1] if chosen else None",
        "last = None",
        "last = {v}",
    ),
    (
        "evens",
        "how many of them are even",
        "sum(1 for v in chosen if v % 2 == 0)",
        "evens = 0",
        "evens += {v} % 2 == 0",
    ),
    (
        "negatives",
        "how many of them are negative",
        "sum(1 for v in chosen if v < 0)",
        "negatives = 0",
        "negatives += {v} < 0",
    ),
    ("product", "their product", "math.prod(chosen)", "product = 1", "product *= {v}"),
)
_COMBINED = (
    ("sum(chosen) - len(chosen)", "their sum minus their number", "sum_minus_count"),
    (
        "max(chosen, default=0) * len(chosen)",
        "the largest of them (0 if there are none) times their number",
        "max_times_count",
    ),
    (
        "sum(chosen) % (len(chosen) + 1)",
        "the remainder of their sum divided by one more than their number",
        "sum_mod_count",
    ),
    (
        "max(chosen, default=0) + min(chosen, default=0)",
        "the sum of the largest and the smallest of them (0 if there are none)",
        "sum_of_extremes",
    ),
    (
        "sum(chosen) * 2 - max(chosen, default=0)",
        "twice their sum minus the largest of them (0 if there are none)",
        "adjusted_sum",
    ),
    (
        "sum(chosen[::2]) - len(chosen)",
        "the sum of every second of them, from the first on, minus their number",
        "half_sum",
    ),
    (
        "sum(1 for v in chosen if v * len(chosen) > sum(chosen))",
        "how many of them are greater than their average",
        "above_average",
    ),
    ("sum(1 for v in chosen if v == max(chosen))", "how often the largest of them occurs", "count_of_largest"),
    (
        "sum(1 for a, b in zip(chosen, chosen[1:]) if a != b)",
        "how often one of them differs from the one before it",
        "changes",
    ),
    (
        "sum(v * i for i, v in enumerate(chosen))",
        "the sum of each of them times its position among them, counted from 0",
        "weighted_sum",
    ),
    (
        "sorted(chosen)[len(chosen) // 2] if chosen else 0",
        "the one in the middle of their ascending order, the upper one of two, or 0 if there are none",
        "middle",
    ),
    (
        "sorted(set(chosen))[-2] if len(set(chosen)) > 1 else 0",
        "the second largest of their distinct values, or 0 if there are not two",
        "second_largest",
    ),
    (
        "sorted(set(chosen))[1] if len(set(chosen)) > 1 else 0",
        "the second smallest of their distinct values, or 0 if there are not two",
        "second_smallest",
    ),
    ("sum(sorted(chosen)[:2])", "the sum of the two smallest of them, or of all if there are fewer", "two_smallest"),
    ("sum(sorted(chosen)[-3:])", "the sum of the three largest of them, or of all if there are fewer", "three_largest"),
    (
        "sum(v for v in chosen if chosen.count(v) == 1)",
        "the sum of those of them that occur only once",
        "sum_of_single",
    ),
    ("sum(set(chosen))", "the sum of their distinct values", "sum_of_distinct"),
)


def summary(random: Random) -> Task:
    """Two or three aggregates of the same values, as a tuple or a dictionary."""
    s = draw_scene(random, out="int", pred=0.6, attr=0.5, ordered=True)
    parts = random.sample(_PARTS, random.choice((2, 2, 3)))
    names = [name for name, *_ in parts]
    if {*names, "chosen"} & {*s.domain.var.replace(",", "").split(), *(p.name for p in s.params)}:
        return summary(random)
    shape = random.choice(("tuple", "tuple", "dict", "list"))
    quick = [expr for _, _, expr, _, _ in parts]
    said = listed([what for _, what, *_ in parts])
    head = f"chosen = {s.listed()}"
    bodies = [lines(head, f"return {_shape(shape, names, quick)}"),
              lines(head, *[f"{n} = {e}" for n, e in zip(names, quick, strict=True)],
                    f"return {_shape(shape, names, names)}")]  # fmt: skip
    if all(start for *_, start, _ in parts) and shape != "list":
        v = wrapped(s.value)
        ends = [f"{n} or 0" if n in ("largest", "smallest") else n for n in names]
        bodies.append(lines(*[start for *_, start, _ in parts],
                            s.loop(*[step.replace("{v}", v) for *_, step in parts]),
                            f"return {_shape(shape, names, ends)}"))  # fmt: skip
    keys = f" with the keys {listed([repr(n) for n in names])}" if shape == "dict" else ""
    any_none = any(n in ("first", "last") for n in names)
    inner = "Optional[int]" if any_none else "int"
    returns = {"tuple": f"tuple[{', '.join([inner] * len(names))}]", "list": f"list[{inner}]",
               "dict": f"dict[str, {inner}]"}[shape]  # fmt: skip
    return s.task(
        (
            f"{'_and_'.join(names)}",
            f"summary_of_{s.tail}",
            f"summarize_{s.tail}",
            f"{names[0]}_and_{names[1]}_of_{s.tail}",
        ),
        returns,
        (
            f"return a {_called(shape)}{keys} that says this of {s.values}: {said}",
            f"look at {s.values} and return, as a {_called(shape)}{keys}: {said}",
        ),
        tuple(bodies),
        "summary",
        imports=("import math",),
    )


def combined(random: Random) -> Task:
    """One number made of several aggregates of the same values."""
    s = draw_scene(random, out="int", pred=0.5, attr=0.5, ordered=True)
    expr, said, slug = random.choice(_COMBINED)
    names = {*s.domain.var.replace(",", "").split(), *(p.name for p in s.params)}
    local = random.choice(("chosen", "selected", "found", "picked"))
    if {local, "v", "i", "a", "b"} & names:
        return combined(random)
    code = expr.replace("chosen", local)
    return s.task(
        (f"{slug}_of_{s.tail}", slug, f"{s.tail}_{slug}"), "int",
        (f"take {s.values} and return {said}", f"look at {s.values}; return {said}",
         f"consider {s.values} and return {said}"),
        (lines(f"{local} = {s.listed()}", f"return {code}"),
         lines(f"{local} = []", s.loop(f"{local}.append({s.value})"), f"return {code}")),
        "combined",
    )  # fmt: skip


def _called(shape: str) -> str:
    return {"dict": "dictionary"}.get(shape, shape)


def _shape(shape: str, names: list[str], values: list[str]) -> str:
    if shape == "dict":
        return "{" + ", ".join(f'"{n}": {v}' for n, v in zip(names, values, strict=True)) + "}"
    inside = ", ".join(values)
    return f"[{inside}]" if shape == "list" else f"({inside})"


QUERIES = ((summary, 3), (combined, 4))
