"""A loaded model behind one small protocol, one file an engine.

A runtime is a KV cache that can be extended and rewound. Prefix reuse, speculation, scoring and cancelling are written
once, on top of it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from .. import engines, gguf_model
from ..errors import InvalidCall
from ..gguf_header import read_gguf_header
from ..store import Artifact, load_tokenizer_for
from ..tokenizer import Tokenizer


@dataclass(frozen=True)
class RuntimeInfo:
    """What is loaded and how."""

    engine: str  # one of `engines.ENGINES`
    quant: str  # as `Artifact.quant`: "float32", "int4", "q4_0", ...
    file_bytes: int
    vocab_size: int  # width of a row of logits
    context_length: int  # tokens the cache can hold
    threads: int


class Runtime(Protocol):
    """One sequence's KV cache in one engine. Not thread-safe: one worker owns it."""

    @property
    def info(self) -> RuntimeInfo:
        """What is loaded and how."""

    @property
    def length(self) -> int:
        """Tokens now in the cache."""

    def extend(
        self, tokens: Sequence[int], *, all_logits: bool = False, cancel: threading.Event | None = None
    ) -> npt.NDArray[np.float32]:
        """Append `tokens` to the cache and return logits: float32 [1, vocabulary], or [n, vocabulary] if `all_logits`.

        Raises:
            InvalidCall: no tokens, a token out of range, or more tokens than the context holds.
            Cancelled: `cancel` was set; the cache is back at its length before the call.
        """

    def rewind(self, length: int) -> None:
        """Forget all tokens past `length`, 0 <= length <= self.length.

        Raises:
            InvalidCall: `length` is out of range.
        """

    def close(self) -> None:
        """Free the model; a second call does nothing."""


@runtime_checkable
class Remembers(Protocol):
    """A runtime that keeps what it computed before a `rewind`."""

    def reuse(self, tokens: Sequence[int]) -> int:
        """Make the cache hold the longest start of `tokens` that was computed before, and return its length."""


@runtime_checkable
class AdjustsThreads(Protocol):
    """A runtime whose threads wait for one another, so that it should have fewer where cores are shared."""

    def use_threads(self, threads: int) -> None:
        """Compute with so many threads from now on, 1 or more."""


@runtime_checkable
class Snapshots(Protocol):
    """A runtime whose cache can be taken out and put back: sooner than its tokens are read again.

    A snapshot belongs to one model in one engine's version; whoever keeps it must know of which, and that it is whole.
    """

    def snapshot(self) -> bytes:
        """The state of all tokens in the cache."""

    def restore(self, state: bytes, length: int) -> None:
        """Replace what is in the cache by a snapshot of `length` tokens.

        Raises:
            InvalidFile: it is no snapshot of so many tokens; the cache is then empty.
        """


def open_runtime(artifact: Artifact, *, threads: int | None = None) -> Runtime:
    """Load an artifact in the engine that suits it best; see `engines.engine_for`.

    Args:
        artifact: what to load, from `edge_phi.store`.
        threads: computing threads; as many as the cores this process may use if None.

    Raises:
        MissingExtra: the engine is not installed.
        InvalidFile: the artifact is damaged or not supported.
    """
    if artifact.format == "onnx":
        from .onnx import OnnxRuntime

        return OnnxRuntime(artifact, threads=threads)
    if artifact.engine == "native":
        from .native import NativeRuntime, open_suited

        runtime = NativeRuntime(artifact, threads=threads) if engines.asked_for() else open_suited(artifact, threads)
        if runtime is not None:
            return runtime
    if artifact.format == "gguf":
        from .llama_cpp import LlamaCppRuntime

        return LlamaCppRuntime(artifact, threads=threads)
    from .torch import TorchRuntime

    return TorchRuntime(artifact, threads=threads)


def instruction_set(engine: str) -> str:
    """What an engine computes with on this processor; empty where it chooses without telling.

    Raises:
        MissingExtra: it comes with edge-phi and could not be built when that was installed.
    """
    if engine != "native":
        return ""
    from .native import kernels

    return kernels()[0]


def open_tokenizer(artifact: Artifact) -> Tokenizer:
    """The tokenizer of an artifact; that of a GGUF file of another family than Phi as llama.cpp reads it.

    Raises:
        InvalidCall: there is none.
        InvalidFile: it is damaged, or of a kind that is not supported.
        MissingExtra: it takes llama.cpp, which is not installed.
    """
    if artifact.format == "gguf" and read_gguf_header(artifact.path).architecture != gguf_model.ARCHITECTURE:
        from .llama_vocabulary import LlamaTokenizer

        return LlamaTokenizer(artifact.path)
    return load_tokenizer_for(artifact)


# Arithmetic from what phi-1 in 4 bits (0.85 GB) takes on two cores: 30 ms and more a token, so a ninth of its size is
# a few; and 90 tokens of a prompt a second. The largest step of its graph, a layer's dense and fc2, is 5/12 of one of
# 24 layers, 0.19 ms a token: 60 tokens are 11 ms, and a cancel within 20. benchmarks/prompt_chunks.py shows how soon
# prompts stop, and what that costs, for any model and machine.
_SLOW_BYTES = 100e6  # of weights: a single token then takes milliseconds
_STEP_BYTES = 5e10  # weights times tokens that are computed at once
_LEAST_CHUNK = 32  # tokens: with fewer at once a prompt takes much longer


def worth_stopping(count: int, info: RuntimeInfo) -> bool:
    """Whether somebody has to watch for its cancelling while `count` tokens are computed."""
    return count > 1 or info.file_bytes > _SLOW_BYTES


def stoppable_chunk(most: int, info: RuntimeInfo) -> int:
    """Tokens to compute at once, at most `most`, where an engine stops between the steps of its graph only."""
    return max(_LEAST_CHUNK, min(most, int(_STEP_BYTES / max(1, info.file_bytes))))


def check_extend(tokens: Sequence[int], length: int, info: RuntimeInfo) -> None:
    """Refuse what no engine should be handed.

    Raises:
        InvalidCall: no tokens, a token out of range, or more tokens than the context holds.
    """
    if not len(tokens):
        raise InvalidCall("extend needs at least one token")
    if min(tokens) < 0 or max(tokens) >= info.vocab_size:
        raise InvalidCall(f"a token id is outside the vocabulary of {info.vocab_size}")
    if length + len(tokens) > info.context_length:
        raise InvalidCall(f"{length} + {len(tokens)} tokens do not fit the context of {info.context_length}")


def check_rewind(length: int, current: int) -> None:
    """Refuse a rewind past either end of the cache.

    Raises:
        InvalidCall: `length` is not in 0..`current`.
    """
    if not 0 <= length <= current:
        raise InvalidCall(f"cannot rewind to {length}: the cache holds {current} tokens")
