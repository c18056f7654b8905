"""A source of items with perhaps a condition and an attribute: what every query over items is built from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

from . import derived, domains
from .domains import Domain
from .fragments import Attr, Pred, both, compose, lift, negate, negated
from .numeric import count_preds, number_attrs, number_preds
from .task import Param, Task

ANNOTATION = {"int": "int", "str": "str", "char": "str", "code": "str", "row": "list[int]", "rowcode": "list[int]"}
_SOURCES = [make for make, _ in (*domains.MAKERS, *derived.MAKERS)]
_WEIGHTS = [weight for _, weight in (*domains.MAKERS, *derived.MAKERS)]
_PLAIN = ("square", "cube", "negation", "double")


@dataclass(frozen=True)
class Scene:
    """Items of a domain, those of them that fit `pred`, and what `attr` makes of each."""

    random: Random
    domain: Domain
    pred: Pred | None
    attr: Attr | None

    @property
    def items(self) -> str:
        """ "the even numbers in nums", "the words of text that start with 'a'"."""
        return self.phrase(self.pred)

    def phrase(self, pred: Pred | None, the: str = "the ") -> str:
        """Name the items that fit a condition."""
        d = self.domain
        if pred is None:
            return f"{the}{d.plural} {d.where}"
        if pred.adjective:
            return f"{the}{pred.adjective} {d.plural} {d.where}"
        return f"{the}{d.plural} {d.where} that {pred.plural}"

    def one(self, lead: str) -> str:
        """ "the first number in nums that is even"."""
        d, p = self.domain, self.pred
        return f"{lead} {d.singular} {d.where}" + (f" that {p.singular}" if p else "")

    @property
    def values(self) -> str:
        """ "the squares of the even numbers in nums"."""
        return f"the {self.attr.plural} of {self.items}" if self.attr else self.items

    @property
    def value(self) -> str:
        """The expression of an item's attribute, or the item itself."""
        return self.of(self.attr)

    @property
    def kind(self) -> str:
        """The annotation of `value`."""
        return ANNOTATION[self.attr.out] if self.attr else self.domain.item

    def of(self, attr: Attr | None) -> str:
        """Write an attribute of the loop's item."""
        return self.domain.fill(attr.expr) if attr else self.domain.x

    def when(self, pred: Pred | None) -> str:
        """Write a condition on the loop's item."""
        return self.domain.fill(pred.expr) if pred else "True"

    def each(self, value: str | None = None) -> str:
        """The inside of a comprehension."""
        d = self.domain
        condition = f" if {self.when(self.pred)}" if self.pred else ""
        return f"{self.value if value is None else value} for {d.var} in {d.iterable}{condition}"

    def listed(self, value: str | None = None) -> str:
        """The items or values as an expression for a list, as short as it goes."""
        value = self.value if value is None else value
        if self.pred is None and value == self.domain.x:
            whole = self.domain.iterable
            return whole if self.domain.direct or self.domain.made or whole.startswith("[") else f"list({whole})"
        return f"[{self.each(value)}]"

    def loop(self, *body: str, over: str = "", target: str = "") -> list[str]:
        """A for loop with `body` under the condition."""
        x = self.domain.x
        if body[0] == f"current = {x}" and x.isidentifier():
            body = tuple(re.sub(r"\bcurrent\b", x, line) for line in body[1:])
        head = f"for {target or self.domain.var} in {over or self.domain.iterable}:"
        if self.pred is None:
            return [head, *("    " + line for line in body)]
        if self.random.random() < 0.15:
            return [
                head,
                f"    if {negated(self.when(self.pred))}:",
                "        continue",
                *("    " + line for line in body),
            ]
        return [head, f"    if {self.when(self.pred)}:", *("        " + line for line in body)]

    @property
    def params(self) -> tuple[Param, ...]:
        """The source's parameter and those of the condition."""
        hints = self.pred.hints if self.pred else ()
        return (self.domain.hinted(hints).param, *self.domain.more, *(self.pred.params if self.pred else ()))

    def complete(self, bodies: tuple[str, ...]) -> tuple[str, ...]:
        """Put the assignment that makes the items before each body, where there is one."""
        d = self.domain
        return tuple(f"{d.iterable} = {d.made}\n{body}" for body in bodies) if d.made else bodies

    @property
    def tail(self) -> str:
        """The end of a function name: what the items are and which of them."""
        noun = self.domain.plural.replace(" ", "_")
        name = f"{self.attr.slug}_of_{noun}" if self.attr and self.random.random() < 0.3 else noun
        if self.attr and name == noun:
            name = self.attr.slug
        if self.pred:
            name = f"{self.pred.name}_{name}" if self.pred.adjective else f"{name}_{self.pred.name}"
        return name

    def task(
        self,
        names: tuple[str, ...],
        returns: str,
        says: tuple[str, ...],
        bodies: tuple[str, ...],
        tag: str,
        notes: tuple[str, ...] = (),
        imports: tuple[str, ...] = (),
        more: tuple[Param, ...] = (),
    ) -> Task:
        """Make the task of this scene."""
        return Task(
            names,
            (*self.params, *more),
            returns,
            says,
            self.complete(bodies),
            ("items", self.domain.kind, tag),
            notes,
            imports,
        )


def draw_scene(
    random: Random,
    *,
    out: str = "",
    pred: float = 0.5,
    attr: float = 0.4,
    ordered: bool = False,
    direct: bool = False,
    hashable: bool = False,
    kinds: tuple[str, ...] = ("int", "str", "char", "row", "entry"),
) -> Scene:
    """Draw a domain, with probability `pred` a condition and with `attr` an attribute.

    `out="int"` asks for values that are integers, `out="str"` for strings; an attribute is then drawn
    where the items are not.
    """
    while True:
        domain = random.choices(_SOURCES, _WEIGHTS)[0](random)
        if domain.kind not in kinds or (ordered and not domain.ordered) or (direct and not domain.direct):
            continue
        chosen = draw_pred(random, domain) if random.random() < pred else None
        natural = {"int": "int", "str": "str", "char": "str"}.get(domain.kind, "")
        needed = bool(out) and natural != out
        picked = draw_attr(random, domain, out) if needed or random.random() < attr else None
        if needed and picked is None:
            continue
        if hashable and (picked.out if picked else domain.kind) in ("row", "rowcode"):
            continue
        if hashable and picked is None and domain.item == "dict":
            continue
        return Scene(random, domain, chosen, picked)


def draw_attr(random: Random, domain: Domain, out: str = "") -> Attr | None:
    """Draw an attribute of the domain's items, at times an attribute of an attribute."""
    fitting = [a for a in domain.attrs(random) if not out or a.out == out or (out == "str" and a.out == "code")]
    if not fitting:
        return None
    attr = random.choice(fitting)
    if random.random() < 0.1 and domain.kind in ("str", "row") and attr.out == "int":
        outer = random.choice([a for a in number_attrs(random)[:4] if a.out == "int"])
        return compose(outer, attr)
    return attr


def draw_pred(random: Random, domain: Domain, taken: tuple[str, ...] = ()) -> Pred:
    """Draw a condition: simple, on an attribute, negated, or two joined."""
    used = {
        domain.param.name,
        domain.iterable,
        *(p.name for p in domain.more),
        *domain.var.replace(",", "").split(),
        *taken,
    }
    while True:
        pred = _simple(random, domain)
        parts: tuple[Pred, ...] = ()
        kind = random.random()
        if kind < 0.12 and not pred.adjective:
            pred = negate(pred)
        elif kind < 0.27:
            other = _simple(random, domain)
            if other.name == pred.name or {p.name for p in pred.params} & {p.name for p in other.params}:
                continue
            parts = (pred, other)
            pred = both(random, pred, other)
        if not any(p.name in used for p in pred.params) and _bites(random, domain, pred, parts):
            return pred


def _bites(random: Random, domain: Domain, pred: Pred, parts: tuple[Pred, ...]) -> bool:
    """Tell whether the condition and, if it joins two, each of them makes a difference on drawn items."""
    exprs = ", ".join(f"bool({domain.fill(p.expr)})" for p in (pred, *parts))
    code = compile(f"[({exprs},) for {domain.var} in {domain.made or domain.iterable}]", "<condition>", "eval")
    draw = domain.hinted(pred.hints).param.draw
    seen: set[tuple[bool, ...]] = set()
    for _ in range(10):
        scope = {p.name: p.draw(random) for p in (*pred.params, *domain.more)}
        seen.update(eval(code, {**scope, domain.param.name: draw(random)}))
    columns = list(zip(*sorted(seen), strict=True))
    if not columns or len(set(columns[0])) < 2:
        return False
    return all(column != columns[0] and len(set(column)) == 2 for column in columns[1:])


def _simple(random: Random, domain: Domain) -> Pred:
    if random.random() < 0.15:
        attrs = [a for a in domain.attrs(random) if a.out == "int" and a.noun not in _PLAIN]
        if attrs and domain.kind != "entry":
            attr = random.choice(attrs)
            small = any(w in attr.noun for w in ("count", "length", "digit"))
            return lift(attr, random.choice(count_preds(random) if small else number_preds(random)[:12]))
    return random.choice(domain.preds(random))


def phrases(random: Random, noun_phrase: str) -> tuple[str, ...]:
    """Imperatives for a value: return, compute, find, calculate."""
    verb = random.choice(("compute", "find", "calculate", "determine"))
    return (f"return {noun_phrase}", f"return {noun_phrase}", f"{verb} {noun_phrase}")
