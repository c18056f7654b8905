"""What a rule says about the text of a completion that is still growing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Verdict(NamedTuple):
    """Characters of the text that stay, and whether the completion ends after them."""

    end: int
    stop: bool = False
    instead: str = ""  # the completion, if it ends here and nothing of the text stays


class Exact(Verdict):
    """A verdict that means the white space at its end."""


# Called with the text so far and whether it ended there; then nothing is held back in hope.
StopRule = Callable[[str, bool], Verdict]


def judge(rules: Sequence[StopRule], text: str, *, ended: bool) -> Verdict:
    """What all rules together say: the earliest stop, else the least that any rule is sure of.

    White space at the end is never sure, unless a rule says so: with rules, a completion ends in code.
    """
    if not rules:
        return Verdict(len(text))
    verdicts = [rule(text, ended) for rule in rules]
    stops = [verdict for verdict in verdicts if verdict.stop]
    least = min(stops or verdicts, key=lambda verdict: verdict.end)
    instead = next((verdict.instead for verdict in verdicts if verdict.instead), "")
    return least if isinstance(least, Exact) else Verdict(len(text[: least.end].rstrip()), bool(stops), instead)
