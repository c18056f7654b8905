from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_phi.tui.finding import Match, count, find

texts = st.lists(st.text("abA", max_size=8), min_size=1, max_size=5)


@given(texts, st.text("ab", min_size=1, max_size=2), st.data())
def test_forwards_then_backwards_walks_over_all_matches(lines: list[str], wanted: str, data: st.DataObject) -> None:
    everywhere = [
        (row, column)
        for row, line in enumerate(lines)
        for column in _starts(line.lower(), wanted)
    ]  # fmt: skip
    row = data.draw(st.integers(0, len(lines) - 1))
    start = (row, data.draw(st.integers(0, len(lines[row]))))
    found = find(lines, wanted, start)
    assert (found is None) == (not everywhere)
    if found is None:
        return
    # From the middle of a match on, matches may lie otherwise; from the start of one they are those of the line.
    if start[1] == 0:
        assert found[:2] == next((at for at in everywhere if at >= start), everywhere[0])
        before = find(lines, wanted, start, backwards=True)
        last_before = next((at for at in reversed(everywhere) if at < start), everywhere[-1])
        assert before is not None and before[:2] == last_before
        number, total = count(lines, wanted, found)
        assert total == len(everywhere) and everywhere[number - 1] == found[:2]


def test_a_capital_makes_case_count_and_signs_mean_themselves() -> None:
    assert find(["a.b", "A.B"], "A.B", (0, 0)) == Match(1, 0, 3)
    assert find(["axb", "A.B"], "a.b", (0, 0)) == Match(1, 0, 3)
    assert find(["abc"], "", (0, 0)) is None


def _starts(line: str, wanted: str) -> list[int]:
    starts, at = [], line.find(wanted)
    while at >= 0:
        starts.append(at)
        at = line.find(wanted, at + len(wanted))
    return starts
