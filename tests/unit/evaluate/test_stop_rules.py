from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_phi.completion.stops import judge
from edge_phi.evaluate.stop_rules import (
    BODY_STRUCTURE,
    HUMANEVAL_PLUS_STOPS,
    HUMANEVAL_STOPS,
    MBPP_PLUS_STOPS,
    MBPP_STOPS,
    PROGRAM_STRUCTURE,
    StopRules,
)

ALL = [HUMANEVAL_STOPS, MBPP_STOPS, HUMANEVAL_PLUS_STOPS, MBPP_PLUS_STOPS, BODY_STRUCTURE, PROGRAM_STRUCTURE]
PROMPT = 'def f(x):\n    """Say x."""'
PIECES = [
    "\n",
    "    return x",
    "def g():",
    "class",
    "print(1)",
    "if x:",
    "#",
    "x = 1",
    "(",
    ")",
    '"""',
    "import re",
    " ",
]


@pytest.mark.parametrize("stops", ALL, ids=lambda stops: stops.name)
@given(parts=st.lists(st.sampled_from(PIECES), max_size=12))
def test_text_that_grows_is_cut_where_the_whole_would_be(stops: StopRules, parts: list[str]) -> None:
    text = "".join(parts)
    cut = stops.cut(PROMPT, text)
    assert text.startswith(cut)
    rules = (stops.rule(PROMPT),)
    for length in range(len(text) + 1):
        verdict = judge(rules, text[:length], ended=length == len(text))
        if verdict.stop:
            assert text[:length][: verdict.end] == cut.rstrip()
            return
        assert verdict.end <= len(cut)
    assert cut == text


@pytest.mark.parametrize(
    ("completion", "kept"),
    [
        ("\n    return x\n\ndef g():\n    pass", "\n    return x\n"),
        ("\n    return x\nprint(f(1))", "\n    return x"),
        ("\n    if x:\n        return 1\nif True:", "\n    if x:\n        return 1"),
        ("\n    return x\n# that is all", "\n    return x"),
        ("\n    return x\n```\nHere", "\n    return x"),
        ("\n    return x\ny = 3", "\n    return x\ny = 3"),
        ("class", "class"),
    ],
)
def test_humaneval_as_published(completion: str, kept: str) -> None:
    assert HUMANEVAL_STOPS.cut(PROMPT, completion) == kept


def test_mbpp_as_published() -> None:
    program = "import re\ndef f(x):\n    return x\n\ndef g():\n    return f(1)"
    assert MBPP_STOPS.cut("", f"{program}\nassert g() == 1") == program
    assert MBPP_STOPS.cut("", f'{program}\n"""\nAnother task') == program


def test_structure_sees_what_texts_miss_and_leaves_what_they_mistake() -> None:
    body = "\n    return x"
    assert BODY_STRUCTURE.cut(PROMPT, f"{body}\ny = f(3)") == f"{body}\n"
    long = '\n    text = """\n# not a comment\ndef nothing\n"""\n    return [\n1,\n]\n'
    assert BODY_STRUCTURE.cut(PROMPT, f"{long}z = 1") == long
    assert HUMANEVAL_STOPS.cut(PROMPT, long) != long
    program = "import re\nLIMIT: int = 3\n@cache\ndef f(x):\n    return x\n\nclass A:\n    pass\n"
    assert PROGRAM_STRUCTURE.cut("", f"{program}f(3)\n") == program
