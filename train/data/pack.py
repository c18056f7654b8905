"""Train a byte-level BPE, encode documents with it, and join them by the end-of-text token into one uint16 array."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_phi.errors import InvalidCall, InvalidFile

END_OF_TEXT = "<|endoftext|>"


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


def pack(texts: Sequence[str], tokenizer: Any) -> npt.NDArray[np.uint16]:
    """Encode texts, each followed by the end-of-text token: uint16 [tokens].

    Raises:
        InvalidCall: the tokenizer has no end-of-text token or more ids than uint16 holds.
    """
    end = tokenizer.token_to_id(END_OF_TEXT)
    if end is None or tokenizer.get_vocab_size() > 2**16:
        raise InvalidCall(f"the tokenizer needs {END_OF_TEXT} and at most 65,536 ids")
    tokenizer.encode_special_tokens = True  # written out in a document they are text, not control
    parts: list[npt.NDArray[np.uint16]] = []
    for batch in _batches(texts, 1_000):
        for encoding in tokenizer.encode_batch(batch, add_special_tokens=False):
            parts.append(np.array([*encoding.ids, end], dtype=np.uint16))
    return np.concatenate(parts) if parts else np.zeros(0, np.uint16)


def write_tokens(path: Path, tokens: npt.NDArray[np.uint16]) -> None:
    """Write a token array as .npy, whole or not at all."""
    from edge_phi.atomic import atomic_file

    with atomic_file(path) as file:
        np.save(file, tokens, allow_pickle=False)


def read_tokens(path: Path, *, vocab_size: int) -> npt.NDArray[np.uint16]:
    """Memory-map a token array: uint16 [tokens].

    Raises:
        InvalidCall: there is no such file.
        InvalidFile: it is damaged, of another type, or holds ids beyond the vocabulary.
    """
    try:
        tokens = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise InvalidCall(f"{path}: missing: make it with 'edge-phi data pack'") from error
    except (OSError, ValueError) as error:
        raise InvalidFile(f"{path}: damaged or truncated ({error}): pack it again") from error
    if tokens.dtype != np.uint16 or tokens.ndim != 1 or not len(tokens):
        raise InvalidFile(f"{path}: holds {tokens.dtype} {tokens.shape}, not a row of uint16 tokens: pack it again")
    largest = max(int(tokens[start : start + 2**22].max()) for start in range(0, len(tokens), 2**22))
    if largest >= vocab_size:
        raise InvalidFile(f"{path}: token {largest} is beyond the vocabulary of {vocab_size}: pack it again")
    return tokens  # type: ignore[no-any-return]


def _batches(texts: Sequence[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(texts), size):
        yield list(texts[start : start + size])
