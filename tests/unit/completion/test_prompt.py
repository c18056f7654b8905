from __future__ import annotations

import itertools
import random
from functools import cache
from pathlib import Path

import pytest
from conftest import SAMPLE_TEXT
from hypothesis import given
from hypothesis import strategies as st
from scripted import LearnedRuntime

from edge_phi.completion.decode import DecodeSettings, decode
from edge_phi.completion.healing import Vocabulary, heal, split_typed
from edge_phi.completion.outline import needed
from edge_phi.completion.prompt import Prompt, PromptBuilder
from edge_phi.errors import InvalidCall
from edge_phi.tokenizer import Tokenizer, load_tokenizer

# Code-like text, and anything at all.
CODE = st.lists(st.sampled_from(["def f(x):", "return", " ", "    ", "\n", "\t", "x", "é", "😀", "(", "'s", "_", "12"]))
TEXTS = CODE.map("".join) | st.text()


@pytest.fixture(scope="module")
def tokenizer(tiny_checkpoint: Path) -> Tokenizer:
    return load_tokenizer(tiny_checkpoint)


@cache
def builder(tokenizer: Tokenizer, context_length: int = 512) -> PromptBuilder:
    return PromptBuilder(tokenizer, context_length)


@pytest.fixture(scope="module")
def vocabulary(tokenizer: Tokenizer) -> Vocabulary:
    return Vocabulary(tokenizer)


def continuation(tokenizer: Tokenizer, document: str, before: str, prompt: Prompt | None = None) -> str:
    """What a model that has learned `document` writes after `before`."""
    prompt = prompt or builder(tokenizer).build(before, 1)
    steps = decode(
        LearnedRuntime(tokenizer, document),
        prompt.tokens,
        tokenizer,
        DecodeSettings(max_tokens=300),
        healing=prompt.healing,
    )
    return "".join(step.text for step in steps)


def test_every_cursor_between_words_continues_as_learned(tokenizer: Tokenizer) -> None:
    document = SAMPLE_TEXT.strip()[:320] + "\n"
    for offset in range(len(document)):
        inside_a_word = document[offset - 1 : offset + 1].isidentifier() and offset > 0
        if not inside_a_word:
            assert document[:offset] + continuation(tokenizer, document, document[:offset]) == document


def test_without_healing_the_same_model_is_misled(tokenizer: Tokenizer) -> None:
    before = "def moving_average(values, width):\n    "
    document = before + "total = 0\n"
    unhealed = Prompt((tokenizer.end_of_text, *tokenizer.encode(before)), heal("", tokenizer, Vocabulary(tokenizer))[1])
    assert continuation(tokenizer, document, before) == "total = 0\n"
    assert continuation(tokenizer, document, before, unhealed).startswith("?")


@pytest.mark.parametrize(
    ("before", "rest"),
    [
        ("    means = [tot", "al]"),  # inside a word
        ("    me", "ans = []"),
        ("means", "= 1"),  # after one
        ("def f():\n    if x:\n    ", "    means = 1"),  # the model indents further than was typed
        ("x = 1\n", "\n\ndef"),
        ("x = 1\n\n", "    means"),
        ("caf", "é = 1"),
    ],
)
def test_healed_ends(tokenizer: Tokenizer, before: str, rest: str) -> None:
    rest = " " + rest if before == "means" else rest
    assert continuation(tokenizer, before + rest, before) == rest


@given(text=TEXTS)
def test_prompt_and_typed_are_the_text(tokenizer: Tokenizer, text: str) -> None:
    prompt = builder(tokenizer, 2048).build(text, 1)
    assert prompt.tokens[0] == tokenizer.end_of_text
    read = b"".join(map(tokenizer.token_bytes, prompt.tokens[1:])) + prompt.healing.typed.encode()
    assert read == text.encode()
    # Encoding by pieces gives what encoding in one go gives.
    whole = tokenizer.encode(split_typed(text)[0])
    assert list(prompt.tokens[1 : len(whole) + 1]) == whole


@given(text=TEXTS, seed=st.integers(0, 999))
def test_whatever_is_chosen_repeats_what_was_typed(
    tokenizer: Tokenizer, vocabulary: Vocabulary, text: str, seed: int
) -> None:
    _, typed = split_typed(text)
    certain, healing = heal(typed, tokenizer, vocabulary)
    chosen, choose = [*certain], random.Random(seed)
    for step, choices in enumerate(healing.choices):
        assert len(choices)
        chosen.append(int(choose.choice(choices)))
        if step >= len(healing.canonical) or chosen[-1] != healing.canonical[step]:
            break
    assert tokenizer.end_of_text not in chosen
    written = b"".join(map(tokenizer.token_bytes, chosen))
    assert written.startswith(typed.encode())


@given(
    lines=st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=60)),
    repeat=st.integers(1, 60),
    context=st.sampled_from([200, 512]),
    max_tokens=st.sampled_from([1, 50, 10_000]),
)
def test_window_is_the_end_of_the_text_and_fits(
    tokenizer: Tokenizer, lines: list[str], repeat: int, context: int, max_tokens: int
) -> None:
    before = "\n".join(lines * repeat)
    prompt = builder(tokenizer, context).build(before, max_tokens)
    assert 0 < len(prompt.tokens) <= context - min(max_tokens, context // 2)
    begun = prompt.tokens[0] == tokenizer.end_of_text
    read = b"".join(map(tokenizer.token_bytes, prompt.tokens[prompt.cut_off + begun :])) + prompt.healing.typed.encode()
    assert before.encode() == read if begun and not prompt.cut_off else before.encode().endswith(read)


def test_left_edge_stays_while_typing_and_moves_by_blocks(tokenizer: Tokenizer) -> None:
    code = SAMPLE_TEXT * 12
    edges = []
    for end in range(1, len(code), 17):
        prompt = builder(tokenizer).build(code[:end], 64)
        begun = prompt.tokens[0] == tokenizer.end_of_text
        read = tokenizer.decode(list(prompt.tokens[prompt.cut_off + begun :])) + prompt.healing.typed
        edges.append(end - len(read))
    assert edges == sorted(edges)
    moves = sorted(set(edges))
    assert all(edge == 0 or code[edge - 1] == "\n" for edge in moves)
    assert sum(code[edge:].startswith(("def ", "class ")) for edge in moves) > len(moves) / 3, (
        "where one is near enough"
    )
    # A move leaves at least half of the room used and lasts for hundreds of characters.
    assert all(after - before > 200 for before, after in itertools.pairwise(moves))
    assert max(end - edge for end, edge in zip(range(1, len(code), 17), edges, strict=True)) > 700


FILE = f"""import os
import numpy as np
from pathlib import Path, PurePath as Pure
from typing import (
    Any,
    Callable,
)
import unused


def helper(path: Path, *, deep: bool = False) -> list[str]:
    return [str(path)] * 3


class Reader(Base):
    def read(self) -> None: ...


def spread(
    first: int,
    second: int,
) -> int:
    return first + second
{SAMPLE_TEXT * 24}

def last(path):
    found = helper(Path(path))
    return spread(np.sum(found), Reader(found).total)
""" + SAMPLE_TEXT.replace("moving", "helper(Path), Reader, np, spread; moving")


def test_imports_and_headers_that_are_needed_come_first_when_the_beginning_is_cut_off(tokenizer: Tokenizer) -> None:
    prompt = builder(tokenizer, 2048).build(FILE, 64)
    cut_off = tokenizer.decode(list(prompt.tokens[1 : prompt.cut_off + 1]))
    assert prompt.tokens[0] == tokenizer.end_of_text
    assert cut_off.startswith(
        "import numpy as np\nfrom pathlib import Path, PurePath as Pure\n"
        "def helper(path: Path, *, deep: bool = False) -> list[str]:\n    ...\n"
        "class Reader(Base):\n    ...\ndef spread(\n    first: int,\n    second: int,\n) -> int:\n    ...\n"
    )
    assert cut_off.count("def moving_average") == 1, "however often it is defined"
    assert "import os" not in cut_off and "typing" not in cut_off, "nothing asks for them"
    assert len(prompt.tokens) <= 2048 - 64


def test_what_is_taken_from_above_stays_while_typing(tokenizer: Tokenizer) -> None:
    prompts = []
    for end in range(len(FILE) - len(SAMPLE_TEXT), len(FILE), 5):
        prompts.append(builder(tokenizer, 2048).build(FILE[:end], 64))
    starts = [prompt.tokens[: prompt.cut_off + 40] for prompt in prompts]
    changes = sum(before != after for before, after in itertools.pairwise(starts))
    assert changes <= 2, "each would cost the whole cache"


@given(text=CODE.map("".join), near=CODE.map("".join))
def test_whatever_stands_above_is_looked_at(text: str, near: str) -> None:
    for statement in needed(text, near):
        assert statement.endswith("\n")
        assert statement.removesuffix("    ...\n").rstrip("\n") in text


def test_one_endless_line_is_cut_too(tokenizer: Tokenizer) -> None:
    for character in ("x ", "😀"):
        prompt = builder(tokenizer, 128).build(character * 100_000, 8)
        assert 16 <= len(prompt.tokens) <= 120


def test_a_lone_surrogate_is_replaced(tokenizer: Tokenizer) -> None:
    prompt = builder(tokenizer, 128).build("x = '\ud800' + y", 8)
    assert "\N{REPLACEMENT CHARACTER}" in tokenizer.decode(list(prompt.tokens))


def test_end_of_text_written_out_is_text(tokenizer: Tokenizer) -> None:
    prompt = builder(tokenizer, 128).build("a <|endoftext|> b", 8)
    assert prompt.tokens.count(tokenizer.end_of_text) == 1


def test_a_tiny_context_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(InvalidCall, match="context of 16"):
        PromptBuilder(tokenizer, 16).build("x", 8)
