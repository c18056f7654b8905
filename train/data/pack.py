"""Train a byte-level BPE, encode documents with it, and join them by the end-of-text token into one uint16 array."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_phi.errors import InvalidCall

from .shards import END_OF_TEXT

_TOKENS_PER_PART = 2**27  # 256 MB
_TEXTS_AT_ONCE = 1_000


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
    parts = list(pack_in_parts(texts, tokenizer))
    return np.concatenate(parts) if parts else np.zeros(0, np.uint16)


def pack_in_parts(
    texts: Iterable[str], tokenizer: Any, *, tokens: int = _TOKENS_PER_PART
) -> Iterator[npt.NDArray[np.uint16]]:
    """As `pack`, in arrays of about `tokens` tokens each, so that no more than one is in memory.

    Raises:
        InvalidCall: as `pack`.
    """
    end = tokenizer.token_to_id(END_OF_TEXT)
    if end is None or tokenizer.get_vocab_size() > 2**16:
        raise InvalidCall(f"the tokenizer needs {END_OF_TEXT} and at most 65,536 ids")
    tokenizer.encode_special_tokens = True  # written out in a document they are text, not control
    held: list[npt.NDArray[np.uint16]] = []
    size = 0
    for batch in _batches(texts, _TEXTS_AT_ONCE):
        for encoding in tokenizer.encode_batch(batch, add_special_tokens=False):
            held.append(np.array([*encoding.ids, end], dtype=np.uint16))
            size += len(held[-1])
        if size >= tokens:
            yield np.concatenate(held)
            held, size = [], 0
    if held:
        yield np.concatenate(held)


def _batches(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    remaining = iter(texts)
    while batch := list(itertools.islice(remaining, size)):
        yield batch
