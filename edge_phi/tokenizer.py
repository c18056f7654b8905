"""Text to token ids and back, byte for byte, through the `tokenizer.json` beside every model."""

from __future__ import annotations

import codecs
from functools import cached_property
from pathlib import Path

from tokenizers import Tokenizer as _Engine

from .checkpoint import TOKENIZER_FILE
from .errors import InvalidCall, InvalidFile

_END_OF_TEXT = "<|endoftext|>"


class Tokenizer:
    """A byte-level BPE, as GPT-2, CodeGen and the phi models use."""

    def __init__(self, engine: _Engine) -> None:
        self._engine = engine
        self._engine.encode_special_tokens = True  # else "<|endoftext|>" in a source file would end the prompt
        # Every character that stands for a byte, to that byte; others below 256 to one that has none.
        self._bytes = {code: "\uffff" for code in range(256)}
        self._bytes |= {ord(character): chr(byte) for byte, character in _byte_characters().items()}

    @cached_property  # the engine counts for two milliseconds each time, longer than a token of a small model takes
    def vocab_size(self) -> int:
        """Number of ids that mean something, added tokens included."""
        return int(self._engine.get_vocab_size(with_added_tokens=True))

    @cached_property
    def end_of_text(self) -> int:
        """Id of the token that stands between documents.

        Raises:
            InvalidFile: this tokenizer has none.
        """
        token = self._engine.token_to_id(_END_OF_TEXT)
        if token is None:
            raise InvalidFile(f"the tokenizer has no {_END_OF_TEXT}: it belongs to another family of models")
        return int(token)

    @property
    def ends(self) -> frozenset[int]:
        """Ids that end a text when a model chooses them; the end of text is among them."""
        return frozenset((self.end_of_text,))

    @property
    def starts(self) -> tuple[int, ...]:
        """Ids that this model's makers put before every text: none for phi."""
        return ()

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`; special tokens written out in it are text, not control."""
        return list(self._engine.encode(text, add_special_tokens=False).ids)

    def decode(self, tokens: list[int]) -> str:
        """Text of `tokens`; bytes that are not UTF-8 become U+FFFD."""
        return b"".join(self.token_bytes(token) for token in tokens).decode("utf-8", errors="replace")

    def token_bytes(self, token: int) -> bytes:
        """The bytes one token stands for, empty for ids without a text (padding of the embedding)."""
        text = self._engine.id_to_token(token)
        if text is None:
            return b""
        try:
            return str(text).translate(self._bytes).encode("latin-1")
        except UnicodeEncodeError:  # an added token stands for itself
            return str(text).encode()


class TextStream:
    """Tokens to text as they come: a character split across tokens is held back until it is whole."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token: int) -> str:
        """The text that `token` completes, possibly empty."""
        return self._decoder.decode(self._tokenizer.token_bytes(token))

    def finish(self) -> str:
        """What was held back, as U+FFFD."""
        return self._decoder.decode(b"", final=True)


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load `tokenizer.json` of a model folder.

    Raises:
        InvalidCall: there is none.
        InvalidFile: it is damaged.
    """
    path = folder / TOKENIZER_FILE
    if not path.is_file():
        raise InvalidCall(f"{path}: missing: a model needs its tokenizer beside it")
    try:
        return Tokenizer(_Engine.from_file(str(path)))
    except Exception as error:  # the engine raises bare Exception
        raise InvalidFile(f"{path}: not a tokenizer ({error}): get the model again") from error


def _byte_characters() -> dict[int, str]:
    """GPT-2's reversible map from a byte to a printable character (Radford et al. 2019, encoder.py)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    shifted = iter(range(256, 512))
    return {byte: chr(byte) if byte in printable else chr(next(shifted)) for byte in range(256)}
