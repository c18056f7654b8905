from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from scripted import TypingRuntime

from edge_phi.completion.session import Session
from edge_phi.measure.first_line import cursors, first_line_ms
from edge_phi.measure.prompts import PROMPTS
from edge_phi.tokenizer import Tokenizer, load_tokenizer

DOCUMENT = "def double(number):\n    twice = number + number\n    return twice\n"


@pytest.fixture(scope="module")
def tokenizer(tiny_checkpoint: Path) -> Tokenizer:
    return load_tokenizer(tiny_checkpoint)


def ticking() -> itertools.count[int]:
    """A clock that says a millisecond more each time it is looked at."""
    return itertools.count(0, 1_000_000)


def test_it_is_the_step_that_brings_the_lines_last_character(tokenizer: Tokenizer) -> None:
    runtime = TypingRuntime(tokenizer, DOCUMENT)
    session = Session(runtime, tokenizer, model="scripted", load_ms=0.0)
    before = DOCUMENT[: DOCUMENT.index("\n") + 1]
    texts: list[str] = []
    session.complete(before, on_step=lambda step: texts.append("".join([*texts[-1:], step.text])))
    steps = 1 + next(place for place, text in enumerate(texts) if text.rstrip("\n").count("\n") == 0
                     and "number + number" in text)  # fmt: skip
    clock = ticking()
    assert first_line_ms(session, before, clock=lambda: next(clock)) == steps


def test_the_work_ends_with_the_line(tokenizer: Tokenizer) -> None:
    runtime = TypingRuntime(tokenizer, DOCUMENT + "".join(f"    print({number})\n" for number in range(100)))
    session = Session(runtime, tokenizer, model="scripted", load_ms=0.0)
    first_line_ms(session, "def double(number):\n")
    assert "print(1)" not in tokenizer.decode(list(session._cached))


def test_nothing_suggested_is_no_time(tokenizer: Tokenizer) -> None:
    session = Session(TypingRuntime(tokenizer, DOCUMENT), tokenizer, model="scripted", load_ms=0.0)
    assert first_line_ms(session, DOCUMENT) is None


def test_cursors_stand_at_lines_of_every_prompt_in_the_order_of_typing() -> None:
    places = cursors()
    for text in PROMPTS.values():
        own = [before for before in places if text.startswith(before)]
        assert own == sorted(own, key=len) and own[-1] == text and len(set(own)) == len(own)
        assert all(before.endswith("\n") for before in own[:-1])
    assert len(places) == len(set(places)) > 3 * len(PROMPTS)
