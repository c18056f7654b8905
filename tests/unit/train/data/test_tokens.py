"""Counting word by word gives what encoding the whole text gives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from edge_phi.store import DEFAULT_MODEL, bundled_folder
from edge_phi.train.data import tokens
from edge_phi.train.data.tokens import count


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    loaded = Tokenizer.from_file(str(bundled_folder() / DEFAULT_MODEL / "tokenizer.json"))
    loaded.encode_special_tokens = True
    return loaded


@given(
    st.lists(
        st.text(st.sampled_from("ab'sreltd0 \n\t\v\f\r\x1c_,.\0\x7fé中١\u0085\u00a0\u2028\u3000ſ’<|>"), max_size=40)
        | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        max_size=4,
    )
)
def test_words_together_have_as_many_tokens_as_the_text(tokenizer: Tokenizer, texts: list[str]) -> None:
    assert count(texts) == [len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts]


def test_end_of_text_written_out_is_counted_as_text() -> None:
    assert count(["<|endoftext|>"]) > [1]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_WORDS_REMEMBERED", 100)
    before = count(["word1 word2 " + "x" * 100])
    for start in range(0, 2000, 20):
        count([f" a{number}" for number in range(start, start + 20)])
        assert len(tokens._remembered) < 200
    assert "x" * 100 not in tokens._remembered
    assert count(["word1 word2 " + "x" * 100]) == before
