"""Which solutions a normal form is near to: the match rate of two syntax trees, for very many pairs.

The rate of two forms is 1 - d / m, d being their Levenshtein distance over symbols and m the longer one's length. Of
most pairs a bound says that the rate is too low: d is at least what one form has of each symbol beyond what the other
has, on either side. Only the rest are compared in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Levenshtein

_KINDS = 64  # of symbols, for the bound; that several fall together lowers it and keeps it a bound


@dataclass(frozen=True)
class Forms:
    """Forms to compare with, by length.

    Attributes:
        forms: sorted by length.
        numbers: where each stood in what `index_forms` was given.
        lengths: int32 [forms].
        counts: uint16 [forms, kinds], how often each has a symbol of each kind.
    """

    forms: tuple[str, ...]
    numbers: tuple[int, ...]
    lengths: npt.NDArray[np.int32]
    counts: npt.NDArray[np.uint16]

    @property
    def longest(self) -> int:
        """Symbols of the longest."""
        return int(self.lengths[-1]) if len(self.lengths) else 0


def index_forms(forms: Sequence[str]) -> Forms:
    """Prepare forms to be compared with; none may be empty."""
    order = sorted(range(len(forms)), key=lambda number: len(forms[number]))
    counts = np.array([_counts(forms[number]) for number in order], dtype=np.uint16).reshape(len(order), _KINDS)
    lengths = np.array([len(forms[number]) for number in order], dtype=np.int32)
    return Forms(tuple(forms[number] for number in order), tuple(order), lengths, counts)


def match_rate(form: str, other: str) -> float:
    """How much of two forms is the same, from 0 to 1."""
    return float(Levenshtein.normalized_similarity(form, other))


def near(form: str, known: Forms, tau: float) -> list[tuple[int, float]]:
    """The numbers of all forms whose match rate with `form` is at least `tau`, and the rates.

    Args:
        form: not empty.
        known: to compare with.
        tau: above 0.
    """
    length = len(form)
    first = int(np.searchsorted(known.lengths, np.ceil(length * tau - 1e-9), side="left"))
    last = int(np.searchsorted(known.lengths, np.floor(length / tau + 1e-9), side="right"))
    if first >= last:
        return []
    lengths = known.lengths[first:last]
    longer = np.maximum(lengths, length)
    common = np.minimum(known.counts[first:last], _counts(form)).sum(axis=1, dtype=np.int32)
    found = []
    for at in np.flatnonzero(common >= longer * tau - 1e-9):
        other = known.forms[first + int(at)]
        allowed = int(longer[at] * (1 - tau) + 1e-9)
        distance = Levenshtein.distance(form, other, score_cutoff=allowed)
        if distance <= allowed:
            found.append((known.numbers[first + int(at)], 1 - distance / int(longer[at])))
    return found


def _counts(form: str) -> npt.NDArray[np.uint16]:
    symbols = np.frombuffer(form.encode("utf-16-le"), dtype="<u2")
    counts = np.bincount(symbols % _KINDS, minlength=_KINDS)
    return np.minimum(counts, np.iinfo(np.uint16).max).astype(np.uint16)
