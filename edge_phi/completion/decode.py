"""Logits to text: the one decode loop over any runtime, greedy and sampled."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Sequence

import numpy as np
import numpy.typing as npt

from ..errors import Cancelled, EdgePhiError
from ..runtimes import Runtime
from ..tokenizer import TextStream, Tokenizer
from .confidence import Confidence
from .healing import Healing
from .settings import GREEDY as GREEDY
from .settings import DecodeSettings as DecodeSettings
from .speculate import Speculation
from .suggestion import Finish as Finish
from .suggestion import Step as Step
from .verdict import StopRule, judge


def decode(
    runtime: Runtime,
    prompt: Sequence[int],
    tokenizer: Tokenizer,
    settings: DecodeSettings = GREEDY,
    *,
    stops: Sequence[StopRule] = (),
    healing: Healing | None = None,
    speculation: Speculation | None = None,
    cancel: threading.Event | None = None,
) -> Generator[Step, None, Finish]:
    """Extend `runtime` by `prompt`, then choose token after token, each yielded as it comes.

    The runtime's cache may hold the prompt's beginning already; `prompt` is what is not in it. Ids beyond the
    tokenizer's vocabulary, which pad some models' embeddings, are never chosen. A token that ends the text is yielded
    too; it has no text of its own. The last token chosen is not in the runtime's cache.

    With `speculation`, which has begun on the whole prompt, greedy decoding checks several tokens at once where that
    pays. The tokens are the same as without.

    With a temperature or a repetition penalty it is left out: the choice depends on more than the logits.

    Returns:
        Why it ended, as the generator's return value.

    Raises:
        InvalidCall: `prompt` is empty or does not fit the context.
        EdgePhiError: the model's logits are not numbers.
    """
    start_ns = time.perf_counter_ns()
    # Importing numpy.random takes as long as a token of a small model.
    random = np.random.default_rng(settings.seed) if settings.temperature else None
    stream, ends = TextStream(tokenizer), tokenizer.ends
    healing = healing or Healing()
    healed = 0 if healing.choices else None  # how many of its canonical tokens came; None once past it
    text, settled = "", 0
    typed = len(healing.typed)  # characters of the text so far that are only repeated
    chosen: list[int] = []
    confidence = Confidence(settings.min_logprob)
    if settings.temperature or settings.repetition_penalty != 1:
        speculation = None
    reader = _Reader(runtime, prompt, tokenizer.vocab_size, speculation)
    while True:
        if cancel is not None and cancel.is_set():
            reader.forget()
            return "cancelled"
        allowed = None if healed is None else healing.choices[healed]
        try:
            logits = reader.next(0 if healed is not None else settings.max_tokens - len(chosen) - 1, cancel)
        except Cancelled:
            return "cancelled"
        token = choose(penalized(logits, chosen, settings.repetition_penalty), allowed, settings, random)
        time_ns = time.perf_counter_ns()
        reader.push(token)
        if healed is not None:
            on_path = healed < len(healing.canonical) and token == healing.canonical[healed]
            healed = healed + 1 if on_path and healed + 1 < len(healing.choices) else None
        # The token that completes what was typed may bring text of its own, so it counts.
        if healed is None:
            chosen.append(token)
        if settings.min_logprob is not None and healed is None:
            confidence.add(logprob(logits, allowed, token))

        ended = token in ends
        text += stream.finish() if ended else stream.push(token)
        late = time_ns - start_ns >= settings.max_seconds * 1e9
        full = late or len(chosen) == settings.max_tokens or reader.length == runtime.info.context_length
        if full and not ended:
            text += stream.finish()
        # What is held back when no more may be written is left out, for it may have become anything.
        end, stopped, instead = judge(stops, text[typed:], ended=ended)
        end = max(settled, end) if confidence.sure else settled
        over = ended or stopped or full or confidence.lost
        if over:
            reader.forget()
        replaced = over and not (settled or end) and confidence.sure
        yield Step(token, instead if replaced else text[typed + settled : typed + end], time_ns)
        settled = end
        if confidence.lost or (over and not confidence.sure):
            return "unsure"
        if over:
            return "end" if ended else "stop" if stopped else "time" if late else "length"


def penalized(logits: npt.NDArray[np.float32], chosen: Sequence[int], penalty: float) -> npt.NDArray[np.float32]:
    """`logits` (float32 [vocabulary]), those of `chosen` less by `penalty`; see `DecodeSettings.repetition_penalty`.

    Negative ones are multiplied, as everybody does since: divided, they would grow.
    """
    if penalty == 1 or not chosen:
        return logits
    logits, again = logits.copy(), np.unique(chosen)
    values = logits[again]
    logits[again] = np.where(values > 0, values / penalty, values * penalty)
    return logits


def choose(
    logits: npt.NDArray[np.float32],
    allowed: npt.NDArray[np.int64] | None,
    settings: DecodeSettings,
    random: np.random.Generator | None,
) -> int:
    """An id of `logits` (float32 [vocabulary]), one of `allowed` (int64 [choices]) if that is given.

    `random` may be None where the temperature is 0.

    Raises:
        EdgePhiError: the logits are not numbers.
    """
    if allowed is not None:
        logits = logits[allowed]
    if np.isnan(logits).any():
        raise EdgePhiError("the model's logits are not numbers: its weights are damaged, get the model again")
    if settings.temperature == 0:
        index = int(logits.argmax())
    else:
        assert random is not None
        index = _sample(logits, settings, random)
    return index if allowed is None else int(allowed[index])


def logprob(logits: npt.NDArray[np.float32], allowed: npt.NDArray[np.int64] | None, token: int) -> float:
    """The natural log-probability of `token` among `allowed`, or all of `logits` (float32 [vocabulary])."""
    among = logits if allowed is None else logits[allowed]
    highest = among.max()
    return float(logits[token] - highest - np.log(np.exp(among - highest).sum()))


def _sample(logits: npt.NDArray[np.float32], settings: DecodeSettings, random: np.random.Generator) -> int:
    scaled = (logits.astype(np.float64) - float(logits.max())) / settings.temperature
    order = np.argsort(-scaled, kind="stable")
    to_largest = np.exp(scaled[order])  # probabilities, the largest being 1
    cumulative = np.cumsum(to_largest)
    # The nucleus: the fewest most probable tokens that together have top_p.
    count = int(np.searchsorted(cumulative, settings.top_p * cumulative[-1])) + 1
    nucleus = cumulative[: min(count, int((to_largest >= settings.min_p).sum()))]
    return int(order[np.searchsorted(nucleus, random.random() * nucleus[-1], side="right")])


_PORTION = 512  # tokens of a prompt read in one call: what of it is read stays read if the next call is cancelled


class _Reader:
    """Gives the logits after each token; with speculation, those after drafted tokens are computed along with them.

    What lies in the runtime's cache beyond `length` is drafted only, until the caller has chosen the same.
    """

    def __init__(
        self, runtime: Runtime, prompt: Sequence[int], vocabulary: int, speculation: Speculation | None
    ) -> None:
        self.length = runtime.length  # tokens in the cache that were chosen, or are the prompt's
        self._runtime, self._vocabulary, self._speculation = runtime, vocabulary, speculation
        self._unread = list(prompt)
        self._draft: list[int] = []  # in the cache, beyond `length`
        self._rows: npt.NDArray[np.float32] = np.empty(
            (0, 0), np.float32
        )  # after `length` tokens and after the draft's
        self._together = False  # whether they were computed with a draft
        self._pushed: list[int] = []  # since the last draft

    def next(self, room: int, cancel: threading.Event | None) -> npt.NDArray[np.float32]:
        """float32 [vocabulary]: what may come after all tokens so far. At most `room` more are drafted.

        Raises:
            Cancelled: the cache is as it was.
        """
        if self._draft and self._unread == self._draft[:1]:
            self._rows = self._rows[1:]
            del self._draft[0]
            self.length += 1
        else:
            self.forget()
            self._read(self._drafted(room, cancel), cancel)
        # Alone, a token's logits differ a little in some engines: where two are near, that must not decide.
        if self._together and self._speculation is not None and _undecided(self._rows[0], self._speculation.curve.tie):
            self.length -= 1
            self.forget()
            self._unread = self._unread[-1:]
            self._read([], cancel)
        row: npt.NDArray[np.float32] = self._rows[0]
        return row

    def push(self, token: int) -> None:
        """Go on after `token`, chosen from what `next` gave."""
        self._unread = [token]
        self._pushed.append(token)

    def forget(self) -> None:
        """Drop from the cache what was only drafted."""
        self._draft, self._together = [], False
        if self._runtime.length > self.length:
            self._runtime.rewind(self.length)

    def _drafted(self, room: int, cancel: threading.Event | None) -> list[int]:
        if self._speculation is None or not self._pushed:  # a prompt is read by itself
            return []
        self._speculation.push(self._pushed)
        self._pushed = []
        room = min(room, self._runtime.info.context_length - self.length - len(self._unread))
        return self._speculation.draft(room, cancel)

    def _read(self, draft: list[int], cancel: threading.Event | None) -> None:
        while len(self._unread) > _PORTION:
            self._runtime.extend(self._unread[:_PORTION], cancel=cancel)
            self._unread = self._unread[_PORTION:]
            self.length += _PORTION
        logits = self._runtime.extend([*self._unread, *draft], all_logits=bool(draft), cancel=cancel)
        self._rows = logits[:, : self._vocabulary]
        self._draft, self._together = draft, bool(draft)
        self.length += len(self._unread)


def _undecided(logits: npt.NDArray[np.float32], tie: float) -> bool:
    """Whether another of `logits` (float32 [vocabulary]) is nearer to the largest than `tie`."""
    return int(np.count_nonzero(logits > logits.max() - np.float32(tie))) > 1
