"""Texts as vectors: the mean of our own model's last hidden states, as "Textbooks Are All You Need" takes CodeGen's.

What a text's vector is does not depend on the texts beside it: a text is padded to a length of its own, always in a
batch of the same shape, so that every matrix product runs the same way. Attention looks back only, so padding behind a
text changes nothing of it.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

IMPORTS = ("torch", "edge_phi.train.state_dict")  # what embedding begins with, in seconds
_PADDED_TO = 32  # tokens: lengths are rounded up to a multiple of it
_BATCH_TOKENS = 256  # as fast as a thousand, and less is wasted on few texts
_TEXTS_AT_ONCE = 2048  # bounds the memory for token ids, and how much of a batch stays empty


def embed(texts: Sequence[str], *, model: Path | None = None) -> npt.NDArray[np.float32]:
    """The mean over its tokens of the last hidden states (after the final LayerNorm) of each text.

    Of a text longer than the model's context only the beginning is read; an empty one gives zeros. One thread
    computes: more of them are for those who call to start, as processes.

    Args:
        texts: any number.
        model: a checkpoint folder; the bundled model if None.

    Returns:
        float32 [texts, width].

    Raises:
        InvalidCall, InvalidFile: as `edge_phi.checkpoint.open_checkpoint`.
        MissingExtra: torch is not installed.
    """
    folder = _folder(model)
    phi, tokenizer = _loaded(folder)
    vectors = np.zeros((len(texts), phi.config.hidden_size), dtype=np.float32)
    with _one_thread():
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            chunk = list(texts[start : start + _TEXTS_AT_ONCE])
            vectors[start : start + len(chunk)] = _embed_chunk(chunk, phi, tokenizer)
    return vectors


def width(model: Path | None = None) -> int:
    """How many numbers a vector has.

    Raises:
        InvalidCall, InvalidFile: as `edge_phi.checkpoint.read_config`.
    """
    from edge_phi.checkpoint import read_config

    return read_config(_folder(model)).hidden_size


def _embed_chunk(texts: list[str], phi: Any, tokenizer: Any) -> npt.NDArray[np.float32]:
    import torch

    context = phi.config.max_position_embeddings
    encoded = [np.array(each.ids[:context]) for each in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
    lengths: dict[int, list[int]] = {}
    for index, ids in enumerate(encoded):
        if len(ids):
            lengths.setdefault(min(-(-len(ids) // _PADDED_TO) * _PADDED_TO, context), []).append(index)
    vectors = np.zeros((len(texts), phi.config.hidden_size), dtype=np.float32)
    for length, indices in sorted(lengths.items()):
        rows = max(1, _BATCH_TOKENS // length)
        for start in range(0, len(indices), rows):
            batch = indices[start : start + rows]
            tokens = np.zeros((rows, length), dtype=np.int64)
            for row, index in enumerate(batch):
                tokens[row, : len(encoded[index])] = encoded[index]
            with torch.no_grad():
                hidden = phi(torch.from_numpy(tokens)).numpy()
            for row, index in enumerate(batch):
                vectors[index] = hidden[row, : len(encoded[index])].mean(axis=0, dtype=np.float64)
    return vectors


def _folder(model: Path | None) -> Path:
    from edge_phi.store import DEFAULT_MODEL, bundled_folder

    return (model or bundled_folder() / DEFAULT_MODEL).resolve()


@functools.lru_cache(maxsize=1)
def _loaded(folder: Path) -> tuple[Any, Any]:
    """A model whose forward pass ends with the hidden states, and its tokenizer."""
    from edge_phi.errors import MissingExtra

    try:
        import torch

        from ..state_dict import load_checkpoint
    except ImportError as error:
        raise MissingExtra(f"embedding needs {error.name}: pip install 'edge-phi[train]'") from error
    from .shards import TOKENIZER_FILE, read_tokenizer

    phi: Any = load_checkpoint(folder).eval()
    phi.lm_head = torch.nn.Identity()  # nobody asks for logits, a third of the bundled model's work
    tokenizer = read_tokenizer(folder / TOKENIZER_FILE)
    tokenizer.encode_special_tokens = True  # "<|endoftext|>" in a text is text
    return phi, tokenizer


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
