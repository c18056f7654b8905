"""A smaller model opened to guess what a larger one writes; see `speculate.DraftModel`."""

from __future__ import annotations

from pathlib import Path

from ..errors import InvalidCall
from ..runtimes import open_runtime, open_tokenizer
from ..store import find_model
from ..tokenizer import Tokenizer
from .curve import curve_of
from .measured import machine_key
from .speculate import DraftModel


def open_draft(model: str | Path, tokenizer: Tokenizer, *, threads: int | None = None) -> DraftModel:
    """Load a model to draft for one with this tokenizer. Its append curve is measured if that is not known yet.

    Raises:
        InvalidCall: no such model, or its tokens are others.
        InvalidFile: it is damaged.
        MissingExtra: its engine is not installed.
        EdgePhiError: its engine fails.
    """
    artifact = find_model(model).artifact()
    if not same_tokens(open_tokenizer(artifact), tokenizer):
        raise InvalidCall(f"{model}: has other tokens than the model it is to draft for: take one of the same family")
    runtime = open_runtime(artifact, threads=threads)
    try:
        return DraftModel(runtime, curve_of(runtime, machine_key(artifact, runtime.info)), tokenizer.vocab_size)
    except BaseException:
        runtime.close()
        raise


def same_tokens(first: Tokenizer, second: Tokenizer) -> bool:
    """Whether every id means the same to both."""
    return (
        first.vocab_size == second.vocab_size
        and first.ends == second.ends
        and all(first.token_bytes(token) == second.token_bytes(token) for token in range(first.vocab_size))
    )
