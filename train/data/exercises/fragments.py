"""The smallest pieces of meaning: attributes of an item and predicates over it, each as code and as English.

An expression writes `{x}` for the item; of an entry (a pair or a record) it writes `{a}` for its text and
`{b}` for its number. Every piece is total: it has a value for each item that a domain can draw.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from random import Random
from typing import Any

from .task import WORDS, Param, several, slug, small_int

VOWELS = '"aeiou"'


@dataclass(frozen=True)
class Attr:
    """A function of an item: `noun` as in "the square of each number", `out` the kind of its value."""

    expr: str
    noun: str
    plural: str
    out: str
    short: str = ""

    @property
    def slug(self) -> str:
        """The piece of a function name for it."""
        return slug(self.short or self.noun)


@dataclass(frozen=True)
class Pred:
    """A condition on an item: "numbers that `plural`", "a number that `singular`"."""

    expr: str
    plural: str
    singular: str
    name: str
    adjective: str = ""
    params: tuple[Param, ...] = ()
    hints: tuple[Any, ...] = ()


def negate(pred: Pred) -> Pred:
    """Return the opposite condition."""
    return Pred(
        negated(pred.expr),
        _not(pred.plural, "are", "do"),
        _not(pred.singular, "is", "does"),
        f"not_{pred.name}",
        params=pred.params,
        hints=pred.hints,
    )


def both(random: Random, first: Pred, second: Pred) -> Pred:
    """Join two conditions with `and` or `or`."""
    word_ = random.choice(("and", "and", "or"))
    left, right = first.expr, second.expr
    if word_ == "and":
        left, right = (f"({e})" if _is(e, ast.BoolOp) and " or " in e else e for e in (left, right))
    return Pred(
        f"{left} {word_} {right}",
        f"{first.plural} {word_} {second.plural}",
        f"{first.singular} {word_} {second.singular}",
        f"{first.name}_{word_}_{second.name}",
        params=first.params + second.params,
        hints=first.hints + second.hints,
    )


def lift(attr: Attr, pred: Pred) -> Pred:
    """Turn a condition on the attribute into one on the item: "have a length that is even"."""
    article = "an" if attr.noun[0] in "aeiou" else "a"
    said = pred.singular.removeprefix("is ")
    if pred.adjective:
        has = f"{'an' if pred.adjective[0] in 'aeiou' else 'a'} {pred.adjective} {attr.noun}"
    elif pred.singular.startswith(("is at least", "is at most")):
        has = f"{article} {attr.noun} of {said}"
    elif pred.singular.startswith(("is greater", "is less", "is between", "is divisible", "is equal")):
        has = f"{article} {attr.noun} {said}"
    else:
        has = f"{article} {attr.noun} that {pred.singular}"
    return Pred(
        pred.expr.replace("{x}", wrapped(attr.expr)),
        f"have {has}",
        f"has {has}",
        f"{attr.slug}_{pred.name}",
        params=pred.params,
    )


def compose(outer: Attr, inner: Attr) -> Attr:
    """Apply one attribute after another: the square of the length."""
    return Attr(
        outer.expr.replace("{x}", wrapped(inner.expr)),
        f"{outer.noun} of the {inner.noun}",
        f"{outer.plural} of the {inner.plural}",
        outer.out,
        f"{inner.slug} {outer.slug}",
    )


def negated(expr: str) -> str:
    """Negate an expression the way people write it: `x != 3`, `not x`."""
    swap = {"==": "!=", "!=": "==", ">": "<=", "<": ">=", ">=": "<", "<=": ">"}
    tree = ast.parse(_plain(expr), mode="eval").body
    if isinstance(tree, ast.Compare) and len(tree.ops) == 1:
        left = ast.get_source_segment(_plain(expr), tree.left) or ""
        if isinstance(tree.ops[0], ast.In):
            at = _find(expr, left)
            return expr[:at] + expr[at:].replace(" in ", " not in ", 1)
        at = _find(expr, left)
        for sign in sorted(swap, key=len, reverse=True):
            if expr[at:].lstrip(") ").startswith(f"{sign} "):
                return expr[:at] + expr[at:].replace(f"{sign} ", f"{swap[sign]} ", 1)
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not):
        return expr.removeprefix("not ")
    return f"not {expr}" if not _is(expr, ast.BoolOp) else f"not ({expr})"


def wrapped(expr: str) -> str:
    """Put parentheses around an expression unless it is a name, a call, an index or a literal."""
    tree = ast.parse(_plain(expr), mode="eval").body
    simple = (ast.Name, ast.Call, ast.Subscript, ast.Constant, ast.Attribute, ast.Tuple, ast.ListComp)
    return expr if isinstance(tree, simple) else f"({expr})"


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
        _be(f"{{x}} % {k} == 0", f"divisible by {k}", f"divisible_by_{k}", hints=(k, 2 * k, 5 * k)),
        _be(f"{{x}} > {bound}", f"greater than {bound}", f"above_{bound}", hints=(bound, bound + 1)),
        _be(f"{{x}} < {bound}", f"less than {bound}", f"below_{bound}", hints=(bound, bound - 1)),
        _be(f"{{x}} >= {bound}", f"at least {bound}", f"at_least_{bound}", hints=(bound, bound + 3)),
        _be(f"{{x}} <= {bound}", f"at most {bound}", f"at_most_{bound}", hints=(bound, bound - 3)),
        _be(
            f"{low} <= {{x}} <= {high}",
            f"between {low} and {high} inclusive",
            f"between_{abs(low)}_and_{high}" if low >= 0 else "in_range",
            hints=(low, high),
        ),
        _be(
            "{x} > 1 and all({x} % d for d in range(2, {x}))",
            "prime",
            "prime",
            adjective="prime",
            hints=(7, 11, 13),
        ),
        _be("{x} in (0, 1, 4, 9, 16, 25, 36, 49, 64, 81)", "squares below 100", "square",
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
        _be(
            "str({x}) == str({x})[::-1]", "the same when their digits are reversed", "palindromic",
            singular="the same when its digits are reversed", hints=(11, 22, 121, 7),
        ),
        _be("{x} > 0 and {x} & ({x} - 1) == 0", "powers of two", "power_of_two", singular="a power of two",
            hints=(1, 2, 8, 16)),
        _be(f"{{x}} > {limit}", f"greater than {limit}", "above_limit",
            params=(_int(limit, "an integer"),)),
        _be(f"{{x}} < {cap}", f"less than {cap}", "below_limit", params=(_int(cap, "an integer"),)),
        _be(f"{{x}} % {divisor} == 0", f"divisible by {divisor}", "divisible",
            params=(Param(divisor, "int", lambda r: r.randint(2, 7), "a positive integer"),)),
        _be("low <= {x} <= high", "between low and high inclusive", "in_range",
            params=(_int("low", "an integer"),
                    Param("high", "int", lambda r: r.randint(8, 40), "an integer"))),
        _be(f"{{x}} in {others}", f"in the list {others}", f"in_{others}",
            params=(Param(others, "list[int]", several(small_int), "a list of integers"),)),
    ]  # fmt: skip


def count_preds(random: Random) -> list[Pred]:
    """Conditions on a small count, such as a length."""
    k = random.randint(2, 5)
    return [
        Pred("{x} % 2 == 0", "are even", "is even", "even", "even"),
        Pred("{x} % 2 != 0", "are odd", "is odd", "odd", "odd"),
        _be("{x} % 3 == 0", "divisible by 3", "divisible_by_3"),
        _be(f"{{x}} > {k}", f"greater than {k}", f"above_{k}"),
        _be(f"{{x}} < {k}", f"less than {k}", f"below_{k}"),
        _be(f"{{x}} >= {k}", f"at least {k}", f"at_least_{k}"),
        _be(f"{{x}} <= {k}", f"at most {k}", f"at_most_{k}"),
        _be(f"{{x}} == {k}", f"equal to {k}", f"equal_to_{k}"),
    ]


def text_attrs(random: Random) -> list[Attr]:
    """Attributes of a word; the word may be empty."""
    letter = random.choice("aeiorst")
    return [
        Attr("len({x})", "length", "lengths", "int"),
        Attr("{x}.upper()", "upper-case form", "upper-case forms", "str", "upper"),
        Attr("{x}.lower()", "lower-case form", "lower-case forms", "str", "lower"),
        Attr("{x}[::-1]", "reversal", "reversals", "str", "reversed"),
        Attr("{x}[:1]", "first character", "first characters", "str", "first letter"),
        Attr("{x}[-1:]", "last character", "last characters", "str", "last letter"),
        Attr("{x}[:3]", "prefix of three characters", "prefixes of three characters", "str", "prefix"),
        Attr("{x}[1:-1]", "part between the first and last characters",
             "parts between the first and last characters", "code", "middle"),
        Attr(f"sum(c in {VOWELS} for c in {{x}}.lower())", "vowel count", "vowel counts", "int"),
        Attr("len(set({x}))", "count of distinct characters", "counts of distinct characters", "int",
             "distinct letters"),
        Attr(f'{{x}}.count("{letter}")', f"count of the letter '{letter}'",
             f"counts of the letter '{letter}'", "int", f"count of {letter}"),
        Attr('"".join(sorted({x}))', "sorted string of characters", "sorted strings of characters", "code",
             "sorted letters"),
        Attr('"".join(c for c in {x} if c.lower() not in "aeiou")', "spelling without vowels",
             "spellings without vowels", "code", "without vowels"),
        Attr(f'{{x}}.replace("{letter}", "*")', f"copy with every '{letter}' replaced by '*'",
             f"copies with every '{letter}' replaced by '*'", "code", "masked"),
    ]  # fmt: skip


def text_preds(random: Random) -> list[Pred]:
    """Conditions on a word; the word may be empty."""
    a, k = random.choice("abcdefglmnoprst"), random.randint(3, 6)
    part = random.choice(("an", "er", "in", "on", "ea", "or", "st"))
    some = tuple(w for w in WORDS if a in w)
    first = tuple(w for w in WORDS if w[0] == a) or (a,)
    last = tuple(w for w in WORDS if w[-1] == a) or (a,)
    letter = random.choice(("letter", "char", "c", "first"))
    one = Param(letter, "str", lambda r: r.choice("abcmprst"), "a single character")
    limit = random.choice(("limit", "size", "n", "length"))
    size = Param(limit, "int", lambda r: r.randint(2, 6), "an integer")
    banned = random.choice(("banned", "stopwords", "ignored", "known"))
    pool = Param(banned, "list[str]", several(lambda r: r.choice(WORDS[:25])), "a list of strings")
    prefix = Param("prefix", "str", lambda r: r.choice(WORDS)[: r.randint(1, 2)], "a string")
    suffix = Param("suffix", "str", lambda r: r.choice(WORDS)[-r.randint(1, 2) :], "a string")
    vowels = '("a", "e", "i", "o", "u")'
    return [
        _do(f'{{x}}.startswith("{a}")', "start", f"with '{a}'", f"starting_with_{a}", hints=first[:5]),
        _do(f'{{x}}.endswith("{a}")', "end", f"with '{a}'", f"ending_with_{a}", hints=last[:5]),
        _do(f'"{a}" in {{x}}', "contain", f"the letter '{a}'", f"containing_{a}", hints=some[:5]),
        _do(f'"{part}" in {{x}}', "contain", f"'{part}'", f"containing_{part}",
            hints=tuple(w for w in WORDS if part in w)[:5]),
        _do(f"{{x}}.lower().startswith({vowels})", "start", "with a vowel", "starting_with_vowel",
            hints=("apple", "Open", "up")),
        _do(f"{{x}}.lower().endswith({vowels})", "end", "with a vowel", "ending_with_vowel"),
        _do(f"{{x}}[:1].lower() in {VOWELS} and {{x}} != \"\"", "begin", "with a vowel",
            "beginning_with_vowel", hints=("apple", "Open", "up")),
        Pred(f"len({{x}}) > {k}", f"have more than {k} characters", f"has more than {k} characters",
             f"longer_than_{k}"),
        Pred(f"len({{x}}) < {k}", f"have fewer than {k} characters", f"has fewer than {k} characters",
             f"shorter_than_{k}"),
        Pred(f"len({{x}}) == {k}", f"have exactly {k} characters", f"has exactly {k} characters",
             f"of_length_{k}"),
        Pred("len({x}) % 2 == 0", "have an even length", "has an even length", "even_length"),
        _be("{x} == {x}[::-1]", "palindromes", "palindromes", singular="a palindrome",
            hints=("level", "noon", "eye", "mom")),
        Pred("{x}[:1].isupper()", "start with an upper-case letter", "starts with an upper-case letter",
             "capitalized", "capitalized"),
        Pred("{x}.isupper()", "are written in upper case", "is written in upper case", "upper", hints=("OK",)),
        _do("{x}.isalpha()", "consist", "of at least one letter and nothing else", "alphabetic"),
        _do("{x}.isdigit()", "consist", "of at least one digit and nothing else", "numeric",
            hints=("12", "7", "305")),
        _do('{x} != "" and {x}[0] == {x}[-1]', "start", "and end with the same character",
            "same_ends", hints=("level", "eye", "area"), join=("starts", "and ends with the same character")),
        Pred("len(set({x})) == len({x})", "have no repeated character", "has no repeated character",
             "all_distinct"),
        Pred("len(set({x})) < len({x})", "have a repeated character", "has a repeated character",
             "with_repeats"),
        Pred(f"not any(c in {VOWELS} for c in {{x}}.lower())", "contain no vowel", "contains no vowel",
             "without_vowels", hints=("rhythm", "sky", "xyz")),
        Pred("list({x}) == sorted({x})", "have their characters in sorted order",
             "has its characters in sorted order", "sorted_letters", hints=("at", "is", "door")),
        Pred(f'{{x}} < "{a}"', f"come before '{a}' in string order", f"comes before '{a}' in string order",
             f"before_{a}"),
        _do(f"{{x}}.startswith({letter})", "start", f"with {letter}", "starting_with", params=(one,)),
        _do(f"{letter} in {{x}}", "contain", f"the character {letter}", "containing_letter", params=(one,)),
        _be(f"len({{x}}) > {limit}", f"longer than {limit}", "longer_than", params=(size,)),
        Pred(f"len({{x}}) <= {limit}", f"have at most {limit} characters", f"has at most {limit} characters",
             "up_to_length", params=(size,)),
        _be(f"{{x}} in {banned}", f"in the list {banned}", f"in_{banned}", params=(pool,), hints=WORDS[:25]),
        _be(f"{{x}} not in {banned}", f"missing from {banned}", f"not_in_{banned}", params=(pool,), hints=WORDS[:25]),
        _do("{x}.startswith(prefix)", "start", "with prefix", "with_prefix", params=(prefix,)),
        _do("{x}.endswith(suffix)", "end", "with suffix", "with_suffix", params=(suffix,)),
    ]  # fmt: skip


def char_attrs(random: Random) -> list[Attr]:
    """Attributes of a character."""
    return [
        Attr("{x}.upper()", "upper-case form", "upper-case forms", "str", "upper"),
        Attr("{x}.lower()", "lower-case form", "lower-case forms", "str", "lower"),
        Attr("{x}.swapcase()", "form with the case swapped", "forms with the case swapped", "str", "swapcase"),
        Attr("ord({x})", "code point", "code points", "int"),
        Attr("{x} * 2", "doubling", "doublings", "str", "doubled"),
    ]


def char_preds(random: Random) -> list[Pred]:
    """Conditions on a character."""
    a = random.choice("aeiostr")
    other = random.choice(("other", "alphabet", "allowed", "chars"))
    text = Param(other, "str", lambda r: "".join(r.sample("abcdeghilmnoprstu", r.randint(1, 7))), "a string")
    return [
        _be(f"{{x}}.lower() in {VOWELS}", "vowels", "vowel", singular="a vowel"),
        _be(f"{{x}} in {VOWELS}", "lower-case vowels", "lower_vowel", singular="a lower-case vowel"),
        _be(f"{{x}}.isalpha() and {{x}}.lower() not in {VOWELS}", "consonants", "consonant",
            singular="a consonant"),
        _be("{x}.isdigit()", "digits", "digit", singular="a digit"),
        _be("{x}.isalpha()", "letters", "letter", singular="a letter"),
        _be("{x}.isupper()", "upper-case letters", "upper", singular="an upper-case letter"),
        _be("{x}.islower()", "lower-case letters", "lower", singular="a lower-case letter"),
        _be("{x}.isalnum()", "letters or digits", "alphanumeric", singular="a letter or digit"),
        _be('{x} == " "', "spaces", "space", singular="a space"),
        _be(f'{{x}} == "{a}"', f"equal to '{a}'", f"equal_to_{a}"),
        _be(f'{{x}} in "{a}{a.upper()}"', f"'{a}' or '{a.upper()}'", f"is_{a}"),
        _be(f"{{x}} in {other}", f"in {other}", f"in_{other}", params=(text,)),
        _be(f"{{x}} not in {other}", f"missing from {other}", f"not_in_{other}", params=(text,)),
    ]  # fmt: skip


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
        _do(f"{value} in {{x}}", "contain", value, f"containing_{value}",
            params=(Param(value, "int", lambda r: r.randint(0, 10), "an integer"),)),
        _be("{x} == sorted({x})", "sorted in ascending order", "sorted"),
        Pred("len(set({x})) == len({x})", "have no repeated value", "has no repeated value", "distinct"),
        _do("any(v < 0 for v in {x})", "contain", "a negative value", "with_negative"),
        _do("all(v > 0 for v in {x})", "contain", "only positive values", "all_positive"),
        _do("all(v % 2 == 0 for v in {x})", "contain", "only even values", "all_even", hints=([2, 4], [8])),
        Pred(f"len({{x}}) > {n}", f"have more than {n} elements", f"has more than {n} elements",
             f"longer_than_{n}"),
        Pred("{x}[0] == {x}[-1]", "start and end with the same value", "starts and ends with the same value",
             "same_ends", hints=([1, 2, 1], [5])),
        _do("0 in {x}", "contain", "a zero", "with_zero"),
    ]  # fmt: skip


def entry_parts(text: str, number: str) -> tuple[Attr, Attr]:
    """The two attributes that every entry has, under the names of its domain."""
    return Attr("{a}", text, _plural(text), "str"), Attr("{b}", number, _plural(number), "int")


def fill(expr: str, x: str, a: str = "", b: str = "") -> str:
    """Write the item's names into an expression."""
    return expr.replace("{x}", x).replace("{a}", a).replace("{b}", b)


def _be(
    expr: str,
    what: str,
    name: str,
    *,
    singular: str = "",
    adjective: str = "",
    params: tuple[Param, ...] = (),
    hints: tuple[Any, ...] = (),
) -> Pred:
    return Pred(expr, f"are {what}", f"is {singular or what}", name, adjective, params, hints)


def _do(
    expr: str,
    verb: str,
    what: str,
    name: str,
    *,
    join: tuple[str, str] | None = None,
    params: tuple[Param, ...] = (),
    hints: tuple[Any, ...] = (),
) -> Pred:
    singular = f"{join[0]} {join[1]}" if join else f"{verb}s {what}"
    return Pred(expr, f"{verb} {what}", singular, name, "", params, hints)


def _int(name: str, describe: str) -> Param:
    return Param(name, "int", lambda random: random.randint(-2, 25), describe)


def _not(phrase: str, be: str, do: str) -> str:
    verb, _, rest = phrase.partition(" ")
    if verb == be:
        return f"{be} not {rest}"
    base = {"has": "have"}.get(verb, verb.removesuffix("s") if do == "does" else verb)
    return f"{do} not {base} {rest}"


def _plural(noun: str) -> str:
    return noun[:-1] + "ies" if noun.endswith("y") else noun + "s"


def _plain(expr: str) -> str:
    return expr.replace("{", "_").replace("}", "_") if "{x}" in expr or "{a}" in expr or "{b}" in expr else expr


def _is(expr: str, kind: type[ast.AST]) -> bool:
    return isinstance(ast.parse(_plain(expr), mode="eval").body, kind)


def _find(expr: str, left: str) -> int:
    return len(left) if _plain(expr).startswith(left) else 0
