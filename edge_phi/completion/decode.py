"""Logits to text: the one decode loop over any runtime, greedy and sampled."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..errors import Cancelled, EdgePhiError, InvalidCall
from ..runtimes import Runtime
from ..tokenizer import TextStream, Tokenizer
from .confidence import Confidence
from .healing import Healing
from .verdict import StopRule, judge

# The model ended the text; a stop rule did; the tokens or the context were used up; the model was less sure of its text
# than asked; the caller cancelled.
Finish = Literal["end", "stop", "length", "unsure", "cancelled"]


@dataclass(frozen=True)
class DecodeSettings:
    """How tokens are chosen, and how many.

    Raises:
        InvalidCall: a value is out of range.
    """

    max_tokens: int = 64  # at least 1; what healing repeats is not counted
    temperature: float = 0.0  # 0 is greedy: the most probable token
    top_p: float = 1.0  # nucleus sampling (Holtzman et al. 2020): 0 < top_p <= 1
    seed: int = 0  # of numpy's default generator; the same seed gives the same text
    # Text is settled only where the mean natural log-probability of its tokens is at least this; None settles all.
    min_logprob: float | None = None

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise InvalidCall(f"max tokens is {self.max_tokens}: it must be 1 or more")
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise InvalidCall(f"temperature is {self.temperature}: it must be 0 (greedy) or more")
        if not 0 < self.top_p <= 1:
            raise InvalidCall(f"top-p is {self.top_p}: it must be more than 0 and at most 1")
        if self.seed < 0:
            raise InvalidCall(f"seed is {self.seed}: it must be 0 or more")
        if self.min_logprob is not None and not self.min_logprob <= 0:
            raise InvalidCall(f"min logprob is {self.min_logprob}: it must be 0 or less, as -1.5")


GREEDY = DecodeSettings()


@dataclass(frozen=True)
class Step:
    """One decoded token and the text that is settled with it: never a part of a character, never what is cut later."""

    token: int
    text: str  # possibly empty; all steps' texts joined are the completion
    time_ns: int  # time.perf_counter_ns when the token was chosen


def decode(
    runtime: Runtime,
    prompt: Sequence[int],
    tokenizer: Tokenizer,
    settings: DecodeSettings = GREEDY,
    *,
    stops: Sequence[StopRule] = (),
    healing: Healing | None = None,
    cancel: threading.Event | None = None,
) -> Generator[Step, None, Finish]:
    """Extend `runtime` by `prompt`, then choose token after token, each yielded as it comes.

    The runtime's cache may hold the prompt's beginning already; `prompt` is what is not in it. Ids beyond the
    tokenizer's vocabulary, which pad some models' embeddings, are never chosen. A token that ends the text is yielded
    too; it has no text of its own. The last token chosen is not in the runtime's cache.

    Returns:
        Why it ended, as the generator's return value.

    Raises:
        InvalidCall: `prompt` is empty or does not fit the context.
        EdgePhiError: the model's logits are not numbers.
    """
    random = np.random.default_rng(settings.seed)
    stream, ends = TextStream(tokenizer), tokenizer.ends
    healing = healing or Healing()
    healed = 0 if healing.choices else None  # how many of its canonical tokens came; None once past it
    unread, text, settled = list(prompt), "", 0
    typed = len(healing.typed)  # characters of the text so far that are only repeated
    chosen = 0
    confidence = Confidence(settings.min_logprob)
    while True:
        if cancel is not None and cancel.is_set():
            return "cancelled"
        try:
            logits = runtime.extend(unread, cancel=cancel)[-1]
        except Cancelled:
            return "cancelled"
        allowed = None if healed is None else healing.choices[healed]
        token = choose(logits[: tokenizer.vocab_size], allowed, settings, random)
        time_ns = time.perf_counter_ns()
        if healed is not None:
            on_path = healed < len(healing.canonical) and token == healing.canonical[healed]
            healed = healed + 1 if on_path and healed + 1 < len(healing.choices) else None
        # The token that completes what was typed may bring text of its own, so it counts.
        chosen += healed is None
        if settings.min_logprob is not None and healed is None:
            confidence.add(_logprob(logits[: tokenizer.vocab_size], allowed, token))

        ended = token in ends
        text += stream.finish() if ended else stream.push(token)
        full = chosen == settings.max_tokens or runtime.length == runtime.info.context_length
        if full and not ended:
            text += stream.finish()
        # What is held back when no more may be written is left out, for it may have become anything.
        end, stopped = judge(stops, text[typed:], ended=ended)
        end = max(settled, end) if confidence.sure else settled
        yield Step(token, text[typed + settled : typed + end], time_ns)
        settled = end
        if confidence.lost or ((ended or stopped or full) and not confidence.sure):
            return "unsure"
        if ended or stopped or full:
            return "end" if ended else "stop" if stopped else "length"
        unread = [token]


def choose(
    logits: npt.NDArray[np.float32],
    allowed: npt.NDArray[np.int64] | None,
    settings: DecodeSettings,
    random: np.random.Generator,
) -> int:
    """An id of `logits` (float32 [vocabulary]), one of `allowed` (int64 [choices]) if that is given.

    Raises:
        EdgePhiError: the logits are not numbers.
    """
    if allowed is not None:
        logits = logits[allowed]
    if np.isnan(logits).any():
        raise EdgePhiError("the model's logits are not numbers: its weights are damaged, get the model again")
    index = int(logits.argmax()) if settings.temperature == 0 else _sample(logits, settings, random)
    return index if allowed is None else int(allowed[index])


def _logprob(logits: npt.NDArray[np.float32], allowed: npt.NDArray[np.int64] | None, token: int) -> float:
    """The natural log-probability of `token` among `allowed`, or all of `logits` (float32 [vocabulary])."""
    among = logits if allowed is None else logits[allowed]
    highest = among.max()
    return float(logits[token] - highest - np.log(np.exp(among - highest).sum()))


def _sample(logits: npt.NDArray[np.float32], settings: DecodeSettings, random: np.random.Generator) -> int:
    scaled = (logits.astype(np.float64) - float(logits.max())) / settings.temperature
    order = np.argsort(-scaled, kind="stable")
    cumulative = np.cumsum(np.exp(scaled[order]))
    # The nucleus: the fewest most probable tokens that together have top_p.
    nucleus = cumulative[: int(np.searchsorted(cumulative, settings.top_p * cumulative[-1])) + 1]
    return int(order[np.searchsorted(nucleus, random.random() * nucleus[-1], side="right")])
