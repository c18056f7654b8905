"""Shingles: a document as the set of its runs of five words, each run hashed to 64 bits.

A word is a run of letters, digits and underscores, as BigCode's deduplication of The Stack has it, so that layout and
punctuation play no part; every byte beyond ASCII counts as a letter. Words are found and hashed for many documents at
once, in numpy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

WORDS = 5  # in a shingle
_PIECE_BYTES = 4 << 20  # a longer document is taken in pieces, since about 40 bytes are held for each of its bytes
_LONG = 64  # bytes of a word from which on hashlib takes over
_IS_WORD = np.array([chr(byte).isalnum() or chr(byte) == "_" or byte >= 128 for byte in range(256)])
_FIRST_BYTES = np.array([(1 << 8 * length) - 1 for length in range(9)], dtype=np.uint64)
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying by it loses nothing
_FACTOR_2 = np.array([_FACTOR]) ** np.uint64(2)


def shingles(documents: Sequence[bytes]) -> tuple[Hashes, npt.NDArray[np.intp]]:
    """The shingles of several documents.

    One of fewer than five words is a single shingle, whatever the number; one without words has none.

    Args:
        documents: in UTF-8.

    Returns:
        The hash of each shingle, with repetitions, [n] uint64, and the index of its document, [n], ascending.
    """
    owners, pieces = [], []
    for index, document in enumerate(documents):
        for start in range(0, len(document) or 1, _PIECE_BYTES):
            owners.append(index)
            pieces.append(document[start : start + _PIECE_BYTES])
    hashes, ends = _words(pieces)
    starts = np.concatenate([[0], ends[:-1]])
    counts = np.maximum(ends - starts - WORDS + 1, np.minimum(ends - starts, 1))
    padded = np.concatenate([hashes, np.zeros(WORDS - 1, np.uint64)])
    pairs = padded[:-1] * _FACTOR + padded[1:]
    fours = pairs[:-2] * _FACTOR_2 + pairs[2:]
    fives = fours[:-1] * _FACTOR + padded[4:]
    for piece in np.flatnonzero((ends - starts > 0) & (ends - starts < WORDS)):
        few = np.concatenate([hashes[starts[piece] : ends[piece]], np.zeros(WORDS, np.uint64)])[:WORDS]
        fives[starts[piece]] = np.bitwise_xor.reduce(few * _FACTOR ** np.arange(1, WORDS + 1, dtype=np.uint64))
    kept = np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    return _mixed(fives[kept]), np.repeat(np.array(owners, dtype=np.intp), counts)


def _words(pieces: Sequence[bytes]) -> tuple[Hashes, npt.NDArray[np.intp]]:
    """The hash of every word, and for each piece how many words there are up to its end."""
    text = b"\0".join([*pieces, bytes(_LONG)])
    buffer = np.frombuffer(text, dtype=np.uint8)
    edges = np.flatnonzero(np.diff(_IS_WORD.take(buffer), prepend=False))
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    eights = np.ndarray(len(text) - 7, dtype="<u8", buffer=text, strides=(1,))  # the eight bytes from each byte on
    hashes = _mixed(eights[starts] & _FIRST_BYTES[np.minimum(lengths, 8)])
    rest = np.flatnonzero(lengths > 8)
    for offset in range(8, _LONG, 8):
        more = eights[starts[rest] + offset] & _FIRST_BYTES[np.minimum(lengths[rest] - offset, 8)]
        hashes[rest] = _mixed(hashes[rest] * _FACTOR + more)
        rest = rest[lengths[rest] > offset + 8]
    for word in rest:
        whole = text[starts[word] : starts[word] + lengths[word]]
        hashes[word] = int.from_bytes(hashlib.blake2b(whole, digest_size=8).digest(), "little")
    ends = np.cumsum([len(piece) + 1 for piece in pieces])
    return hashes, np.searchsorted(starts, ends)


def _mixed(values: Hashes) -> Hashes:
    """Every bit of the result depends on every bit of the value (the finalizer of SplitMix64, Steele et al. 2014)."""
    mixed: Hashes = values ^ (values >> np.uint64(30))
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
