"""What was typed but is read by the model as a beginning only: token healing.

A tokenizer cuts text before a word, and the space before a word belongs to it: " return" is one token. Text that ends
in spaces, or inside a word, ends where no text of the training ended, and a model continues it badly. So the last word,
or the white space at the end, is left out of the prompt, and the model must begin with it: at each step it may choose
the token the tokenizer would have chosen, or any token that covers all that is left to repeat.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ..tokenizer import Tokenizer

# The last piece of a text as GPT-2's pre-tokenizer cuts it: letters, digits or other signs; and the white space before
# it, whose last space may belong to it. Of a longer run, such as a ruler of dashes, the end is as good.
_LAST_WORD = re.compile(r"\s{0,64}(?:[^\W\d_]{1,32}|\d{1,32}|(?:[^\w\s]|_){1,32})\Z")
_LONGEST = 64 + 32
_MAX_WHITE_SPACE = 64  # characters; more than that is part of the prompt


@dataclass(frozen=True)
class Healing:
    """What the model has to repeat before its own text begins."""

    typed: str = ""
    canonical: tuple[int, ...] = ()  # the tokens the tokenizer would have chosen
    choices: tuple[npt.NDArray[np.int64], ...] = ()  # choices[k]: tokens allowed after canonical[:k]


class Vocabulary:
    """The tokens of a tokenizer in the order of their bytes."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        words = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
        ids = sorted((token for token in range(len(words)) if token != tokenizer.end_of_text), key=words.__getitem__)
        self._words = [words[token] for token in ids]
        self._ids = np.array(ids, dtype=np.int64)

    def starting_with(self, prefix: bytes) -> npt.NDArray[np.int64]:
        """Ids of all tokens whose bytes begin with `prefix`, which is not empty; end of text is not among them."""
        first = bisect_left(self._words, prefix)
        # UTF-8 has no byte 0xff, but a token may be that byte alone.
        beyond = prefix.rstrip(b"\xff")
        last = bisect_left(self._words, beyond[:-1] + bytes([beyond[-1] + 1])) if beyond else len(self._words)
        return self._ids[first:last]


def split_typed(text: str) -> tuple[str, str]:
    """Cut `text` into what the model reads and what it has to repeat: trailing white space, else the last word."""
    read = text.rstrip()
    if len(text) - len(read) > _MAX_WHITE_SPACE:
        return text, ""
    if len(read) == len(text):
        match = _LAST_WORD.search(text, max(0, len(text) - _LONGEST))
        read = text[: match.start()] if match else text
    return read, text[len(read) :]


def heal(typed: str, tokenizer: Tokenizer, vocabulary: Vocabulary) -> tuple[list[int], Healing]:
    """The tokens that `typed` certainly begins with, to be added to the prompt, and the choices for what is left."""
    # The last space of white space belongs to the word that comes, whatever it is.
    fixed = typed[:-1] if typed.isspace() else typed
    canonical = tokenizer.encode(fixed) if fixed else []
    choices, left = [], [typed.encode()]
    for token in canonical:
        covering = vocabulary.starting_with(left[-1])
        choices.append(covering if token in covering else np.append(covering, token))
        left.append(left[-1][len(tokenizer.token_bytes(token)) :])
    if left[-1]:
        choices.append(vocabulary.starting_with(left[-1]))
    if not all(len(choice) for choice in choices):  # a tokenizer that cannot write it: nothing to choose from
        return tokenizer.encode(typed), Healing()

    # Where there is one choice the model need not be asked.
    certain = 0
    for count, choice in enumerate(choices[:-1], start=1):
        if len(choice) > 1:
            break
        if _is_text(left[count]):
            certain = count
    return canonical[:certain], Healing(left[certain].decode(), tuple(canonical[certain:]), tuple(choices[certain:]))


def _is_text(data: bytes) -> bool:
    """Whether `data` does not begin inside a character, being the end of a text."""
    return not data or data[0] & 0b1100_0000 != 0b1000_0000
