"""What of a buffer the model reads: the text before the cursor, as far as the context holds it.

- Training joins documents by the end-of-text token, so a prompt that begins where the file begins starts with it, and
  one whose left edge lies inside the file does not.
- The left edge moves in steps of about a third of the context, to where a definition begins or at least a line, so that
  from one key to the next the prompt keeps its beginning, and with it the cache.
- What is cut off may be needed: imports and headers of definitions whose names occur further down come first. They
  are looked for in steps, too, for each change of them costs the whole cache.
- The last word or the white space at the cursor is not read but repeated by the model: see healing.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from ..errors import InvalidCall
from ..tokenizer import Tokenizer
from .healing import Healing, Vocabulary, heal, split_typed
from .outline import needed

# A tokenizer never joins a sign with white space after it, so text may be encoded in pieces cut there.
_PIECE = re.compile(r"\s*\S+(?:[^\S\n]+\S+)*|\s+")
_SURROGATE = re.compile("[\ud800-\udfff]")

_MAX_CHARACTERS_PER_TOKEN = 8  # more of the text than this a prompt does not look at; code has three to four
_MAX_TOKENS_PER_CHARACTER = 4  # bytes of a character in UTF-8
_MIN_BUDGET = 16
_HEALING_TOKENS = 16  # more than most words take
_CUT_OFF_SHARE = 8  # one in so many tokens at most is taken from before the left edge
_LOOK_STEP = 256  # characters typed until it is looked again at what is needed
_REACH = 20_000  # characters at a file's start, and before the left edge, that are searched for what is needed
_DEFINITION = re.compile(r"^(?:@|(?:async[ \t]+)?def[ \t]|class[ \t])", re.MULTILINE)
_METHOD = re.compile(r"^[ \t]+(?:@|(?:async[ \t]+)?def[ \t])", re.MULTILINE)


@dataclass(frozen=True)
class Prompt:
    """What the model reads, and what it has to repeat of the text before the cursor."""

    tokens: tuple[int, ...]
    healing: Healing
    cut_off: int = 0  # how many of the tokens, after an end of text, are taken from before the left edge


class PromptBuilder:
    """Builds prompts for one model. Remembers how lines are encoded, for most are the same at the next key."""

    def __init__(self, tokenizer: Tokenizer, context_length: int, vocabulary: Vocabulary | None = None) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary or Vocabulary(tokenizer)
        self._context_length = context_length
        self._needed = lru_cache(maxsize=8)(needed)
        self._encode_piece = lru_cache(maxsize=4096)(lambda piece: tuple(tokenizer.encode(piece)))

    def build(self, before: str, max_tokens: int) -> Prompt:
        """The prompt for a cursor after `before`, whose newlines are "\\n", with room for `max_tokens`.

        The room kept is at most half of the context; decoding ends where the context does.

        Raises:
            InvalidCall: the context is too short for any prompt.
        """
        if not before.isascii():
            before = _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", before)
        text, typed = split_typed(before)
        head, healing = heal(typed, self._tokenizer, self._vocabulary)
        healed = len(head) + len(healing.choices)
        if healed > self._context_length // 8:  # a word of emoji, or a context that is tiny
            text, head, healing, healed = before, [], Healing(), 0
        budget = self._context_length - min(max_tokens, self._context_length // 2)
        # One for the end of text. What healing takes differs from key to key, and the left edge must not follow it.
        budget -= 1 + max(_HEALING_TOKENS, healed)
        if budget < _MIN_BUDGET:
            raise InvalidCall(f"a context of {self._context_length} tokens is too short to complete in")
        above, window = self._window(text, budget)
        return Prompt((*above, *window, *head), healing, max(0, len(above) - 1))

    def _window(self, text: str, budget: int) -> tuple[list[int], list[int]]:
        """Tokens of the end of `text`, and what stands before them; at most `budget` and an end of text."""
        share = budget // _CUT_OFF_SHARE
        for edge in _left_edges(text, budget):
            tokens = self._encode(text[edge:])
            if not edge and len(tokens) <= budget:
                return [self._tokenizer.end_of_text], tokens
            if edge and len(tokens) <= budget - share:
                return self._cut_off(text, edge, share), tokens
        raise AssertionError("the last left edge leaves less text than any budget")

    def _cut_off(self, text: str, edge: int, most: int) -> list[int]:
        """An end of text and what is needed of the text before `edge`, at most `most` tokens; or nothing."""
        near = text[edge : edge + (len(text) - edge) // _LOOK_STEP * _LOOK_STEP]
        far = max(edge - _REACH, min(edge, _REACH))
        tokens: list[int] = []
        for statement in self._needed(text[: min(edge, _REACH)] + "\n" + text[far:edge], near):
            more = self._encode(statement)
            if len(tokens) + len(more) <= most:
                tokens += more
        return [self._tokenizer.end_of_text, *tokens] if tokens else []

    def _encode(self, text: str) -> list[int]:
        return [token for piece in _PIECE.findall(text) for token in self._encode_piece(piece)]


def _left_edges(text: str, budget: int) -> Iterator[int]:
    """Offsets where a window may begin, from the one that leaves most; the last leaves `budget` bytes or less."""
    longest = budget * _MAX_CHARACTERS_PER_TOKEN
    if len(text) <= longest:
        yield 0
    # Edges depend on the text before them and a little after, which is there: text added at the end moves none of them.
    for step, reach, least in (
        (budget, budget // 2, budget // 2),
        (budget // (2 * _MAX_TOKENS_PER_CHARACTER), 0, 1),
    ):
        first = max(1, -(-(len(text) - longest) // step))
        for position in range(first * step, len(text), step):
            if len(text) - position < reach + least:
                break
            newline = text.find("\n", position - 1, position + step - 1)
            edge = _definition(text, position, reach) or (newline + 1 if newline >= 0 else position)
            if len(text) - edge >= least:
                yield edge


def _definition(text: str, position: int, reach: int) -> int | None:
    """Where the first definition begins at or after `position`, one at the top level before a method."""
    for pattern in (_DEFINITION, _METHOD):
        if reach and (match := pattern.search(text, position, position + reach)):
            return match.start()
    return None
