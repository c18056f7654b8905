"""Speculation: tokens guessed from what was read before, which the model then checks several at once.

Code repeats itself, so what followed the last few tokens the last time they were seen is often what follows now (prompt
lookup, Saxena 2023, https://github.com/apoorvumang/prompt-lookup-decoding; the model's checking is speculative decoding
without sampling, Leviathan et al. 2023, https://arxiv.org/abs/2211.17192). Whether that pays depends on what an engine
takes for several tokens, its append curve, and on how often such guesses held of late. Where it does not pay nothing
is drafted; guesses are then still compared with what the model wrote, which costs nothing, so that it can begin again.

A smaller model of the same tokenizer may guess, too. Its guesses take time, which counts as well.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from ..runtimes import Runtime
from .prefix import common_prefix

LONGEST_DRAFT = 8  # tokens

_LONGEST, _SHORTEST = 4, 1  # tokens that have to match
_MEMORY = 0.9  # weight of what was known of a kind of match, at each new one
# Share of tokens that hold, before any was seen: from code of the standard library.
_PRIOR = {1: 0.2, 2: 0.35, 3: 0.55, 4: 0.7}
_DRAFTED, _DRAFTED_PRIOR = 0, 0.7  # in place of the length of a match: a draft model's guess
_FORGIVEN = 0.02  # of a draft model's bad luck, at each new text: so one that was switched off is tried now and then
_GAIN = 1.05  # what a draft has to promise over none
_SUGGESTION = 24  # tokens: over so many, what a draft model has to read first is worth it or not


@dataclass(frozen=True)
class AppendCurve:
    """What appending to a runtime's cache costs on this machine.

    Attributes:
        ms: milliseconds for 1, 2, 3, ... tokens with the logits of all; at least two, at most LONGEST_DRAFT + 1.
        tie: two logits nearer than this may change places when the same tokens are computed in other portions.
    """

    ms: tuple[float, ...]
    tie: float


class Lookup:
    """Finds what followed the latest earlier occurrence of the last tokens, the longest match first."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens: list[int] = []
        self._after: dict[tuple[int, ...], list[int]] = {}  # tokens that were seen -> where they went on, latest last
        self.begin(tokens)

    def begin(self, tokens: Sequence[int]) -> None:
        """Go over to another text; what both begin with is not entered again."""
        common = common_prefix(self._tokens, tokens)
        while len(self._tokens) > common:
            self._tokens.pop()
            for seen in self._seen():
                places = self._after[seen]
                places.pop()
                if not places:
                    del self._after[seen]
        for token in tokens[common:]:
            self.push(token)

    def push(self, token: int) -> None:
        """Go one token on."""
        # What ends here is entered only now that it has gone on, so that the last tokens never match themselves.
        for seen in self._seen():
            self._after.setdefault(seen, []).append(len(self._tokens))
        self._tokens.append(token)

    def find(self, limit: int) -> list[tuple[int, int]]:
        """At most `limit` tokens that may come next, each with how many before it matched; none if nothing did.

        Each is looked for anew, after those that were guessed before it: so a guess goes on from one place to another,
        and round and round where the text repeats itself.
        """
        found: list[tuple[int, int]] = []
        last = self._tokens[-_LONGEST:]
        while len(found) < limit:
            for length in range(len(last), _SHORTEST - 1, -1):
                places = self._after.get(tuple(last[-length:]))
                if places:
                    break
            else:
                break
            token = self._tokens[places[-1]]
            found.append((token, length))
            last = [*last, token][-_LONGEST:]
        return found

    def _seen(self) -> list[tuple[int, ...]]:
        """The last tokens, in all lengths that are entered."""
        end = len(self._tokens)
        return [tuple(self._tokens[end - length :]) for length in range(_SHORTEST, min(_LONGEST, end) + 1)]


class DraftModel:
    """A smaller model that writes a draft; what it has read before is not read again."""

    def __init__(self, runtime: Runtime, curve: AppendCurve, vocabulary: int) -> None:
        """Take over a runtime.

        Args:
            runtime: of a model with the same tokenizer; nobody else may use it.
            curve: its own.
            vocabulary: tokens beyond it, which pad some models' embeddings, are never drafted.
        """
        self._runtime, self._vocabulary = runtime, vocabulary
        self.token_ms = curve.ms[0]
        self._read_ms = curve.ms[-1] / len(curve.ms)
        self._tokens: list[int] = []
        self._read: list[int] = []  # the tokens in the runtime's cache

    def begin(self, tokens: Sequence[int]) -> None:
        """Go over to another text."""
        self._tokens = list(tokens)

    def push(self, token: int) -> None:
        """Go one token on."""
        self._tokens.append(token)

    def room(self) -> int:
        """How many tokens it can write; 0 where there is nothing to go on from, or the text is too long for it."""
        return max(0, self._runtime.info.context_length - len(self._tokens)) if self._tokens else 0

    def reading_ms(self) -> float:
        """What it takes to read what it has not read of the text, but for one token."""
        return self._read_ms * (len(self._tokens) - 1 - common_prefix(self._read, self._tokens[:-1]))

    def write(self, count: int, cancel: threading.Event | None = None) -> list[int]:
        """The next `count` tokens, 1 to `room()`, each the most probable.

        Raises:
            Cancelled: `cancel` was set.
            EdgePhiError: the engine fails.
        """
        common = common_prefix(self._read, self._tokens[:-1])
        self._runtime.rewind(common)
        del self._read[common:]
        written: list[int] = []
        unread = self._tokens[common:]
        while len(written) < count:
            logits = self._runtime.extend(unread, cancel=cancel)
            self._read += unread
            unread = [int(logits[0, : self._vocabulary].argmax())]
            written += unread
        return written

    def close(self) -> None:
        """Free the model; a second call does nothing."""
        self._runtime.close()


class Speculation:
    """Drafts for one model; remembers over all texts how often its guesses held."""

    def __init__(self, curve: AppendCurve, model: DraftModel | None = None) -> None:
        self.curve = curve
        self._held = {**_PRIOR, _DRAFTED: _DRAFTED_PRIOR}
        self._lookup = Lookup(())
        self._model = model
        self._guess: list[tuple[int, int]] = []

    def begin(self, tokens: Sequence[int]) -> None:
        """Start on a text of which `tokens` have been read, those included that were in the cache."""
        self._lookup.begin(tokens)
        self._guess = []
        if self._model is not None:
            self._model.begin(tokens)
            self._held[_DRAFTED] += _FORGIVEN * max(0.0, _DRAFTED_PRIOR - self._held[_DRAFTED])

    def draft(self, room: int, cancel: threading.Event | None = None) -> list[int]:
        """At most `room` tokens worth checking beside the next one; often none.

        Raises:
            Cancelled: `cancel` was set while a draft model wrote.
            EdgePhiError: a draft model fails.
        """
        self._guess = self._lookup.find(LONGEST_DRAFT)
        length, speed = self._best_length(room, [self._held[matched] for _, matched in self._guess])
        if (model := self._model) is not None:
            most = min(room, model.room())
            chances = [self._held[_DRAFTED]] * min(most, LONGEST_DRAFT)
            count, promised = self._best_length(most, chances, model.token_ms, model.reading_ms())
            if promised > speed:
                self._guess = [(token, _DRAFTED) for token in model.write(count, cancel)]
                length = count
        return [token for token, _ in self._guess[:length]]

    def push(self, tokens: Sequence[int]) -> None:
        """What came after `draft` was asked: at least one token, whether it was in the draft or not."""
        for (guessed, matched), token in zip(self._guess, tokens, strict=False):
            held = guessed == token
            self._held[matched] = _MEMORY * self._held[matched] + (1 - _MEMORY) * held
            if not held:
                break
        self._guess = []
        for token in tokens:
            self._lookup.push(token)
            if self._model is not None:
                self._model.push(token)

    def close(self) -> None:
        """Free the draft model, if there is one; a second call does nothing."""
        if self._model is not None:
            self._model.close()

    def _best_length(
        self, most: int, chances: Sequence[float], token_ms: float = 0.0, reading_ms: float = 0.0
    ) -> tuple[int, float]:
        """The draft's length with the most tokens to expect in a millisecond, and how many that are.

        Each of its tokens holds with one of `chances` if those before do, and took `token_ms`; `reading_ms` come once
        for all of a suggestion. Without a draft it is `_GAIN` times what the model writes alone.
        """
        costs = self.curve.ms
        best, speed = 0, _GAIN / costs[0]
        expected = power = 1.0
        for length in range(1, min(most, len(chances), len(costs) - 1) + 1):
            power *= chances[length - 1]
            expected += power
            took = costs[length] + length * token_ms + reading_ms * min(1.0, expected / _SUGGESTION)
            if expected / took > speed:
                best, speed = length, expected / took
        return best, speed
