"""Pairs of documents of which the later is a copy of the earlier, or near to it: found band by band.

A document is its place in the order of the shards. Those that share a band's key are compared by their sketches, so
that a shared key alone makes no pair. A quarter of a million keys are sorted at a time, in as many ranges as that
takes, up to 64: what grows with the data is one byte in memory for each document, and beyond 16 million documents about
one more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_phi.atomic import atomic_file
from edge_phi.errors import InvalidCall

from ..steps import Counts, read_manifest
from .shingles import Hashes
from .sketches import BUCKETS, EXACT, FIRST_BAND, Bytes, Sketched, similarity

Documents = npt.NDArray[np.int64]
Pairs = npt.NDArray[np.uint64]  # the later document's number in the upper half, the earlier one's in the lower

BANDS_AT_ONCE = 4  # in one task; they are gone through one by one
_KEYS_AT_ONCE = 1 << 18
_MOST_RANGES = 64  # every range reads all keys
_ROWS_AT_ONCE = 1 << 15  # sketches held, unless more share one key
_ALL_PAIRS = 16  # in a larger group, those that are near to an earlier one are compared with no later one
_COMPARED_AT_ONCE = 1 << 14


@dataclass(frozen=True)
class Corpus:
    """The sketches of all shards, in order, addressed by a document's number."""

    files: tuple[Sketched, ...]
    starts: Documents  # of each file, and the number of documents at the end

    @classmethod
    def of(cls, folder: Path) -> Corpus:
        """The finished sketches in a folder.

        Raises:
            InvalidCall: more documents than 32 bits count.
            InvalidFile: a file is damaged.
        """
        number = len(read_manifest(folder)["shards"])
        files = tuple(Sketched(folder / f"{place:05}.sketches") for place in range(number))
        starts = np.cumsum([0, *(file.documents for file in files)], dtype=np.int64)
        if starts[-1] >= 1 << 32:
            raise InvalidCall(f"{starts[-1]:,} documents: no more than 2^32 can be compared at once: split them")
        return cls(files, starts)

    @property
    def documents(self) -> int:
        """How many there are."""
        return int(self.starts[-1])

    def column(self, number: int, documents: Documents) -> Hashes:
        """A column at some documents, ascending: [n] uint64."""
        parts = [file.column(number)[own] for _, file, own in self._owners(documents)]
        return np.concatenate([np.zeros(0, np.uint64), *parts])

    def rows(self, documents: Documents) -> Bytes:
        """The sketches of some documents, ascending: [n, BUCKETS] uint8."""
        rows = np.empty((len(documents), BUCKETS), dtype=np.uint8)
        for place, file, own in self._owners(documents):
            rows[place] = file.rows(own)
        return rows

    def groups(self, column: int, left_out: npt.NDArray[np.bool_]) -> Iterator[tuple[Hashes, Documents]]:
        """The documents that share a key in a column with another one: keys, and documents, ascending for one key."""
        ranges = min(-(-self.documents // _KEYS_AT_ONCE), _MOST_RANGES)
        for part in range(ranges):
            keys, documents = [], []
            for file, start in zip(self.files, self.starts.tolist(), strict=False):
                values = file.column(column)
                taken = np.flatnonzero(~left_out[start : start + len(values)] & (values % np.uint64(ranges) == part))
                keys.append(values[taken])
                documents.append(taken + start)
            yield _shared(np.concatenate(keys), np.concatenate(documents))

    def _owners(self, documents: Documents) -> Iterator[tuple[slice, Sketched, Documents]]:
        cuts = np.searchsorted(documents, self.starts)
        for file, offset, start, stop in zip(self.files, self.starts, cuts, cuts[1:], strict=False):
            if stop > start:
                yield slice(start, stop), file, documents[start:stop] - offset


def exact_pairs(_: Path, target: Path, *, sketches: Path) -> Counts:
    """Each document whose text an earlier one has, with the first that has it: work of `map_files`."""
    corpus = Corpus.of(sketches)
    found = []
    for keys, documents in corpus.groups(EXACT[0], np.zeros(corpus.documents, dtype=bool)):
        order = np.argsort(documents)
        more = np.empty_like(keys)
        more[order] = corpus.column(EXACT[1], documents[order])
        order = np.lexsort((documents, more, keys))
        keys, more, documents = keys[order], more[order], documents[order]
        copies = np.zeros(len(keys), dtype=bool)
        copies[1:] = (keys[1:] == keys[:-1]) & (more[1:] == more[:-1])
        first = np.maximum.accumulate(np.where(copies, 0, np.arange(len(keys))))
        found.append(_packed(documents[first[copies]], documents[copies]))
    return _write(target, found)


def near_pairs(_: Path, target: Path, *, sketches: Path, exact: Path, threshold: float) -> Counts:
    """Pairs that share a key and are near: work of `map_files`, whose n-th target has the n-th `BANDS_AT_ONCE` bands.

    Of copies only the first is looked at.
    """
    corpus = Corpus.of(sketches)
    copies = np.zeros(corpus.documents, dtype=bool)
    copies[(np.load(exact) >> np.uint64(32)).astype(np.int64)] = True
    first = FIRST_BAND + BANDS_AT_ONCE * int(target.stem)
    found: list[Pairs] = []
    for band in range(first, first + BANDS_AT_ONCE):
        for keys, documents in corpus.groups(band, copies):
            for part in _whole_groups(keys):
                found.extend(_near(corpus, keys[part], documents[part], threshold))
    return _write(target, found)


def _shared(keys: Hashes, documents: Documents) -> tuple[Hashes, Documents]:
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    same = keys[1:] == keys[:-1]
    shared = np.append(same, False) | np.append(False, same)
    return keys[shared], documents[order[shared]]


def _whole_groups(keys: Hashes) -> Iterator[slice]:
    """Cut sorted keys where they change, after about as many as may be held."""
    if not len(keys):
        return
    starts = np.append(np.flatnonzero(np.diff(keys, prepend=~keys[:1])), len(keys))
    cuts = starts[np.searchsorted(starts, np.arange(0, len(keys), _ROWS_AT_ONCE))]
    for start, stop in zip(cuts, np.append(cuts[1:], len(keys)), strict=True):
        if stop > start:
            yield slice(start, stop)


def _near(corpus: Corpus, keys: Hashes, documents: Documents, threshold: float) -> Iterator[Pairs]:
    order = np.argsort(documents)
    rows = np.empty((len(documents), BUCKETS), dtype=np.uint8)
    rows[order] = corpus.rows(documents[order])
    starts = np.flatnonzero(np.diff(keys, prepend=~keys[:1]))
    sizes = np.diff(starts, append=len(keys))
    large = np.repeat(sizes > _ALL_PAIRS, sizes)
    for distance in range(1, _ALL_PAIRS):
        pairs = np.flatnonzero((keys[:-distance] == keys[distance:]) & ~large[distance:])
        for start in range(0, len(pairs), _COMPARED_AT_ONCE):
            left = pairs[start : start + _COMPARED_AT_ONCE]
            near = left[similarity(rows[left], rows[left + distance]) >= threshold]
            yield _packed(documents[near], documents[near + distance])
    for start, size in zip(starts[sizes > _ALL_PAIRS], sizes[sizes > _ALL_PAIRS], strict=True):
        yield from _near_in(rows[start : start + size], documents[start : start + size], threshold)


def _near_in(rows: Bytes, documents: Documents, threshold: float) -> Iterator[Pairs]:
    """Of one large group: otherwise ten thousand copies of a licence would be fifty million pairs."""
    leads = np.ones(len(rows), dtype=bool)
    for leader in range(len(rows) - 1):
        if not leads[leader]:
            continue
        for start in range(leader + 1, len(rows), _COMPARED_AT_ONCE):
            others = rows[start : start + _COMPARED_AT_ONCE]
            near = start + np.flatnonzero(similarity(rows[leader], others) >= threshold)
            leads[near] = False
            yield _packed(np.full(len(near), documents[leader]), documents[near])


def _packed(earlier: Documents, later: Documents) -> Pairs:
    pairs: Pairs = (later.astype(np.uint64) << np.uint64(32)) | earlier.astype(np.uint64)
    return pairs


def _write(target: Path, found: list[Pairs]) -> Counts:
    with atomic_file(target) as file:
        np.save(file, np.unique(np.concatenate([np.zeros(0, np.uint64), *found])))
    return Counts()
