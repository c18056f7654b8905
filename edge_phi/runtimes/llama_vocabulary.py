"""The tokenizer of a GGUF file of another family than Phi, as llama.cpp reads it out of the file."""

from __future__ import annotations

import ctypes
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import InvalidFile
from ..tokenizer import Tokenizer
from .llama_cpp import load_llama_cpp

_MAX_PIECE = 4096  # bytes of one token
_END_OF_TEXT = b"<|endoftext|>"


class LlamaTokenizer(Tokenizer):
    """A `Tokenizer` over llama.cpp's vocabulary: every method is replaced, there is no engine of the base class."""

    def __init__(self, path: Path) -> None:
        """Load the vocabulary of a GGUF file, and none of its weights.

        Raises:
            InvalidFile: llama.cpp does not read it.
            MissingExtra: llama-cpp-python is not installed.
        """
        self._llama = llama = load_llama_cpp()
        parameters = llama.llama_model_default_params()
        parameters.vocab_only = True
        self._model: Any = llama.llama_model_load_from_file(str(path).encode(), parameters)
        if not self._model:
            raise InvalidFile(f"{path}: llama.cpp does not read its tokenizer: get the model again")
        self._vocabulary: Any = llama.llama_model_get_vocab(self._model)

    def __del__(self) -> None:
        if model := getattr(self, "_model", None):
            self._llama.llama_model_free(model)

    @cached_property
    def vocab_size(self) -> int:
        """Number of ids that mean something, added tokens included."""
        return int(self._llama.llama_vocab_n_tokens(self._vocabulary))

    @cached_property
    def end_of_text(self) -> int:
        """Id of the token that stands between documents: `<|endoftext|>`, else the one the file says ends a text."""
        words = (self._llama.llama_vocab_get_text(self._vocabulary, token) for token in self.ends)
        named = [token for token, word in zip(self.ends, words, strict=True) if word == _END_OF_TEXT]
        return named[0] if named else int(self._llama.llama_vocab_eos(self._vocabulary))

    @cached_property
    def ends(self) -> frozenset[int]:
        """Ids that end a text or a turn of a conversation."""
        ids = range(self.vocab_size)
        ends = {token for token in ids if self._llama.llama_vocab_is_eog(self._vocabulary, token)}
        return frozenset(ends | {int(self._llama.llama_vocab_eos(self._vocabulary))})

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The beginning-of-text token where the file says that it is to be added."""
        if not self._llama.llama_vocab_get_add_bos(self._vocabulary):
            return ()
        return (int(self._llama.llama_vocab_bos(self._vocabulary)),)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`; special tokens written out in it are text, not control."""
        raw = text.encode("utf-8", errors="replace")
        room = len(raw) + 8  # a byte is a token at most; some vocabularies add a space
        tokens = (self._llama.llama_token * room)()
        count = self._llama.llama_tokenize(self._vocabulary, raw, len(raw), tokens, room, False, False)
        return list(tokens[: max(0, count)])

    def token_bytes(self, token: int) -> bytes:
        """The bytes one token stands for, empty for those that are control, not text."""
        piece = ctypes.create_string_buffer(_MAX_PIECE)
        length = self._llama.llama_token_to_piece(self._vocabulary, token, piece, _MAX_PIECE, 0, False)
        return piece.raw[: max(0, length)]
