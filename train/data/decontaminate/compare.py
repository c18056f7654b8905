"""Documents beside the benchmarks: who shares words in a row, and whose code is a solution in another dress."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..embed import embed
from ..records import Record
from .match import index_forms, near
from .ngrams import benchmark_ngrams, shared_problems, vocabulary_of, words
from .references import Reference, solution_snippets
from .snippets import Snippet, snippets

LOWEST_TAU = 0.8  # of the paper's; what matches less is not reported
# Chosen on data: benchmarks/results/decontaminate.md.
FARTHEST = 5.0  # L2 distance between a piece of code and a solution, in the bundled model's hidden states
SHORT = 10  # symbols: a form below it says too little alone
SHARED_WORDS = 0.5  # of a short solution's description, in what surrounds the code
_LONGEST_DESCRIPTION = 4_000  # characters
_RECORDS_AT_ONCE = 2_048  # whose embeddings are computed together,
_CHARACTERS_AT_ONCE = 8 << 20  # and that are in memory
_COMMON_WORDS = frozenset(
    {
        "the", "and", "for", "its", "that", "this", "with", "from", "each", "all", "any", "given", "return", "returns",
        "function", "write", "python", "find", "check", "whether", "not", "using", "use", "which", "one", "number",
        "numbers", "list", "string", "are",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Hit:
    """A document is near to a problem.

    Attributes:
        record: the document's id.
        task_id: the problem's.
        kind: 13 words in a row, or the match rate of syntax trees.
        where: the function's name and the line of the document, or the words.
        rate: the match rate; None for words.
        distance: L2, between the embeddings of the code and of the solution; None for words.
    """

    record: str
    task_id: str
    kind: Literal["13-gram", "ast"]
    where: str
    rate: float | None = None
    distance: float | None = None


class Comparer:
    """Compares documents with problems; one serves any number of documents.

    Args:
        references: the problems.
        model: computes the embeddings; the bundled model if None.
        farthest: see `FARTHEST`.
    """

    def __init__(
        self, references: Sequence[Reference], *, model: Path | None = None, farthest: float = FARTHEST
    ) -> None:
        self.references = references
        self.model = model
        self.farthest = farthest
        self._ngrams = benchmark_ngrams(references)
        self._vocabulary = vocabulary_of(self._ngrams)
        self._solutions = [(reference, each) for reference in references for each in solution_snippets(reference)]
        self._forms = index_forms([each.form for _, each in self._solutions])
        self._words = {reference.task_id: _telling(reference.description) for reference in references}
        self._embedded: dict[int, npt.NDArray[np.float32]] = {}

    def hits(self, records: Iterable[Record]) -> Iterator[tuple[Record, list[Hit]]]:
        """Each record with the problems it is near to: one hit for a problem and a kind, by the problem's id."""
        for chunk in _chunks(records):
            best: list[dict[str, Hit]] = [{} for _ in chunk]
            for at, hit in self.matches(chunk):
                known = best[at].get(hit.task_id)
                near_enough = (hit.distance or 0) <= self.farthest
                if near_enough and (known is None or (known.rate or 0) < (hit.rate or 0)):
                    best[at][hit.task_id] = hit
            for record, hits in zip(chunk, best, strict=True):
                shared = shared_problems(record.text, self._ngrams, self._vocabulary)
                words_too = [Hit(record.id, task_id, "13-gram", ngram) for task_id, ngram in shared.items()]
                yield record, sorted([*words_too, *hits.values()], key=lambda hit: (hit.task_id, hit.kind))

    def matches(self, records: Sequence[Record]) -> Iterator[tuple[int, Hit]]:
        """Every piece of code with every solution whose match rate is 0.8 or more, however far their embeddings.

        Yields:
            The record's index, and what was found in it.
        """
        found = [(at, *each) for at, record in enumerate(records) for each in self._near(record)]
        distances = self._distances([(snippet, number) for _, snippet, number, _ in found])
        for (at, snippet, number, rate), distance in zip(found, distances, strict=True):
            where = f"{snippet.name or 'statements'}, line {snippet.line}"
            task_id = self._solutions[number][0].task_id
            yield at, Hit(records[at].id, task_id, "ast", where, round(rate, 4), round(distance, 3))

    def _near(self, record: Record) -> Iterator[tuple[Snippet, int, float]]:
        seen: set[tuple[str, str]] = set()
        around: frozenset[str] | None = None
        for snippet in snippets(record.text, path=record.path, longest=int(self._forms.longest / LOWEST_TAU)):
            if not snippet.form or (snippet.form, snippet.docstring) in seen:
                continue
            seen.add((snippet.form, snippet.docstring))
            for number, rate in near(snippet.form, self._forms, LOWEST_TAU):
                reference, solution = self._solutions[number]
                if len(solution.form) < SHORT:
                    around = _telling(record.text[:_LONGEST_DESCRIPTION]) if around is None else around
                    if rate < 1 or _share(self._words[reference.task_id], around) < SHARED_WORDS:
                        continue
                yield snippet, number, rate

    def _distances(self, pairs: Sequence[tuple[Snippet, int]]) -> list[float]:
        """Between the embeddings of code and of solutions, which are computed where they are needed, each once."""
        solutions = sorted({number for _, number in pairs} - self._embedded.keys())
        codes = list(dict.fromkeys(snippet.code for snippet, _ in pairs))
        vectors = embed([*(self._solutions[number][1].code for number in solutions), *codes], model=self.model)
        self._embedded |= dict(zip(solutions, vectors, strict=False))
        of_code = dict(zip(codes, vectors[len(solutions) :], strict=True))
        return [float(np.linalg.norm(of_code[snippet.code] - self._embedded[number])) for snippet, number in pairs]


def _chunks(records: Iterable[Record]) -> Iterator[list[Record]]:
    chunk: list[Record] = []
    size = 0
    for record in records:
        chunk.append(record)
        size += len(record.text)
        if len(chunk) == _RECORDS_AT_ONCE or size >= _CHARACTERS_AT_ONCE:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _telling(text: str) -> frozenset[str]:
    """Words without their endings, those left out that every exercise has."""
    return frozenset(word[:5] for word in words(text) if word not in _COMMON_WORDS and len(word) > 2)


def _share(wanted: frozenset[str], found: frozenset[str]) -> float:
    return len(wanted & found) / len(wanted) if wanted else 0.0
