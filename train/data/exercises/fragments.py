"""The smallest pieces of meaning: attributes of an item and predicates over it, each as code and as English.

An expression writes `{x}` for the item; of an entry (a pair or a record) it writes `{a}` for its text and
`{b}` for its number. Every piece is total: it has a value for each item that a domain can draw.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from random import Random
from typing import Any

from .task import Param, slug


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
        if isinstance(tree.ops[0], ast.NotIn):
            at = _find(expr, left)
            return expr[:at] + expr[at:].replace(" not in ", " in ", 1)
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


def whose(attr: Attr, owner: str) -> str:
    """Name an attribute of one thing: "the square of n", "the distance of n from 5"."""
    if attr.noun.startswith("half (rounded down)"):
        return f"half of {owner}, rounded down"
    found = re.fullmatch(r"(copy|spelling|form|distance|part|remainder) ((?:with|from|between|modulo).*)", attr.noun)
    if found:
        return f"{'a' if found[1] == 'copy' else 'the'} {found[1]} of {owner} {found[2]}"
    return f"the {attr.noun} of {owner}"


def be(
    expr: str,
    what: str,
    name: str,
    *,
    singular: str = "",
    adjective: str = "",
    params: tuple[Param, ...] = (),
    hints: tuple[Any, ...] = (),
) -> Pred:
    """Make a condition "are `what`", "is `what`" or "is `singular`"."""
    return Pred(expr, f"are {what}", f"is {singular or what}", name, adjective, params, hints)


def do(
    expr: str,
    verb: str,
    what: str,
    name: str,
    *,
    join: tuple[str, str] | None = None,
    params: tuple[Param, ...] = (),
    hints: tuple[Any, ...] = (),
) -> Pred:
    """Make a condition "`verb` `what`", or in the singular what `join` says."""
    singular = f"{join[0]} {join[1]}" if join else f"{verb}s {what}"
    return Pred(expr, f"{verb} {what}", singular, name, "", params, hints)


def entry_parts(text: str, number: str) -> tuple[Attr, Attr]:
    """The two attributes that every entry has, under the names of its domain."""
    return Attr("{a}", text, _plural(text), "str"), Attr("{b}", number, _plural(number), "int")


def fill(expr: str, x: str, a: str = "", b: str = "") -> str:
    """Write the item's names into an expression."""
    return expr.replace("{x}", x).replace("{a}", a).replace("{b}", b)


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
