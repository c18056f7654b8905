"""Sketches: 256 bytes that tell how alike two sets of shingles are, and 32 keys that near-duplicates share.

One permutation hashing (Li, Owen, Zhang 2012, https://arxiv.org/abs/1208.1259): a hash falls into one of 256 buckets,
and of each bucket's smallest hash one byte is kept (b-bit minwise hashing, Li and König 2010,
https://arxiv.org/abs/0908.3352), or zero if the bucket is empty. The share of agreeing bytes among the buckets that are
not empty in both estimates the Jaccard similarity. It takes one pass over the shingles, where MinHash takes 256.

For the keys, empty buckets borrow from full ones, in an order of their own (optimal densification, Shrivastava 2017,
https://arxiv.org/abs/1703.04664). Then bytes agree as often as MinHash's do, and eight of them are a band of
locality-sensitive hashing: two documents of similarity s share at least one of 32 keys with probability
1 - (1 - s^8)^32, which is 0.85 at 0.7, 0.997 at 0.8 and 0.12 at 0.5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from edge_phi.atomic import atomic_path
from edge_phi.errors import InvalidFile

from ..records import columns_of, read_texts
from ..steps import Counts
from .shingles import Hashes, shingles

Bytes = npt.NDArray[np.uint8]

BUCKETS = 256
BANDS = 32
EXACT = (0, 1)  # the columns of 128 bits, of SHA-256 of the text without white space, and of its words
SOURCE = 2  # that of a hash of its source
FIRST_BAND = 3
_COLUMNS = FIRST_BAND + BANDS
_DOCUMENT_BYTES = 8 * _COLUMNS + BUCKETS
_ROWS_READ = 1 << 16  # at most, at once
_GAP = 64  # rows, 16 KB, that are read in vain sooner than sought past
_BATCH_BYTES = 1 << 20  # of text
_BATCH_DOCUMENTS = 1024
_BORROWING = np.stack([np.random.default_rng(bucket).permutation(BUCKETS) for bucket in range(BUCKETS)], axis=1)


@dataclass(frozen=True)
class Sketched:
    """The sketches of one shard's documents, in a file: a column for each key, then a row for each document."""

    path: Path

    @property
    def documents(self) -> int:
        """How many there are.

        Raises:
            InvalidFile: the file is of no size that whole documents have.
        """
        documents, rest = divmod(self.path.stat().st_size, _DOCUMENT_BYTES)
        if rest:
            raise InvalidFile(f"{self.path}: damaged: remove it and run the step again")
        return documents

    def column(self, number: int) -> Hashes:
        """One number of each document, [documents] uint64: its exact hash, its source's, or a band's key."""
        documents = self.documents
        return np.fromfile(self.path, dtype="<u8", count=documents, offset=8 * number * documents)

    def rows(self, numbers: npt.NDArray[np.int64]) -> Bytes:
        """The sketches of some documents, ascending: [len(numbers), BUCKETS] uint8; 0 is an empty bucket."""
        start = 8 * _COLUMNS * self.documents
        rows = np.empty((len(numbers), BUCKETS), dtype=np.uint8)
        # Read, not mapped: pages that are mapped count as this process's memory. Rows not far apart are read at once.
        cuts = np.flatnonzero((np.diff(numbers) > _GAP) | (np.diff(numbers // _ROWS_READ) > 0)) + 1
        with self.path.open("rb", buffering=0) as file:
            for first, last in zip([0, *cuts.tolist()], [*cuts.tolist(), len(numbers)], strict=True):
                wanted = numbers[first:last] - numbers[first]
                file.seek(start + BUCKETS * int(numbers[first]))
                block = np.fromfile(file, dtype=np.uint8, count=BUCKETS * (int(wanted[-1]) + 1))
                rows[first:last] = block.reshape(-1, BUCKETS)[wanted]
        return rows


def sketch_shard(shard: Path, target: Path) -> Counts:
    """Sketch the documents of one shard, a megabyte of text at a time: the work of `map_files`, which counts nothing.

    Raises:
        InvalidFile: the shard is damaged.
        EdgePhiError: the disk is full or not writable.
    """
    columns_of(shard)  # says what is wrong with the file, if anything is
    documents = pq.read_metadata(shard).num_rows
    done = 0
    with atomic_path(target) as partial, partial.open("r+b") as file:
        for texts, sources in _batches(shard):
            columns, rows = _sketch(texts, sources)
            for number, column in enumerate(columns):
                file.seek(8 * (number * documents + done))
                file.write(column.astype("<u8").tobytes())
            file.seek(8 * _COLUMNS * documents + BUCKETS * done)
            file.write(rows.tobytes())
            done += len(texts)
    return Counts()


def sketch(hashes: Hashes, owners: npt.NDArray[np.intp], documents: int) -> Bytes:
    """One permutation hashing of many sets at once.

    Args:
        hashes: [n], mixed, repetitions allowed.
        owners: the set each belongs to, [n].
        documents: how many sets there are, fewer than 2^16.

    Returns:
        [documents, BUCKETS]; 0 is an empty bucket.
    """
    # Sorted by set, bucket and the hash's higher bits; its lower bits come along, for what is kept of the smallest.
    keys = np.sort((owners.astype(np.uint64) << np.uint64(48)) | (hashes >> np.uint64(16)))
    places = keys >> np.uint64(40)
    first = np.flatnonzero(np.diff(places, prepend=np.uint64(2**64 - 1)))
    rows = np.zeros(documents * BUCKETS, dtype=np.uint8)
    rows[places[first].astype(np.intp)] = (keys[first] & np.uint64(0xFFFF)) % np.uint64(255) + np.uint64(1)
    return rows.reshape(documents, BUCKETS)


def keys_of(rows: Bytes) -> Hashes:
    """The keys of sketches: [BANDS, documents] uint64; rows without any full bucket have keys of zero."""
    full = np.ascontiguousarray(rows.T)  # a bucket of all documents lies together, so that borrowing copies whole runs
    unfinished = np.flatnonzero(rows.any(axis=1))
    for turns in np.split(_BORROWING, [16, 32, 64, 128]):
        unfinished = unfinished[~full.take(unfinished, axis=1).all(axis=0)]
        block, lent = full.take(unfinished, axis=1), np.ascontiguousarray(rows[unfinished].T)
        for lenders in turns:
            block += lent.take(lenders, axis=0) * (block == 0).view(np.uint8)
        full[:, unfinished] = block
    return np.ascontiguousarray(full.reshape(BANDS, 8, -1).transpose(0, 2, 1)).view("<u8")[..., 0]


def similarity(left: Bytes, right: Bytes) -> npt.NDArray[np.float64]:
    """The estimated Jaccard similarity of each pair of rows, [n, BUCKETS] or one of them [BUCKETS]: [n]."""
    full = ((left | right) != 0).view(np.uint8).sum(axis=1, dtype=np.uint16)
    same = ((left == right) & (left != 0)).view(np.uint8).sum(axis=1, dtype=np.uint16)
    estimate: npt.NDArray[np.float64] = (same / np.maximum(full, 1) - 1 / 255) / (1 - 1 / 255)
    return estimate  # of unequal hashes 1 in 255 agrees


def _batches(shard: Path) -> Iterator[tuple[list[bytes], list[str]]]:
    texts: list[bytes] = []
    sources: list[str] = []
    size = 0
    for some, their_sources in read_texts(shard):
        for text, source in zip(some, their_sources, strict=True):
            texts.append(text)
            sources.append(source)
            size += len(text)
            if size >= _BATCH_BYTES or len(texts) >= _BATCH_DOCUMENTS:
                yield texts, sources
                texts, sources, size = [], [], 0
    if texts:
        yield texts, sources


def _sketch(texts: Sequence[bytes], sources: Sequence[str]) -> tuple[Hashes, Bytes]:
    """Columns and rows of a batch of documents."""
    hashes, owners = shingles(texts)
    halves = np.frombuffer(b"".join(map(_bare, texts)), dtype="<u8").reshape(-1, 2).copy()
    np.add.at(halves[:, 1], owners, hashes)  # "a b" and "ab" are not the same
    hashed = {source: int.from_bytes(hashlib.sha256(source.encode()).digest()[:8], "little") for source in set(sources)}
    rows = sketch(hashes, owners, len(texts))
    keys = keys_of(rows)
    # Without words there is nothing to be near to but the text itself.
    keys[:, ~rows.any(axis=1)] = halves[~rows.any(axis=1), 0]
    return np.vstack([halves.T, np.array([hashed[source] for source in sources], dtype=np.uint64), keys]), rows


def _bare(text: bytes) -> bytes:
    return hashlib.sha256(text.translate(None, b" \t\n\r\v\f")).digest()[:16]
