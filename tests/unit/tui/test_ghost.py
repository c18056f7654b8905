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


@given(code)
def test_its_words_and_its_lines_are_all_of_it(text: str) -> None:
    for next_piece in (Ghost.next_word, Ghost.next_line):
        ghost: Ghost | None = Ghost(1, 0, 0, text, complete=True)
        taken = ""
        while ghost is not None:
            piece = next_piece(ghost)
            assert piece
            taken += piece
            ghost = ghost.after_typing(piece)
        assert taken == text


def test_a_word_comes_with_the_space_before_it_and_a_line_is_never_only_a_newline() -> None:
    ghost = Ghost(1, 0, 0, "\n\n    total += 1\n    return total")
    assert ghost.next_word() == "\n\n    total"
    assert ghost.next_line() == "\n\n    total += 1"
    assert Ghost(1, 0, 0, " += 1").next_word() == " +="
