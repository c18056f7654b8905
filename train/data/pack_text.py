"""From folders and files of text to token shards that any recipe reads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from edge_phi.atomic import atomic_folder
from edge_phi.errors import InvalidCall

from .collect import Document, collect, source_files, text_lines
from .pack import pack_in_parts, train_tokenizer
from .shards import VALIDATION, ShardWriter, read_tokenizer

_HELD_OUT = 3  # of 256 documents, about 1.2 %


def pack_text(
    out: Path,
    sources: dict[str, Path],
    *,
    tokenizer: Path | None,
    vocabulary: int,
    benchmarks: Path | None,
    say: Callable[[str], None],
) -> None:
    """Collect each source, encode it and write a folder of token shards, whole or not at all.

    Args:
        out: the folder to write; one that is there must be shards, and is replaced.
        sources: by the array's name: a .jsonl.gz of documents, or a folder of source files and prose.
        tokenizer: a tokenizer.json; None trains one on everything that is packed.
        vocabulary: of the tokenizer to train.
        benchmarks: see `collect`.
        say: told one line a step.

    Raises:
        InvalidCall: no such source, nothing left of it, or a folder at `out` that holds something else.
        InvalidFile: the tokenizer is damaged.
        EdgePhiError: the disk is full or not writable.
    """
    if out.exists() and not (out / "index.json").is_file() and any(out.iterdir() if out.is_dir() else [out]):
        raise InvalidCall(f"{out}: is there and holds no token shards: choose another place")
    texts: dict[str, list[str]] = {}
    validation: list[str] = []
    manifests = {}
    for name, path in sources.items():
        collection = collect([_documents(path)], benchmarks=benchmarks)
        say(f"{name}: {len(collection.documents):,} documents; dropped: {collection.dropped or 'none'}")
        texts[name] = []
        for document in collection.documents:
            held_out = hashlib.sha256(document.id.encode("utf-8", "replace")).digest()[0] < _HELD_OUT
            (validation if held_out else texts[name]).append(document.text)
        manifests[name] = collection.manifest
        if not texts[name]:
            raise InvalidCall(f"{path}: nothing in it is fit to train on")
    if not validation:  # too few documents for one to fall out
        largest = max(texts, key=lambda name: len(texts[name]))
        validation = [texts[largest].pop()] if len(texts[largest]) > 1 else list(texts[largest])
    if tokenizer:
        words = read_tokenizer(tokenizer)
    else:
        say(f"training a tokenizer of {vocabulary:,} tokens")
        words = train_tokenizer((text for group in texts.values() for text in group), vocab_size=vocabulary)
    with atomic_folder(out) as partial:
        writer = ShardWriter(partial, words)
        for name, group in [*texts.items(), (VALIDATION, validation)]:
            say(f"packed {name}: {writer.write(name, pack_in_parts(group, words)):,} tokens")
        writer.finish({"documents": manifests})


def _documents(path: Path) -> Iterable[Document]:
    if path.is_dir():
        return source_files(path)
    if not path.is_file():
        raise InvalidCall(f"{path}: no such file or folder")
    return text_lines(path, source=path.name.partition(".")[0])
