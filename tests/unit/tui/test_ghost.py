from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_phi.tui.ghost import Ghost

code = st.text(st.sampled_from("ab \n"), min_size=1, max_size=12)


@given(code, st.data())
def test_typing_its_beginning_leaves_the_rest_where_the_cursor_is(text: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(text) - 1))
    ghost: Ghost | None = Ghost(1, 3, 5, text, complete=True)
    for character in text[:cut]:
        assert ghost
        ghost = ghost.after_typing(character)
    assert ghost and ghost.remaining == text[cut:]
    before = (" " * 5 + text[:cut]).split("\n")
    assert (ghost.row, ghost.column) == (3 + len(before) - 1, len(before[-1]))


def test_typing_anything_else_ends_it() -> None:
    assert Ghost(1, 0, 0, "abc").after_typing("b") is None
    assert Ghost(1, 0, 0, "").after_typing("a") is None  # the model still thinks about another text


def test_it_ends_when_all_of_it_is_typed_unless_more_may_come() -> None:
    assert Ghost(1, 0, 0, "ab", complete=True).after_typing("ab") is None
    streaming = Ghost(1, 0, 0, "ab").after_typing("ab")
    assert streaming and streaming.grown("abc", complete=True) == Ghost(1, 0, 2, "abc", 2, True)
    assert streaming.grown("ab", complete=True) is None


def test_it_ends_when_the_answer_turns_out_otherwise_than_typed() -> None:
    streaming = Ghost(1, 0, 0, "ab").after_typing("ab")
    assert streaming and streaming.grown("a", complete=True) is None
