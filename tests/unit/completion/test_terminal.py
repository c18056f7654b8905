from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from edge_phi.completion.terminal import one_line, shown


@given(st.text(), st.text())
def test_no_character_commands_the_terminal_however_it_is_split(first: str, second: str) -> None:
    text = shown(first) + shown(second)
    assert text == shown(first + second)
    assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in text if character not in "\t\n")
    assert not any(unicodedata.bidirectional(c) in ("LRO", "RLO", "LRE", "RLE", "PDF", "LRI", "RLI") for c in text)


def test_code_is_shown_as_it_is() -> None:
    code = "def f():\n\treturn 'é😀 עברית'\n"
    assert shown(code) == code
    assert (
        shown("\x1b[31m\x9b1m\u202e")
        == "\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}1m\N{REPLACEMENT CHARACTER}"
    )
    assert one_line("a\nb\x1b") == "a b\N{REPLACEMENT CHARACTER}"
