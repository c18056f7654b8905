"""Attributes of and conditions on integers, small counts, and lists of integers."""

from __future__ import annotations

from random import Random

from .fragments import Attr, Pred, be, do
from .task import Param, several, small_int


def number_attrs(random: Random) -> list[Attr]:
    """Attributes of an integer."""
    k, m = random.randint(2, 9), random.choice((3, 4, 5, 7, 10, 12))
    return [
        Attr("{x} ** 2", "square", "squares", "int"),
        Attr("{x} * {x}", "square", "squares", "int"),
        Attr("{x} ** 3", "cube", "cubes", "int"),
        Attr("abs({x})", "absolute value", "absolute values", "int", "abs"),
        Attr("2 * {x}", "double", "doubles", "int"),
        Attr("{x} // 2", "half (rounded down)", "halves (rounded down)", "int", "half"),
        Attr(f"{{x}} % {m}", f"remainder modulo {m}", f"remainders modulo {m}", "int", "remainder"),
        Attr("abs({x}) % 10", "last digit", "last digits", "int"),
        Attr("len(str(abs({x})))", "digit count", "digit counts", "int"),
        Attr("sum(int(d) for d in str(abs({x})))", "digit sum", "digit sums", "int"),
        Attr("max(int(d) for d in str(abs({x})))", "largest digit", "largest digits", "int"),
        Attr(f"abs({{x}} - {k * 5})", f"distance from {k * 5}", f"distances from {k * 5}", "int", "distance"),
        Attr("-{x}", "negation", "negations", "int", "negated"),
        Attr("str({x})", "decimal string", "decimal strings", "str", "string"),
        Attr("bin({x})", "binary representation", "binary representations", "code", "binary"),
        Attr("str(abs({x}))[::-1]", "reversed digits", "reversed digits", "code", "reversed digits"),
    ]


def number_preds(random: Random) -> list[Pred]:
    """Conditions on an integer."""
    k, d = random.randint(3, 9), random.randint(0, 9)
    low, high = random.randint(-5, 10), random.randint(11, 40)
    bound = random.choice((0, 3, 5, 8, 10, 12, 20, 25, 50))
    limit = random.choice(("limit", "threshold", "minimum", "bound", "cutoff"))
    cap = random.choice(("limit", "maximum", "upper", "cap", "ceiling"))
    divisor = random.choice(("divisor", "k", "factor", "m"))
    others = random.choice(("allowed", "others", "lookup", "known"))
    digit = str(d)
    return [
        Pred("{x} % 2 == 0", "are even", "is even", "even", "even"),
        Pred("{x} % 2 != 0", "are odd", "is odd", "odd", "odd"),
        Pred("{x} > 0", "are positive", "is positive", "positive", "positive"),
        Pred("{x} < 0", "are negative", "is negative", "negative", "negative", hints=(-3, -8, -12)),
        be(f"{{x}} % {k} == 0", f"divisible by {k}", f"divisible_by_{k}", hints=(k, 2 * k, 5 * k)),
        be(f"{{x}} > {bound}", f"greater than {bound}", f"above_{bound}", hints=(bound, bound + 1)),
        be(f"{{x}} < {bound}", f"less than {bound}", f"below_{bound}", hints=(bound, bound - 1)),
        be(f"{{x}} >= {bound}", f"at least {bound}", f"at_least_{bound}", hints=(bound, bound + 3)),
        be(f"{{x}} <= {bound}", f"at most {bound}", f"at_most_{bound}", hints=(bound, bound - 3)),
        be(
            f"{low} <= {{x}} <= {high}",
            f"between {low} and {high} inclusive",
            f"between_{abs(low)}_and_{high}" if low >= 0 else "in_range",
            hints=(low, high),
        ),
        be(
            "{x} > 1 and all({x} % d for d in range(2, {x}))",
            "prime",
            "prime",
            adjective="prime",
            hints=(7, 11, 13),
        ),
        be("{x} in (0, 1, 4, 9, 16, 25, 36, 49, 64, 81)", "squares below 100", "square",
            singular="a square below 100", hints=(4, 9, 16)),
        Pred(
            f"abs({{x}}) % 10 == {d}", f"end in the digit {d}", f"ends in the digit {d}", f"ending_in_{d}",
            hints=(d, 10 + d, 30 + d),
        ),
        Pred(
            f'"{digit}" in str({{x}})', f"contain the digit {d}", f"contains the digit {d}",
            f"with_digit_{d}", hints=(d, 10 + d, 100 + d),
        ),
        Pred(
            "len(str(abs({x}))) == 2", "have exactly two digits", "has exactly two digits", "two_digit",
            "two-digit",
        ),
        be(
            "str({x}) == str({x})[::-1]", "the same when their digits are reversed", "palindromic",
            singular="the same when its digits are reversed", hints=(11, 22, 121, 7),
        ),
        be("{x} > 0 and {x} & ({x} - 1) == 0", "powers of two", "power_of_two", singular="a power of two",
            hints=(1, 2, 8, 16)),
        be(f"{{x}} > {limit}", f"greater than {limit}", "above_limit",
            params=(_int(limit, "an integer"),)),
        be(f"{{x}} < {cap}", f"less than {cap}", "below_limit", params=(_int(cap, "an integer"),)),
        be(f"{{x}} % {divisor} == 0", f"divisible by {divisor}", "divisible",
            params=(Param(divisor, "int", lambda r: r.randint(2, 7), "a positive integer"),)),
        be("low <= {x} <= high", "between low and high inclusive", "in_range",
            params=(_int("low", "an integer"),
                    Param("high", "int", lambda r: r.randint(8, 40), "an integer"))),
        be(f"{{x}} in {others}", f"in the list {others}", f"in_{others}",
            params=(Param(others, "list[int]", several(small_int), "a list of integers"),)),
    ]  # fmt: skip


def count_preds(random: Random) -> list[Pred]:
    """Conditions on a small count, such as a length."""
    k = random.randint(2, 5)
    return [
        Pred("{x} % 2 == 0", "are even", "is even", "even", "even"),
        Pred("{x} % 2 != 0", "are odd", "is odd", "odd", "odd"),
        be("{x} % 3 == 0", "divisible by 3", "divisible_by_3"),
        be(f"{{x}} > {k}", f"greater than {k}", f"above_{k}"),
        be(f"{{x}} < {k}", f"less than {k}", f"below_{k}"),
        be(f"{{x}} >= {k}", f"at least {k}", f"at_least_{k}"),
        be(f"{{x}} <= {k}", f"at most {k}", f"at_most_{k}"),
        be(f"{{x}} == {k}", f"equal to {k}", f"equal_to_{k}"),
    ]


def row_attrs(random: Random) -> list[Attr]:
    """Attributes of a list of integers that is not empty."""
    return [
        Attr("len({x})", "length", "lengths", "int"),
        Attr("sum({x})", "sum", "sums", "int"),
        Attr("max({x})", "maximum", "maxima", "int", "max"),
        Attr("min({x})", "minimum", "minima", "int", "min"),
        Attr("{x}[0]", "first element", "first elements", "int", "first"),
        Attr("{x}[-1]", "last element", "last elements", "int", "last"),
        Attr("max({x}) - min({x})", "spread", "spreads", "int"),
        Attr("len(set({x}))", "count of distinct values", "counts of distinct values", "int", "distinct"),
        Attr("sum(v for v in {x} if v > 0)", "sum of the positive values",
             "sums of the positive values", "int", "positive sum"),
        Attr("sum(1 for v in {x} if v % 2 == 0)", "count of even values",
             "counts of even values", "int", "even count"),
        Attr("sorted({x})", "sorted copy", "sorted copies", "rowcode", "sorted"),
        Attr("{x}[::-1]", "reversed copy", "reversed copies", "rowcode", "reversed"),
    ]  # fmt: skip


def row_preds(random: Random) -> list[Pred]:
    """Conditions on a list of integers that is not empty."""
    value = random.choice(("value", "target", "item"))
    n = random.randint(2, 5)
    return [
        do(f"{value} in {{x}}", "contain", value, f"containing_{value}",
            params=(Param(value, "int", lambda r: r.randint(0, 10), "an integer"),)),
        be("{x} == sorted({x})", "sorted in ascending order", "sorted"),
        Pred("len(set({x})) == len({x})", "have no repeated value", "has no repeated value", "distinct"),
        do("any(v < 0 for v in {x})", "contain", "a negative value", "with_negative"),
        do("all(v > 0 for v in {x})", "contain", "only positive values", "all_positive"),
        do("all(v % 2 == 0 for v in {x})", "contain", "only even values", "all_even", hints=([2, 4], [8])),
        Pred(f"len({{x}}) > {n}", f"have more than {n} elements", f"has more than {n} elements",
             f"longer_than_{n}"),
        Pred("{x}[0] == {x}[-1]", "start and end with the same value", "starts and ends with the same value",
             "same_ends", hints=([1, 2, 1], [5])),
        do("0 in {x}", "contain", "a zero", "with_zero"),
    ]  # fmt: skip


def _int(name: str, describe: str) -> Param:
    return Param(name, "int", lambda random: random.randint(-2, 25), describe)
