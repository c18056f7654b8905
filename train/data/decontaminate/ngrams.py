"""Thirteen words in a row that a document shares with a benchmark (section 5 of "Textbooks Are All You Need")."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from .references import Reference

WORDS = 13
_WORD = re.compile(r"\w+")


def benchmark_ngrams(references: Iterable[Reference]) -> dict[str, tuple[str, ...]]:
    """Every 13 lower-case words in a row of the problems' texts and solutions, with the ids of those that have them.

    The words themselves are the keys: nothing depends on a hash.
    """
    found: dict[str, tuple[str, ...]] = {}
    for reference in references:
        for text in reference.texts:
            for ngram in _ngrams(words(text)):
                known = found.get(ngram, ())
                if reference.task_id not in known:
                    found[ngram] = (*known, reference.task_id)
    return found


def shared_problems(text: str, ngrams: Mapping[str, tuple[str, ...]], vocabulary: frozenset[str]) -> dict[str, str]:
    """The problems that a text shares 13 words in a row with, each with the first of these.

    Args:
        text: of a document.
        ngrams: see `benchmark_ngrams`.
        vocabulary: all their words, see `vocabulary_of`: only runs of these are looked up.
    """
    found: dict[str, str] = {}
    run: list[str] = []
    for word in words(text):
        if word in vocabulary:
            run.append(word)
            continue
        if len(run) >= WORDS:
            _look_up(run, ngrams, found)
        run = []
    if len(run) >= WORDS:
        _look_up(run, ngrams, found)
    return found


def vocabulary_of(ngrams: Iterable[str]) -> frozenset[str]:
    """Every word of some n-grams."""
    return frozenset(word for ngram in ngrams for word in ngram.split(" "))


def words(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return _WORD.findall(text.lower())


def _look_up(run: list[str], ngrams: Mapping[str, tuple[str, ...]], found: dict[str, str]) -> None:
    for ngram in _ngrams(run):
        for task_id in ngrams.get(ngram, ()):
            found.setdefault(task_id, ngram)


def _ngrams(run: list[str]) -> Iterator[str]:
    for start in range(len(run) - WORDS + 1):
        yield " ".join(run[start : start + WORDS])
