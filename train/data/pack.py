"""Train a byte-level BPE, encode documents with it, and join them by the end-of-text token into uint16 arrays."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_phi.atomic import atomic_file, atomic_folder, write_bytes
from edge_phi.errors import InvalidCall
from edge_phi.lineage import sha256_of

from .records import Record, read_records, shards_of
from .shards import END_OF_TEXT, TOKENIZER_FILE, VALIDATION, ShardWriter, read_tokenizer
from .steps import Counting, Counts, Say, map_files

_TEXTS_AT_ONCE = 1_000
_HELD_OUT = 3  # of 256 documents, about 1.2 %
_TOKENIZER_CHARACTERS = 1 << 29  # to train on; more changes a vocabulary of this size hardly, and costs memory


def pack_records(
    source: Path,
    out: Path,
    work: Path,
    *,
    arrays: Mapping[str, Sequence[str]],
    held_out: str | None,
    tokenizer: Path | None,
    vocabulary: int,
    manifest: Mapping[str, Any],
    workers: int,
    say: Say,
) -> Counts:
    """Encode record shards and write a folder of token shards, whole or not at all.

    Args:
        source: a folder of record shards.
        out: the folder to write; one that is there must be token shards, and is replaced.
        work: where the tokenizer and the encoded shards are kept, for a call that goes on.
        arrays: the sources in each token array; "*" takes those that no other array names.
        held_out: the array that about 1.2 % of the documents are taken from to validate on; None takes from all.
        tokenizer: a tokenizer.json; None trains one on all that is packed.
        vocabulary: of the tokenizer to train.
        manifest: said of where the text came from, beside what is counted here.
        workers: processes.
        say: told one line a step.

    Returns:
        Documents and, counted by the new tokenizer, tokens that came out.

    Raises:
        InvalidCall: no shards, nothing for an array, or a folder at `out` that holds something else.
        InvalidFile: a shard or the tokenizer is damaged.
        EdgePhiError: the disk is full or not writable.
    """
    if out.exists() and not (out / "index.json").is_file() and any(out.iterdir() if out.is_dir() else [out]):
        raise InvalidCall(f"{out}: is there and holds no token shards: choose another place")
    grouping = Grouping({name: tuple(sources) for name, sources in arrays.items()}, held_out)
    grouping = replace(grouping, chosen=_to_hold_out(source, grouping))
    work.mkdir(parents=True, exist_ok=True)
    words = work / TOKENIZER_FILE
    if tokenizer:
        write_bytes(words, tokenizer.read_bytes())
    else:
        _train_on(source, grouping, vocabulary, words, say)
    made_by = sha256_of(words)
    settings = {"grouping": asdict(grouping), "tokenizer": made_by}
    encoded = work / "encoded"
    counts = map_files(
        "pack",
        settings,
        shards_of(source),
        encoded,
        _EncodeShard(grouping, words),
        workers=workers,
        say=say,
        suffix=".npz",
    )
    with atomic_folder(out) as partial:
        writer = ShardWriter(partial, read_tokenizer(words))
        for name in [*grouping.arrays, VALIDATION]:
            tokens = writer.write(name, _joined(encoded, name))
            if not tokens:
                raise InvalidCall(f"{source}: nothing in it for the array {name!r}: check its sources, or add text")
            say(f"packed {name}: {tokens:,} tokens")
        writer.finish(dict(manifest))
    return counts


@dataclass(frozen=True)
class Grouping:
    """Which array a record goes to."""

    arrays: Mapping[str, tuple[str, ...]]
    held_out: str | None  # the array to hold out of; all if None
    chosen: str | None = None  # the one document to hold out, where too few for one to fall out by its hash

    def array_of(self, record: Record) -> str | None:
        """The array, "validation" for what is held out, None for a source that no array takes."""
        name = self._by_source(record.source)
        if name is None or (self.held_out and name != self.held_out):
            return name
        held = record.id == self.chosen if self.chosen else _digest(record)[0] < _HELD_OUT
        return VALIDATION if held else name

    def _by_source(self, source: str) -> str | None:
        for name, sources in self.arrays.items():
            if source in sources:
                return name
        return next((name for name, sources in self.arrays.items() if "*" in sources), None)


def train_tokenizer(texts: Iterable[str], *, vocab_size: int) -> Any:
    """Train a GPT-2 style BPE (bytes as alphabet, GPT-2's split pattern) and return a `tokenizers.Tokenizer`.

    Id 0 is the end of text. The same texts in the same order give the same tokenizer.
    """
    from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
    from tokenizers.models import BPE

    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def pack(texts: Iterable[str], tokenizer: Any) -> npt.NDArray[np.uint16]:
    """Encode texts, each followed by the end-of-text token: uint16 [tokens].

    Raises:
        InvalidCall: the tokenizer has no end-of-text token or more ids than uint16 holds.
    """
    encoded = _encode(texts, tokenizer)
    return np.concatenate(encoded) if encoded else np.zeros(0, np.uint16)


def _encode(texts: Iterable[str], tokenizer: Any) -> list[npt.NDArray[np.uint16]]:
    end = tokenizer.token_to_id(END_OF_TEXT)
    if end is None or tokenizer.get_vocab_size() > 2**16:
        raise InvalidCall(f"the tokenizer needs {END_OF_TEXT} and at most 65,536 ids")
    tokenizer.encode_special_tokens = True  # written out in a document they are text, not control
    return [
        np.array([*encoding.ids, end], dtype=np.uint16)
        for batch in _batches(texts, _TEXTS_AT_ONCE)
        for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False)
    ]


@dataclass(frozen=True)
class _EncodeShard:
    """One record shard to an .npz with an array for each token array that it has something for."""

    grouping: Grouping
    tokenizer: Path  # to its file

    def __call__(self, shard: Path, target: Path) -> Counts:
        counting = Counting()
        groups: dict[str, list[Record]] = {}
        for record in map(counting.enter, read_records(shard, added=[])):
            name = self.grouping.array_of(record)
            if name is None:
                counting.dropped["of a source that no array takes"] += 1
            else:
                groups.setdefault(name, []).append(record)
        tokenizer = read_tokenizer(self.tokenizer)
        arrays: dict[str, npt.NDArray[np.uint16]] = {}
        for name, records in sorted(groups.items()):
            encoded = _encode((record.text for record in records), tokenizer)
            arrays[name] = np.concatenate(encoded)
            for record, tokens in zip(records, encoded, strict=True):
                counting.leave(replace(record, tokens=len(tokens)))
        with atomic_file(target) as file:
            np.savez(file, allow_pickle=False, **arrays)
        return counting.counts


def _to_hold_out(source: Path, grouping: Grouping) -> str | None:
    """None where some document is held out by its hash; else the one with the smallest, if it is not the only one."""
    smallest: tuple[bytes, str] | None = None
    documents = 0
    for shard in shards_of(source):
        for record in read_records(shard, added=[]):
            name = grouping.array_of(record)
            if name == VALIDATION:
                return None
            if name is not None and name == (grouping.held_out or name):
                documents += 1
                smallest = min(smallest or (_digest(record), record.id), (_digest(record), record.id))
    return smallest[1] if smallest and documents > 1 else None


def _digest(record: Record) -> bytes:
    return hashlib.sha256(record.id.encode()).digest()


def _train_on(source: Path, grouping: Grouping, vocabulary: int, path: Path, say: Say) -> None:
    """Train the tokenizer, or take the one that an earlier call trained on the same shards."""
    key = hashlib.sha256(repr([grouping, vocabulary]).encode())
    for shard in shards_of(source):
        key.update(sha256_of(shard).encode())
    mark = path.with_suffix(".key")
    if path.is_file() and mark.is_file() and mark.read_text() == key.hexdigest():
        return
    say(f"training a tokenizer of {vocabulary:,} tokens")
    tokenizer = train_tokenizer(_texts(source, grouping), vocab_size=vocabulary)
    mark.unlink(missing_ok=True)
    write_bytes(path, tokenizer.to_str(pretty=True).encode())
    write_bytes(mark, key.hexdigest().encode())


def _texts(source: Path, grouping: Grouping) -> Iterator[str]:
    characters = 0
    for shard in shards_of(source):
        for record in read_records(shard, added=[]):
            if grouping.array_of(record) not in (None, VALIDATION):
                yield record.text
                characters += len(record.text)
                if characters > _TOKENIZER_CHARACTERS:
                    return


def _joined(encoded: Path, name: str) -> Iterator[npt.NDArray[np.uint16]]:
    """One array's tokens out of every encoded shard."""
    for file in sorted(encoded.glob("[0-9]*.npz")):
        with np.load(file, allow_pickle=False) as arrays:
            if name in arrays.files:
                yield arrays[name]


def _batches(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    remaining = iter(texts)
    while batch := list(itertools.islice(remaining, size)):
        yield batch
