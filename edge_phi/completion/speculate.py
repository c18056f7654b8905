"""Speculation: tokens guessed from what was read before, which the model then checks several at once.

Code repeats itself, so what followed the last few tokens the last time they were seen is often what follows now (prompt
lookup, Saxena 2023, https://github.com/apoorvumang/prompt-lookup-decoding; the model's checking is speculative decoding
without sampling, Leviathan et al. 2023, https://arxiv.org/abs/2211.17192). Whether that pays depends on what an engine
takes for several tokens, its append curve, and on how often such guesses held of late. Where it does not pay nothing
is drafted; guesses are then still compared with what the model wrote, which costs nothing, so that it can begin again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .prefix import common_prefix

LONGEST_DRAFT = 8  # tokens

_LONGEST, _SHORTEST = 4, 1  # tokens that have to match
_MEMORY = 0.9  # weight of what was known of a kind of match, at each new one
# Share of tokens that hold, before any was seen: from code of the standard library.
_PRIOR = {1: 0.2, 2: 0.35, 3: 0.55, 4: 0.7}
_GAIN = 1.05  # what a draft has to promise over none


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


class Speculation:
    """Drafts for one model; remembers over all texts how often its guesses held."""

    def __init__(self, curve: AppendCurve) -> None:
        self.curve = curve
        self._held = dict(_PRIOR)
        self._lookup = Lookup(())
        self._guess: list[tuple[int, int]] = []

    def begin(self, tokens: Sequence[int]) -> None:
        """Start on a text of which `tokens` have been read, those included that were in the cache."""
        self._lookup.begin(tokens)
        self._guess = []

    def draft(self, room: int) -> list[int]:
        """At most `room` tokens worth checking beside the next one; often none."""
        self._guess = self._lookup.find(LONGEST_DRAFT)
        return [token for token, _ in self._guess[: self._best_length(room)]]

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

    def _best_length(self, most: int) -> int:
        """The draft's length with the most tokens to expect in a millisecond."""
        costs = self.curve.ms
        best, speed = 0, _GAIN / costs[0]
        expected = power = 1.0
        for length in range(1, min(most, len(self._guess), len(costs) - 1) + 1):
            power *= self._held[self._guess[length - 1][1]]
            expected += power
            if expected / costs[length] > speed:
                best, speed = length, expected / costs[length]
        return best
