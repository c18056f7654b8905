from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_phi.tui.characters import StandIns, clean, one_line

HOSTILE = (
    "\x00\x07\x08\x1b\x7f\x85\x9b\r\x0b\x0c\x1c\u2028\u2029\u202e\u2066\u200b\u200d\u2060\ufeff\xad\U000e0041\ud800"
)
texts = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from(HOSTILE),
        st.sampled_from("\ue000\ue001\uf8ff\U000f0000"),
        st.sampled_from("ab\n\t"),
    )
)


def is_safe(text: str) -> bool:
    categories = {unicodedata.category(character) for character in text if character not in "\n\t"}
    # Arabic number signs and the like are format characters (Cf) that are drawn.
    return not categories & {"Cc", "Cs", "Zl", "Zp"} and not set(text) & set(HOSTILE)


@given(st.lists(texts, min_size=1, max_size=4))
def test_stand_ins_lose_nothing_and_hide_everything(pieces: list[str]) -> None:
    stand_ins = StandIns()
    hidden = [stand_ins.hide(piece) for piece in pieces]
    # Also once later pieces, which may use what stands in by then, brought stand-ins of their own.
    assert [stand_ins.restore(text) for text in hidden] == pieces
    for text in hidden:
        assert is_safe(text)
        drawn, _ = stand_ins.pictures(text)
        assert len(drawn) == len(text) and is_safe(drawn)
        assert text.count("\n") == len(text.splitlines()) - (not text.endswith("\n")) or not text


def test_pictures_are_as_long_in_utf_8_as_what_the_editor_holds() -> None:
    stand_ins = StandIns()
    hidden = stand_ins.hide("a\x1bb\u202ec")
    drawn, where = stand_ins.pictures(hidden)
    assert (drawn, where) == ("a␛b\N{REPLACEMENT CHARACTER}c", [1, 3])
    assert [len(character.encode()) for character in drawn] == [len(character.encode()) for character in hidden]


def test_private_characters_of_the_text_mean_themselves() -> None:
    stand_ins = StandIns()
    first = stand_ins.hide("\x1b")
    pasted = stand_ins.hide(first)  # as if it came from outside
    assert stand_ins.restore(pasted) == first
    assert stand_ins.pictures(pasted)[0] == first


@given(texts, st.integers(0, 20))
def test_cleaning_in_chunks_is_cleaning_the_whole(text: str, cut: int) -> None:
    assert clean(text[:cut]) + clean(text[cut:]) == clean(text)
    assert is_safe(clean(text))


@pytest.mark.parametrize(("text", "line"), [("a\nb\tc", "a b c"), ("a\x1b[31mb", "a␛[31mb"), ("\u202ex", "\ufffdx")])
def test_messages_are_one_line(text: str, line: str) -> None:
    assert one_line(text) == line
