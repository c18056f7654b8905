"""A model's engine and its tokenizer, loaded side by side: both leave Python's lock alone most of the time."""

from __future__ import annotations

import threading

from ..errors import InvalidFile
from ..runtimes import Runtime, open_runtime, open_tokenizer
from ..store import Artifact
from ..tokenizer import Tokenizer
from .healing import Vocabulary


def load(artifact: Artifact, threads: int | None) -> tuple[Runtime, Tokenizer, Vocabulary]:
    """Load an artifact; `threads` are as for `open_runtime`.

    Raises:
        InvalidCall: its tokenizer is missing.
        InvalidFile: it is damaged, or its tokenizer is another's.
        MissingExtra: its engine is not installed.
    """
    found: list[tuple[Tokenizer, Vocabulary]] = []
    failed: list[BaseException] = []

    def read_words() -> None:
        try:
            tokenizer = open_tokenizer(artifact)
            found.append((tokenizer, Vocabulary(tokenizer)))
        except BaseException as error:
            failed.append(error)

    reader = threading.Thread(target=read_words, name="tokenizer", daemon=True)
    reader.start()
    try:
        runtime = open_runtime(artifact, threads=threads)
    finally:
        reader.join()
    if failed:
        runtime.close()
        raise failed[0]
    ((tokenizer, vocabulary),) = found
    if tokenizer.vocab_size > runtime.info.vocab_size:
        runtime.close()
        raise InvalidFile(
            f"{artifact.path}: the model has {runtime.info.vocab_size} words, its tokenizer {tokenizer.vocab_size}: "
            "they do not belong together, get the model again"
        )
    return runtime, tokenizer, vocabulary
