from __future__ import annotations

import pytest

from edge_phi.completion.newlines import from_feeds, newline_at, to_feeds


@pytest.mark.parametrize(
    ("before", "after", "newline"),
    [
        ("", "", "\n"),
        ("x", "", "\n"),
        ("a\nb", "\r\n", "\n"),  # of a mixed file the line above decides
        ("a\r\nb", "\nc", "\r\n"),
        ("a", "b\r\nc\n", "\r\n"),
        ("a\rb", "", "\r"),
        ("a", "\rb", "\r"),
    ],
)
def test_a_new_line_ends_as_the_one_above(before: str, after: str, newline: str) -> None:
    assert newline_at(before, after) == newline


def test_feeds_and_back() -> None:
    assert to_feeds("a\r\nb\n", "\r\n") == to_feeds("a\nb\r\n", "\n") == to_feeds("a\rb\r", "\r") == "a\nb\n"
    assert from_feeds("a\nb\r\nc", "\r\n") == "a\r\nb\r\nc"
    assert from_feeds("a\r\nb", "\n") == "a\nb"
