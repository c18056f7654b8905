"""A runtime whose text is known: it has learned one document by heart, token by token."""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence

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
