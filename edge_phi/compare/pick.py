"""Choosing a form by a condition on its figures, such as "first_line_ms<300 and kl<0.02".

A condition is comparisons of a figure with a number, joined by "and" and "or", "and" first, with parentheses. It is
parsed here and never handed to Python.
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..errors import InvalidCall
from ..measure.figures import NotMeasured
from ..measure.report import printable, short
from .forms import Form, Pick

_LONGEST = 300  # characters: keeps parentheses from nesting without end

FIGURES: Mapping[str, Callable[[Form], float | None]] = {
    "file_mb": lambda form: form.figures.file_bytes / 1e6,
    "load_ms": lambda form: form.figures.load_ms,
    "ttft_ms": lambda form: form.figures.ttft_ms,
    "first_line_ms": lambda form: form.first_line.p50_ms if form.first_line else None,
    "first_line_p95_ms": lambda form: form.first_line.p95_ms if form.first_line else None,
    "prefill_tokens_per_s": lambda form: form.figures.prefill_tokens_per_s,
    "decode_tokens_per_s": lambda form: form.figures.decode_tokens_per_s,
    "peak_rss_mb": lambda form: None if form.figures.peak_rss_bytes is None else form.figures.peak_rss_bytes / 1e6,
    "perplexity": lambda form: form.fidelity.perplexity if form.fidelity else None,
    "kl": lambda form: form.fidelity.kl_mean if form.fidelity else None,
    "kl_p99": lambda form: form.fidelity.kl_p99 if form.fidelity else None,
    "top1": lambda form: form.fidelity.top1 if form.fidelity else None,
    "pass_at_1": lambda form: form.passes.pass_at_1 if form.passes else None,
    "gained": lambda form: _count(form.passes.gained) if form.passes else None,
    "lost": lambda form: _count(form.passes.lost) if form.passes else None,
}
_OF_PASSES = ("pass_at_1", "gained", "lost")

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le, ">=": operator.ge, "==": operator.eq, "!=": operator.ne, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
_TOKEN = re.compile(
    r"\s*(?:(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?)|(?P<name>[A-Za-z_]\w*)|(?P<sign><=|>=|==|!=|[<>()]))"
)


class Condition:
    """A condition that was parsed."""

    def __init__(self, text: str) -> None:
        """Parse `text`.

        Raises:
            InvalidCall: it is no condition; says where and why.
        """
        self.text = text
        self._holds = _Parser(text).parse()

    @property
    def needs_passes(self) -> bool:
        """It asks for a figure that only a benchmark gives."""
        return any(name in _OF_PASSES for name in re.findall(r"[A-Za-z_]\w*", self.text))

    def objections(self, form: Form) -> list[str]:
        """What of it `form` does not satisfy; empty if it satisfies it."""
        return self._holds(form)


def pick(condition: Condition, forms: Sequence[Form]) -> Pick:
    """Of the forms that satisfy `condition` the one whose first line is there the soonest, and why."""
    objections = {form.name: condition.objections(form) for form in forms}
    fit = sorted((form for form in forms if not objections[form.name]), key=_wait)
    refused = tuple(NotMeasured(name, "; ".join(reasons)) for name, reasons in objections.items() if reasons)
    if not fit:
        return Pick(condition.text, None, "no form satisfies it", refused)
    best, *others = fit
    if not others:
        return Pick(condition.text, best.name, "the only form that satisfies it", refused)
    rest = ", ".join(f"{form.name} {_said(form)}" for form in others)
    why = f"of {len(fit)} forms that satisfy it, its first line is there the soonest: {_said(best)}, then {rest}"
    return Pick(condition.text, best.name, why, refused)


_Holds = Callable[[Form], "list[str]"]  # what does not hold


@dataclass(frozen=True)
class _Token:
    kind: str  # "number", "name", "sign" or "end"
    text: str
    place: int  # counted from 1


class _Parser:
    """either = all ("or" all)*; all = one ("and" one)*; one = "(" either ")" | name sign number | number sign name."""

    def __init__(self, text: str) -> None:
        self._text = text
        if len(text) > _LONGEST:
            raise InvalidCall(f"--pick: {len(text)} characters: a condition has at most {_LONGEST}")
        self._tokens = self._split()

    def parse(self) -> _Holds:
        holds = self._either()
        if self._tokens[0].kind != "end":
            raise self._wrong(self._tokens[0], "and, or, or the end")
        return holds

    def _split(self) -> list[_Token]:
        tokens, at = [], 0
        text = self._text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                at += len(text[at:]) - len(text[at:].lstrip())
                raise self._wrong(_Token("sign", text[at], at + 1), "a figure, a number or a sign such as <")
            kind = match.lastgroup
            tokens.append(_Token(kind, match[kind], match.start(kind) + 1))
            at = match.end()
        return [*tokens, _Token("end", "", len(text) + 1)]

    def _either(self) -> _Holds:
        parts = [self._all()]
        while self._take("or"):
            parts.append(self._all())

        def holds(form: Form) -> list[str]:
            found = [part(form) for part in parts]
            return [reason for reasons in found for reason in reasons] if all(found) else []

        return holds if len(parts) > 1 else parts[0]

    def _all(self) -> _Holds:
        parts = [self._one()]
        while self._take("and"):
            parts.append(self._one())
        return (lambda form: [reason for part in parts for reason in part(form)]) if len(parts) > 1 else parts[0]

    def _one(self) -> _Holds:
        if self._take("("):
            holds = self._either()
            if not self._take(")"):
                raise self._wrong(self._tokens[0], "a )")
            return holds
        left, sign, right = self._operand(), self._sign(), self._operand()
        if {left.kind, right.kind} != {"name", "number"}:
            raise self._wrong(right, "a figure on one side and a number on the other")
        if left.kind == "number":
            left, right = right, left
            sign = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}.get(sign, sign)
        return _comparison(left.text, sign, float(right.text))

    def _operand(self) -> _Token:
        token = self._tokens[0]
        if token.kind not in ("name", "number") or token.text in ("and", "or"):
            raise self._wrong(token, "a figure or a number")
        if token.kind == "name" and token.text not in FIGURES:
            near = difflib.get_close_matches(token.text, FIGURES, 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(FIGURES)}"
            raise InvalidCall(f"--pick: {token.text[:40]!r} at character {token.place} is no figure: {hint}")
        return self._tokens.pop(0)

    def _sign(self) -> str:
        if self._tokens[0].text not in _OPERATORS:
            raise self._wrong(self._tokens[0], f"one of {' '.join(_OPERATORS)}")
        return self._tokens.pop(0).text

    def _take(self, text: str) -> bool:
        found = self._tokens[0].text == text
        if found:
            self._tokens.pop(0)
        return found

    def _wrong(self, token: _Token, wanted: str) -> InvalidCall:
        what = printable(repr(token.text[:40])) if token.text else "the end"
        return InvalidCall(f"--pick: {what} at character {token.place}: expected {wanted}")


def _comparison(name: str, sign: str, number: float) -> _Holds:
    def holds(form: Form) -> list[str]:
        value = FIGURES[name](form)
        if value is None:
            return [f"{name} is not known"]
        return [] if _OPERATORS[sign](value, number) else [f"{name} is {value:.4g}, not {sign} {number:g}"]

    return holds


def _wait(form: Form) -> float:
    return form.first_line.p50_ms if form.first_line else float("inf")


def _said(form: Form) -> str:
    return f"{short(form.first_line.p50_ms)} ms" if form.first_line else "without a line"


def _count(flips: Sequence[str] | None) -> float | None:
    return None if flips is None else len(flips)
