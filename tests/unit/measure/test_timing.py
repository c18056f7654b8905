from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_phi.errors import EdgePhiError
from edge_phi.measure.timing import PromptTiming, percentile, summarize, time_prompt
from edge_phi.runtimes import RuntimeInfo, check_extend, check_rewind


class ScriptedRuntime:
    """After any token its successor; prefill costs 2 ms a token, decoding 10 ms plus 1 ms a token in the cache."""

    def __init__(self) -> None:
        self.info = RuntimeInfo("scripted", "float32", 0, vocab_size=50, context_length=40, threads=1)
        self.now_ns = 0
        self.cache: list[int] = []

    @property
    def length(self) -> int:
        return len(self.cache)

    def clock(self) -> int:
        return self.now_ns

    def extend(
        self, tokens: Sequence[int], *, all_logits: bool = False, cancel: threading.Event | None = None
    ) -> npt.NDArray[np.float32]:
        check_extend(tokens, self.length, self.info)
        self.now_ns += 1_000_000 * (2 * len(tokens) if len(tokens) > 1 else 10 + self.length)
        self.cache += tokens
        return np.eye(50, dtype=np.float32)[[(self.cache[-1] + 1) % 50]]

    def rewind(self, length: int) -> None:
        check_rewind(length, self.length)
        del self.cache[length:]

    def close(self) -> None:
        pass


def test_a_pass_times_prefill_and_each_token_after_it() -> None:
    runtime = ScriptedRuntime()
    runtime.extend([9, 9, 9])  # what is there from before must not be reused
    timing = time_prompt(runtime, [5, 6, 7], 4, clock=runtime.clock)
    # 3 prompt tokens: 6 ms. Then the cache holds 3, 4 and 5 tokens.
    assert timing == PromptTiming(3, 6.0, (13.0, 14.0, 15.0), (8, 9, 10, 11))


def test_a_prompt_that_does_not_fit_is_refused() -> None:
    with pytest.raises(EdgePhiError, match="context of 40"):
        time_prompt(ScriptedRuntime(), list(range(39)), 4)


def test_logits_that_are_not_numbers_are_an_error() -> None:
    runtime = ScriptedRuntime()
    runtime.extend = lambda tokens, **_: np.full((1, 50), np.nan, np.float32)  # type: ignore[method-assign]
    with pytest.raises(EdgePhiError, match="scripted float32: its logits are not finite"):
        time_prompt(runtime, [1, 2], 4)


def test_figures_of_a_round_worked_by_hand() -> None:
    latency = summarize(
        [
            PromptTiming(10, 40.0, (2.0, 4.0), (1, 2, 3)),
            PromptTiming(100, 250.0, (6.0, 8.0), (1, 2, 3)),  # the longest prompt
        ]
    )
    assert latency.ttft_ms == 250.0
    assert latency.prefill_tokens_per_s == 400.0  # 100 tokens in 0.25 s
    assert latency.decode_tokens_per_s == 200.0  # 4 tokens in 20 ms; the mean of the two rates would be 238
    assert latency.itl_p50_ms == 5.0  # half way between 4 and 6
    assert latency.itl_p95_ms == pytest.approx(7.7)  # rank 0.95 x 3 = 2.85: 6 + 0.85 x (8 - 6)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 100))
def test_percentiles_are_numpys(values: list[float], percent: float) -> None:
    assert percentile(values, percent) == pytest.approx(float(np.percentile(values, percent)), abs=1e-6)
