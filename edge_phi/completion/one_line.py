"""Where a completion ends that has code right of it on its line."""

from __future__ import annotations

from .balance import Balance
from .cursor import Cursor
from .verdict import StopRule, Verdict


def one_line(cursor: Cursor, balance: Balance) -> StopRule:
    """End with the line, and before what repeats the code right of the cursor, whatever its spaces.

    It ends only where brackets and strings agree with that code: in `f(|)`, "g(x))" repeats the bracket after "g(x)".
    """
    right = "".join(cursor.right.split())

    def rule(text: str, ended: bool) -> Verdict:
        line, newline, _ = text.partition("\n")
        ended = ended or bool(newline)
        spans, _ = balance.spans(line, balance.signs(line), ended=ended)
        signs = [place for place, character in enumerate(line) if not character.isspace()]
        squeezed = "".join(line[place] for place in signs)
        end = 0  # of the code before the current sign
        for number, place in enumerate(signs):
            if any(span.start <= end <= span.end for span in spans):
                rest = squeezed[number:]
                begun = _inside_word(line, place)
                if rest.startswith(right):
                    last = signs[number + len(right) - 1] + 1
                    # The end of a word is the end of many: it is meant where the line ends with it.
                    if (ended and rest == right) or not (begun or _may_go_on(line, last, ended=ended)):
                        return Verdict(end, stop=True)
                if right.startswith(rest) and not (ended and (begun or _inside_word(right, len(rest)))):
                    return Verdict(end, bool(newline))
            end = place + 1
        return Verdict(spans[-1].end if spans else 0, bool(newline))

    return rule


def space_before(cursor: Cursor, text: str, end: int) -> int:
    """`end`, or beyond the spaces there if they part the completion from the code right of the cursor."""
    if cursor.after[:1].isspace() or cursor.after[:1] in _CLOSE_UP:
        return end
    rest = text[end:]
    return end + len(rest) - len(rest.lstrip(" \t"))


_CLOSE_UP = tuple(")]},:;.")


def _may_go_on(line: str, at: int, *, ended: bool) -> bool:
    """Whether a word that ends at `at` goes on there, or yet may."""
    return _inside_word(line, at) or (at == len(line) and not ended and (line[-1].isalnum() or line[-1] == "_"))


def _inside_word(text: str, at: int) -> bool:
    return 0 < at < len(text) and all(sign.isalnum() or sign == "_" for sign in text[at - 1 : at + 1])
