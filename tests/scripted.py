"""A runtime whose text is known: it has learned one document by heart, token by token."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from edge_phi.errors import Cancelled
from edge_phi.runtimes import RuntimeInfo, check_extend, check_rewind
from edge_phi.tokenizer import Tokenizer


class LearnedRuntime:
    """Continues `document` wherever its tokens come as the tokenizer writes them; otherwise it writes question marks.

    So it is misled by a prompt that ends inside what training has as one token, as a real model is. Rows are wider than
    the vocabulary, and the padding is what it likes best.
    """

    def __init__(self, tokenizer: Tokenizer, document: str, *, context_length: int = 512) -> None:
        self._tokenizer = tokenizer
        self._document = document
        self._encode = functools.cache(tokenizer.encode)
        self.cache: list[int] = []
        self.extended: list[list[int]] = []  # every call's tokens
        self.info = RuntimeInfo("scripted", "float32", 0, tokenizer.vocab_size + 64, context_length, 1)

    @property
    def length(self) -> int:
        return len(self.cache)

    def extend(
        self, tokens: Sequence[int], *, all_logits: bool = False, cancel: threading.Event | None = None
    ) -> npt.NDArray[np.float32]:
        check_extend(tokens, self.length, self.info)
        if cancel is not None and cancel.is_set():
            raise Cancelled("cancelled")
        self.extended.append(list(tokens))
        self.cache += tokens
        logits = np.zeros((1, self.info.vocab_size), np.float32)
        logits[0, self._next()] = 10
        logits[0, self._tokenizer.vocab_size :] = 99
        return logits

    def rewind(self, length: int) -> None:
        check_rewind(length, self.length)
        del self.cache[length:]

    def close(self) -> None:
        self.cache = []

    def _next(self) -> int:
        end = self._tokenizer.end_of_text
        learned = [end, *self._encode(self._document), end]
        if self.cache[0] != end:  # a window inside the document
            start = self._document.find(self._tokenizer.decode(self.cache))
            learned = [*self._encode(self._document[start:]), end] if start >= 0 else []
        if learned[: self.length] == self.cache and self.length < len(learned):
            return learned[self.length]
        return self._encode("?")[0]


class TypingRuntime:
    """Types `document` on from wherever the prompt ends in it, by the longest tokens that fit, then ends the text.

    Unlike `LearnedRuntime` it is never misled by how a prompt was cut into tokens. `likely(typed)` is the probability
    of the token that comes after `typed`, the bytes of the document before it.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        document: str,
        *,
        context_length: int = 4096,
        likely: Callable[[bytes], float] = lambda typed: 0.9,
    ) -> None:
        self._document = document.encode()
        self._likely = likely
        self._end = tokenizer.end_of_text
        self._words = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
        self.cache: list[int] = []
        self.info = RuntimeInfo("scripted", "float32", 0, tokenizer.vocab_size, context_length, 1)

    @property
    def length(self) -> int:
        return len(self.cache)

    def extend(
        self, tokens: Sequence[int], *, all_logits: bool = False, cancel: threading.Event | None = None
    ) -> npt.NDArray[np.float32]:
        check_extend(tokens, self.length, self.info)
        if cancel is not None and cancel.is_set():
            raise Cancelled("cancelled")
        self.cache += tokens
        typed = b"".join(self._words[token] for token in self.cache if token != self._end)
        assert self._document.startswith(typed), f"the prompt is not of the document: {typed!r}"
        rest = self._document[len(typed) :]
        fitting = [(len(word), token) for token, word in enumerate(self._words) if word and rest.startswith(word)]
        longest = max(fitting)[1] if rest else self._end
        probability = self._likely(typed)
        logits = np.full((1, len(self._words)), np.log((1 - probability) / (len(self._words) - 1)), np.float32)
        # Where healing leaves a choice of the shorter ones only, the longest of those.
        for length, token in fitting:
            logits[0, token] += length * 1e-3
        logits[0, longest] = np.log(probability)
        return logits

    def rewind(self, length: int) -> None:
        check_rewind(length, self.length)
        del self.cache[length:]

    def close(self) -> None:
        self.cache = []
