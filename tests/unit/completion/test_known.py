from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_phi.completion import known as known_module
from edge_phi.completion.known import Known
from edge_phi.completion.session import Suggestion, Timing

TIMING = Timing(1, 2, 3, 4, 5, 6)


def suggested(text: str) -> Suggestion:
    return Suggestion(text, 3, "stop", "nano", "native", "q4_0", TIMING)


def text_at(known: Known, before: str, after: str = "") -> str | None:
    found = known.find(before, after)
    return None if found is None else found.text


def test_the_rest_is_found_while_it_is_typed_and_when_the_user_goes_back() -> None:
    known = Known()
    known.add("x = ", "\n", suggested("value + 1"))
    assert text_at(known, "x = ", "\n") == "value + 1"
    assert text_at(known, "x = val", "\n") == "ue + 1"
    assert text_at(known, "x = vax", "\n") is None
    assert text_at(known, "x = va", "\n") == "lue + 1"
    assert text_at(known, "x = value + 1", "\n") is None, "what comes after all of it is not known"
    assert text_at(known, "x =", "\n") is None
    assert text_at(known, "x = ", ")\n") is None, "it was made for other code after the cursor"


def test_that_there_is_nothing_to_suggest_is_known_at_its_place_only() -> None:
    known = Known()
    known.add("x = ", "", suggested(""))
    assert text_at(known, "x = ") == ""
    assert text_at(known, "x = 1") is None


def test_what_stands_far_above_has_to_be_the_same() -> None:
    known = Known()
    head = "import os\n" + "# line\n" * 500
    known.add(head + "x = ", "", suggested("os"))
    assert text_at(known, head + "x = o") == "s"
    assert text_at(known, head.replace("os", "re") + "x = o") is None


def test_the_latest_is_taken_and_those_used_least_are_dropped() -> None:
    known = Known()
    known.add("a", "", suggested("old"))
    known.add("a", "", suggested("new"))
    assert text_at(known, "a") == "new"
    for number in range(known_module._MOST - 1):
        known.add(f"b{number}", "", suggested("x"))
    assert text_at(known, "a") == "new"
    known.add("c", "", suggested("x"))
    assert text_at(known, "b0") is None and text_at(known, "a") == "new"


letters = st.text("ab\n", max_size=12)


@given(made=st.lists(st.tuples(letters, st.sampled_from(["", "a"]), letters), min_size=1, max_size=12), asked=letters)
@settings(deadline=None)
def test_every_answer_is_the_rest_of_something_suggested(made: list[tuple[str, str, str]], asked: str) -> None:
    known, latest = Known(), {}
    for before, after, text in made:
        known.add(before, after, suggested(text))
        latest[before, after] = text
    for after in ("", "a"):
        expected = None
        for typed in range(len(asked) + 1):  # the nearest place that leads here
            text = latest.get((asked[: len(asked) - typed], after))
            if text is not None and (not typed or (text.startswith(asked[len(asked) - typed :]) and len(text) > typed)):
                expected = text[typed:]
                break
        assert text_at(known, asked, after) == expected
