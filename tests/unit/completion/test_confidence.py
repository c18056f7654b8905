"""Nothing is offered where the model is unsure, seen through a session with a model of known probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from scripted import TypingRuntime

from edge_phi.completion.decode import DecodeSettings
from edge_phi.completion.session import Session, Suggestion
from edge_phi.errors import InvalidCall
from edge_phi.tokenizer import Tokenizer, load_tokenizer

# Where nothing was typed nothing is healed, and every token is the model's free choice.
WRITTEN = "total = sum(x)\nmeans = total / 2\nprint(means)\n"
FLOOR = -1.0


@pytest.fixture(scope="module")
def tokenizer(tiny_checkpoint: Path) -> Tokenizer:
    return load_tokenizer(tiny_checkpoint)


def offered(tokenizer: Tokenizer, likely: Callable[[str], float], floor: float | None = FLOOR) -> Suggestion:
    """`likely` has the probability of a token after what the model wrote."""
    runtime = TypingRuntime(tokenizer, WRITTEN, likely=lambda typed: likely(typed.decode()))
    session = Session(runtime, tokenizer, model="typing", load_ms=0)
    return session.complete("", settings=DecodeSettings(max_tokens=200, min_logprob=floor))


def test_a_sure_model_is_offered_whole(tokenizer: Tokenizer) -> None:
    suggestion = offered(tokenizer, lambda typed: 0.9)
    assert (suggestion.text, suggestion.finish) == (WRITTEN.rstrip(), "end")


def test_an_unsure_model_is_not_offered_and_soon_stopped(tokenizer: Tokenizer) -> None:
    suggestion = offered(tokenizer, lambda typed: 0.2)
    assert (suggestion.text, suggestion.finish) == ("", "unsure")
    assert suggestion.tokens < 12


def test_the_floor_is_the_mean_s(tokenizer: Tokenizer) -> None:
    just_above, just_below = math.exp(FLOOR) * 1.01, math.exp(FLOOR) * 0.99
    assert offered(tokenizer, lambda typed: just_above).text == WRITTEN.rstrip()
    assert offered(tokenizer, lambda typed: just_below).text == ""
    assert offered(tokenizer, lambda typed: just_below, math.log(just_below) - 0.01).text == WRITTEN.rstrip()
    assert offered(tokenizer, lambda typed: 0.01, None).text == WRITTEN.rstrip()


def test_a_model_may_become_sure(tokenizer: Tokenizer) -> None:
    suggestion = offered(tokenizer, lambda typed: 0.3 if len(typed) <= 1 else 0.95)
    assert suggestion.text == WRITTEN.rstrip()


def test_what_came_before_the_doubt_stays(tokenizer: Tokenizer) -> None:
    suggestion = offered(tokenizer, lambda typed: 0.9 if "means" not in typed else 0.001)
    assert (suggestion.text, suggestion.finish) == ("total = sum(x)", "unsure")


def test_a_floor_above_certainty_is_refused() -> None:
    with pytest.raises(InvalidCall, match="min logprob"):
        DecodeSettings(min_logprob=0.5)
    with pytest.raises(InvalidCall, match="min logprob"):
        DecodeSettings(min_logprob=float("nan"))
