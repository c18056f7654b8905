from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scripted import LearnedRuntime

from edge_phi.completion import decode as decode_module
from edge_phi.completion.decode import DecodeSettings, Finish, Step, decode, penalized
from edge_phi.completion.stops import stop_rules
from edge_phi.errors import EdgePhiError, InvalidCall
from edge_phi.runtimes import RuntimeInfo
from edge_phi.tokenizer import Tokenizer, load_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tiny_checkpoint: Path) -> Tokenizer:
    return load_tokenizer(tiny_checkpoint)


class FixedRuntime(LearnedRuntime):
    """Has the same opinion of every next token: `probabilities` for the first ids, none for the others."""

    def __init__(self, tokenizer: Tokenizer, probabilities: Sequence[float]) -> None:
        super().__init__(tokenizer, "", context_length=100_000)
        self.info = RuntimeInfo("scripted", "float32", 0, tokenizer.vocab_size, 100_000, 1)
        self._logits = np.full((1, tokenizer.vocab_size), -np.inf, np.float32)
        self._logits[0, 1 : 1 + len(probabilities)] = np.log(probabilities)  # id 0 ends the text

    def extend(
        self, tokens: Sequence[int], *, all_logits: bool = False, cancel: threading.Event | None = None
    ) -> npt.NDArray[np.float32]:
        self.cache += tokens
        return self._logits


def run(
    tokenizer: Tokenizer, document: str, before: str = "", settings: DecodeSettings | None = None, **options: object
) -> tuple[list[Step], Finish]:
    context_length = options.pop("context_length", 512)
    runtime = LearnedRuntime(tokenizer, document, context_length=context_length)  # type: ignore[arg-type]
    prompt = [tokenizer.end_of_text, *tokenizer.encode(before)]
    decoding = decode(runtime, prompt, tokenizer, settings or DecodeSettings(max_tokens=300), **options)  # type: ignore[arg-type]
    steps = []
    while True:
        try:
            steps.append(next(decoding))
        except StopIteration as ended:
            return steps, ended.value


def text(steps: list[Step]) -> str:
    return "".join(step.text for step in steps)


def test_ends_with_the_text_and_never_chooses_padding(tokenizer: Tokenizer) -> None:
    steps, finish = run(tokenizer, "total = 1\n")
    assert (text(steps), finish) == ("total = 1\n", "end")
    assert [step.token for step in steps] == [*tokenizer.encode("total = 1\n"), tokenizer.end_of_text]
    assert steps == sorted(steps, key=lambda step: step.time_ns)


def test_a_character_is_shown_whole(tokenizer: Tokenizer) -> None:
    steps, _ = run(tokenizer, "s = '😀'")
    assert len(tokenizer.encode("😀")) == 4
    assert [step.text for step in steps if "\N{REPLACEMENT CHARACTER}" in step.text] == []
    assert text(steps) == "s = '😀'"


def test_a_character_cut_by_the_limit_is_said_to_be_cut(tokenizer: Tokenizer) -> None:
    steps, finish = run(tokenizer, "😀", settings=DecodeSettings(max_tokens=2))
    assert (text(steps), finish) == ("\N{REPLACEMENT CHARACTER}", "length")


def test_length(tokenizer: Tokenizer) -> None:
    steps, finish = run(tokenizer, "a b c d e f", settings=DecodeSettings(max_tokens=3))
    assert (len(steps), finish) == (3, "length")


def test_a_full_context_ends_it(tokenizer: Tokenizer) -> None:
    steps, finish = run(tokenizer, "a b c d e f g h i j", context_length=8)
    # The last token is chosen from a full cache and is not in it.
    assert (len(steps), finish) == (8, "length")


def test_stop_cuts_the_text_and_nothing_after_is_decoded(tokenizer: Tokenizer) -> None:
    document = "def f():\n    return 1\n\n\ndef g():\n    return 2\n"
    steps, finish = run(tokenizer, document, "def f():\n   ", stops=stop_rules("def f():\n    ", ""))
    assert (text(steps), finish) == (" return 1", "stop")
    assert len(steps) < len(tokenizer.encode(" return 1\n\n\ndef g"))


def test_cancel(tokenizer: Tokenizer) -> None:
    cancel = threading.Event()
    runtime = LearnedRuntime(tokenizer, "a b c d e f")
    steps = []
    decoding = decode(runtime, [tokenizer.end_of_text], tokenizer, cancel=cancel)
    with pytest.raises(StopIteration) as ended:
        while True:
            steps.append(next(decoding))
            if len(steps) == 2:
                cancel.set()
    assert ended.value.value == "cancelled"
    assert len(steps) == len(runtime.extended) == 2


def test_numbers_that_are_none_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(EdgePhiError, match="not numbers"):
        next(decode(FixedRuntime(tokenizer, [float("nan")]), [0], tokenizer))


def test_temperature_follows_the_distribution(tokenizer: Tokenizer) -> None:
    def shares(temperature: float, top_p: float = 1.0, min_p: float = 0.0) -> list[float]:
        runtime = FixedRuntime(tokenizer, [0.1, 0.2, 0.3, 0.4])
        settings = DecodeSettings(max_tokens=4000, temperature=temperature, top_p=top_p, min_p=min_p)
        counts = Counter(step.token for step in decode(runtime, [0], tokenizer, settings))
        return [counts[token] / 4000 for token in (1, 2, 3, 4)]

    assert shares(1.0) == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.03)
    squared = np.array([0.1, 0.2, 0.3, 0.4]) ** 2
    assert shares(0.5) == pytest.approx(list(squared / squared.sum()), abs=0.03)
    # The fewest most probable ones that have 0.6 together are the last two.
    assert shares(1.0, top_p=0.6) == pytest.approx([0, 0, 3 / 7, 4 / 7], abs=0.03)
    assert shares(1e-300) == [0, 0, 0, 1]
    # At least 0.7 times as probable as the most probable one are the last two; at half the temperature 0.5 times.
    assert shares(1.0, min_p=0.7) == pytest.approx([0, 0, 3 / 7, 4 / 7], abs=0.03)
    assert shares(0.5, min_p=0.5) == pytest.approx([0, 0, 9 / 25, 16 / 25], abs=0.03)
    assert shares(1.0, top_p=0.95, min_p=0.3) == pytest.approx([0, 2 / 9, 3 / 9, 4 / 9], abs=0.03), (
        "the narrower of both"
    )
    assert shares(1.0, top_p=0.3, min_p=0.3) == [0, 0, 0, 1]


def test_what_was_chosen_is_penalized_and_what_was_read_is_not(tokenizer: Tokenizer) -> None:
    runtime = FixedRuntime(tokenizer, [0.1, 0.2, 0.3, 0.4])
    settings = DecodeSettings(max_tokens=5, repetition_penalty=2.0)
    # ln 0.4 = -0.92 becomes -1.83: after 0.3 (-1.20) and 0.2 (-1.61), before 0.1 (-2.30). Twice is no more than once.
    assert [step.token for step in decode(runtime, [4, 4], tokenizer, settings)] == [4, 3, 2, 4, 4]
    logits = np.array([2, -2, 1, -1], np.float32)
    assert penalized(logits, [0, 1, 0], 2.0).tolist() == [1, -4, 1, -1]
    assert penalized(logits, [0, 1], 1.0).tolist() == logits.tolist() == [2, -2, 1, -1]


def test_the_time_is_up_after_the_token_that_takes_too_long(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = itertools.count()
    monkeypatch.setattr(decode_module.time, "perf_counter_ns", lambda: next(seconds) * 10**9)
    steps, finish = run(tokenizer, "a b c d e f", settings=DecodeSettings(max_seconds=3))
    assert (len(steps), finish) == (3, "time")
    steps, finish = run(tokenizer, "a b c d e f", settings=DecodeSettings(max_seconds=0.5))
    assert (len(steps), finish) == (1, "time")
    steps, finish = run(tokenizer, "a b", settings=DecodeSettings(max_seconds=9))
    assert (text(steps), finish) == ("a b", "end")


def test_a_seed_gives_one_text(tokenizer: Tokenizer) -> None:
    def tokens(seed: int) -> list[int]:
        settings = DecodeSettings(max_tokens=30, temperature=1, seed=seed)
        return [step.token for step in decode(FixedRuntime(tokenizer, [0.25] * 4), [0], tokenizer, settings)]

    assert tokens(7) == tokens(7) != tokens(8)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tokens": 0},
        {"temperature": -1},
        {"temperature": float("nan")},
        {"top_p": 0},
        {"top_p": 2},
        {"seed": -1},
        {"min_p": -0.1},
        {"min_p": 1.1},
        {"repetition_penalty": 0},
        {"repetition_penalty": float("inf")},
        {"max_seconds": 0},
        {"max_seconds": float("nan")},
    ],
)
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidCall):
        DecodeSettings(**wrong)  # type: ignore[arg-type]


def test_what_was_read_of_a_prompt_stays_read_when_the_rest_is_cancelled(tokenizer: Tokenizer) -> None:
    cancel = threading.Event()

    class Slow(LearnedRuntime):
        def extend(
            self, tokens: Sequence[int], *, all_logits: bool = False, cancel: threading.Event | None = None
        ) -> npt.NDArray[np.float32]:
            logits = super().extend(tokens, cancel=cancel)
            if cancel is not None and self.length >= 1000:
                cancel.set()
            return logits

    runtime = Slow(tokenizer, "", context_length=4096)
    with pytest.raises(StopIteration) as ended:
        next(decode(runtime, [5] * 2000, tokenizer, cancel=cancel))
    assert ended.value.value == "cancelled"
    assert runtime.length == 1024
    assert next(decode(runtime, [5] * 976, tokenizer)).token >= 0
    assert runtime.length == 2000
