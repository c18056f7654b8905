"""How many tokens a text has, so that every step of the pipeline can say what it kept.

The bundled model's tokenizer counts: a yardstick that is there before a corpus has a tokenizer of its own. What is
packed in the end is counted by the tokenizer that packs.

Byte-level BPE never merges across the words of GPT-2's pre-tokenizer, so a text has as many tokens as its words have,
and a word is encoded once however often it comes: over ten times faster than to encode the text.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

# GPT-2's words ("Language Models are Unsupervised Multitask Learners", the released encoder) where all is ASCII
_WORDS = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+", re.ASCII)
_BEFORE_WHITE_SPACE = re.compile(r"(?<=[!-~])(?=[ \t\n\v\f\r])")  # no word spans this place, whatever is around it
_WORDS_REMEMBERED = 1 << 17
_LONGEST_REMEMBERED = 64  # characters: longer ones seldom come again

_remembered: dict[str, int] = {}


def count(texts: Sequence[str]) -> list[int]:
    """Tokens of each text under the bundled model's byte-level BPE, without special tokens."""
    counted = [Counter(_words(text)) for text in texts]
    tokens = _tokens_of_words({word for words in counted for word in words})
    return [sum([tokens[word] * times for word, times in words.items()]) for words in counted]


def _words(text: str) -> list[str]:
    """Parts of a text that are encoded apart; those with other characters than ASCII may be several words together."""
    if text.isascii():
        return _WORDS.findall(text)
    words: list[str] = []
    for part in _BEFORE_WHITE_SPACE.split(text):
        if part.isascii():
            words += _WORDS.findall(part)
        else:
            words.append(part)
    return words


def _tokens_of_words(words: set[str]) -> dict[str, int]:
    unknown = [word for word in words if word not in _remembered]
    encodings = _yardstick().encode_batch_fast(unknown, add_special_tokens=False)
    fresh = {word: len(encoding.ids) for word, encoding in zip(unknown, encodings, strict=True)}
    tokens = {word: fresh[word] if word in fresh else _remembered[word] for word in words}
    if len(_remembered) > _WORDS_REMEMBERED:
        _remembered.clear()
    _remembered.update((word, number) for word, number in fresh.items() if len(word) <= _LONGEST_REMEMBERED)
    return tokens


@functools.lru_cache(maxsize=1)
def _yardstick() -> Any:
    from tokenizers import Tokenizer

    from edge_phi.store import DEFAULT_MODEL, bundled_folder

    tokenizer = Tokenizer.from_file(str(bundled_folder() / DEFAULT_MODEL / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return tokenizer
