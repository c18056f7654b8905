"""Which documents stay: of those that are near to one another, the first.

Documents are judged in order. One goes if it is an exact copy, or near to an earlier one that stays, so whatever goes
leaves something behind that it is near to. (Of a cluster of which each is near to the next, the other usual way keeps
only one, though its ends may have little in common.) First wins, and not the longest, because the order of the shards
is the caller's: the sources trusted most come first, and data added at the end changes nothing before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_phi.atomic import atomic_file

from .pairs import Corpus, Documents, Pairs
from .sketches import SOURCE

STAYS = -1
REASONS = (
    "an exact copy",
    "an exact copy of another source",
    "a near-duplicate",
    "a near-duplicate of another source",
)


def judge(sketches: Path, exact: Path, near: Sequence[Path], out: Path) -> str:
    """Write the verdicts on each shard's documents to 00000.npy, ...: STAYS, or the place of the reason in REASONS.

    Holds eight bytes for each document, and the pairs of one shard's.

    Returns:
        The SHA-256 of all verdicts.
    """
    corpus = Corpus.of(sketches)
    sources = _sources(corpus)
    gone = bytearray(corpus.documents)
    pairs_exact = np.load(exact, mmap_mode="r")
    pairs_near = [np.load(path, mmap_mode="r") for path in near]
    out.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    for number, (start, stop) in enumerate(zip(corpus.starts.tolist(), corpus.starts[1:].tolist(), strict=False)):
        verdicts = np.full(stop - start, STAYS, dtype=np.int8)
        copies = _of_shard(pairs_exact, start, stop)
        for later in (copies >> np.uint64(32)).tolist():
            gone[later] = True
        kept: list[int] = []
        for pair in np.unique(np.concatenate([_of_shard(pairs, start, stop) for pairs in pairs_near])).tolist():
            later, earlier = pair >> 32, pair & 0xFFFFFFFF
            if not gone[later] and not gone[earlier]:
                gone[later] = True
                kept.append(pair)
        for reason, pairs in ((0, copies), (2, np.array(kept, dtype=np.uint64))):
            late, early = _unpacked(pairs)
            verdicts[late - start] = reason + (sources[late] != sources[early])
        with atomic_file(out / f"{number:05}.npy") as file:
            np.save(file, verdicts)
        digest.update(verdicts.tobytes())
    return digest.hexdigest()


def _sources(corpus: Corpus) -> npt.NDArray[np.uint32]:
    """A number for each document's source."""
    known: dict[int, int] = {}
    numbers = np.empty(corpus.documents, dtype=np.uint32)
    for file, start in zip(corpus.files, corpus.starts.tolist(), strict=False):
        names, places = np.unique(file.column(SOURCE), return_inverse=True)
        own = np.array([known.setdefault(name, len(known)) for name in names.tolist()], dtype=np.uint32)
        numbers[start : start + len(places)] = own[places]
    return numbers


def _of_shard(pairs: Pairs, start: int, stop: int) -> Pairs:
    """The pairs whose later document is in a range; they are sorted by it."""
    first, last = np.searchsorted(pairs, np.array([start << 32, stop << 32], dtype=np.uint64))
    return np.array(pairs[first:last])


def _unpacked(pairs: Pairs) -> tuple[Documents, Documents]:
    return (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)
