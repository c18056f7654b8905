"""Latency of one runtime: how long prefill takes, and how long each token after it.

A pass over a prompt starts from an empty cache, so that nothing is reused. Decoding is greedy and goes on past
end-of-text, so that every engine does the same work.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import EdgePhiError
from ..runtimes import Runtime
from .percentile import percentile as percentile

Clock = Callable[[], int]  # nanoseconds from any fixed start


@dataclass(frozen=True)
class PromptTiming:
    """One greedy pass over one prompt."""

    prompt_tokens: int
    ttft_ms: float  # from handing over the prompt to knowing the first new token
    itl_ms: tuple[float, ...]  # from each new token to the next: one fewer than there are tokens
    tokens: tuple[int, ...]  # what was decoded


@dataclass(frozen=True)
class Latency:
    """What the passes over all prompts say together."""

    ttft_ms: float  # of the longest prompt
    prefill_tokens_per_s: float  # of the longest prompt
    decode_tokens_per_s: float  # over all prompts
    itl_p50_ms: float
    itl_p95_ms: float


def time_prompt(
    runtime: Runtime, prompt: Sequence[int], new_tokens: int, *, clock: Clock = time.perf_counter_ns
) -> PromptTiming:
    """Decode `new_tokens` (at least 2) tokens greedily after `prompt`, timing each.

    The choice of the token is part of its time; turning text into tokens and back is not, being the same everywhere.

    Raises:
        InvalidCall: the prompt and the new tokens do not fit the context.
        EdgePhiError: the engine returned logits that are not numbers.
    """
    runtime.rewind(0)
    times = [clock()]
    tokens = []
    step = list(prompt)
    for _ in range(new_tokens):
        token = _greedy(runtime, step)
        times.append(clock())
        tokens.append(token)
        step = [token]
    elapsed_ms = [(after - before) / 1e6 for before, after in itertools.pairwise(times)]
    return PromptTiming(len(prompt), elapsed_ms[0], tuple(elapsed_ms[1:]), tuple(tokens))


def summarize(timings: Sequence[PromptTiming]) -> Latency:
    """One round's figures from its passes: TTFT and prefill of the longest prompt, the rest over all tokens.

    Decode speed is tokens over time, sum over sum: a mean of rates would overstate it.
    """
    longest = max(timings, key=lambda timing: timing.prompt_tokens)
    latencies = [itl for timing in timings for itl in timing.itl_ms]
    return Latency(
        ttft_ms=longest.ttft_ms,
        prefill_tokens_per_s=_per_s(longest.prompt_tokens, longest.ttft_ms),
        decode_tokens_per_s=_per_s(len(latencies), sum(latencies)),
        itl_p50_ms=percentile(latencies, 50),
        itl_p95_ms=percentile(latencies, 95),
    )


def _greedy(runtime: Runtime, tokens: list[int]) -> int:
    logits = runtime.extend(tokens)[-1]
    token = int(logits.argmax())
    if not math.isfinite(logits[token]):  # argmax finds a NaN where there is one
        raise EdgePhiError(
            f"{runtime.info.engine} {runtime.info.quant}: its logits are not finite numbers: convert it again"
        )
    return token


def _per_s(count: int, elapsed_ms: float) -> float:
    # A clock too coarse for the work gives no rate; infinity is not JSON.
    return count / elapsed_ms * 1e3 if elapsed_ms > 0 else 0.0
