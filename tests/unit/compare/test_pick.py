from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_phi.compare.forms import FirstLine, Form, Passes
from edge_phi.compare.pick import FIGURES, Condition, pick
from edge_phi.errors import InvalidCall
from edge_phi.measure.fidelity import Fidelity
from edge_phi.measure.figures import Figures
from edge_phi.measure.timing import Latency


def form(name: str, *, wait: float | None = 50.0, kl: float = 0.01, megabytes: float = 6.0) -> Form:
    figures = Figures(
        name, "onnx", "onnxruntime 1", "int4", 2, 12.0, 40.0, 8000.0, 100.0, 2.0, 3.0, 40_000_000, 80_000_000,
        int(megabytes * 1e6), (Latency(40.0, 8000.0, 100.0, 2.0, 3.0),),
    )  # fmt: skip
    line = None if wait is None else FirstLine(wait, 2 * wait, 21, 16)
    passes = Passes("humaneval", 10, 5, 0.5, 0.2, 0.8, ("HumanEval/1",), (), 1.0, ())
    return Form(figures, line, Fidelity(70.0, 69.0, kl, 5 * kl, 0.95, 6132), passes, "2026-11-21T12:00:00Z", False)


FORM = form("onnx:int4", wait=50.0, kl=0.01)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("kl<0.02", True),
        ("kl<0.01", False),
        ("kl<=.01", True),
        ("0.02>kl", True),
        ("0.01>kl", False),
        ("1e-2 >= kl", True),
        ("kl<0.02 and first_line_ms<300", True),
        ("kl<0.02 and first_line_ms<30", False),
        ("kl<0.001 or first_line_ms<300", True),
        ("kl<0.001 or first_line_ms<30 or top1>0.9", True),
        ("kl>1 and kl>1 or top1>0.9", True),  # "and" first
        ("kl>1 and (kl>1 or top1>0.9)", False),
        ("((kl<1))and(file_mb==6)", True),
        ("gained>=1 and lost==0 and pass_at_1!=0.4", True),
        ("first_line_p95_ms == 100", True),
        ("peak_rss_mb<=80", True),
    ],
)
def test_conditions_mean_what_they_say(text: str, holds: bool) -> None:
    assert bool(Condition(text).objections(FORM)) is not holds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the end at character 1: expected a figure or a number"),
        ("kl", "the end at character 3: expected one of <="),
        ("kl<", "the end at character 4"),
        ("kl<0.02 and", "the end at character 12"),
        ("kl<0.02 first_line_ms<3", "'first_line_ms' at character 9: expected and, or, or the end"),
        ("(kl<0.02", r"the end at character 9: expected a \)"),
        ("kl<0.02)", r"'\)' at character 8"),
        ("kl<ttft_ms", "a figure on one side and a number on the other"),
        ("1<2", "a figure on one side and a number on the other"),
        ("kll<1", "'kll' at character 1 is no figure: did you mean kl"),
        ("zebra<1", "is no figure: there are file_mb, load_ms"),
        ("first_line<1", "did you mean first_line_ms"),
        ("kl=0.02", "'=' at character 3"),
        ("kl<__import__('os')", "at character 15: expected a figure"),
        ("kl<__import__", "'__import__' at character 4 is no figure"),
        ("kl<1; kl<2", "';' at character 5"),
        ("and<1", "'and' at character 1"),
        ("(" * 400 + "kl<1", "at most 300"),
        ("(" * 300, "the end at character 301"),
    ],
)
def test_what_is_no_condition_is_said_in_one_line(text: str, words: str) -> None:
    with pytest.raises(InvalidCall, match=words) as raised:
        Condition(text)
    assert "\n" not in str(raised.value)


@given(
    st.text(max_size=60)
    | st.lists(
        st.sampled_from([*FIGURES, "and", "or", "(", ")", "<", ">=", "==", "1", "-2.5e3", " ", "\x1b", "."]),
        max_size=12,
    ).map("".join)
)
def test_any_text_is_a_condition_or_a_wrong_call(text: str) -> None:
    try:
        condition = Condition(text)
    except InvalidCall as error:
        assert str(error).isprintable()
    else:
        assert all(isinstance(reason, str) for reason in condition.objections(FORM))


def test_the_soonest_of_those_that_fit_is_chosen_and_the_others_are_told_why() -> None:
    forms = [
        form("torch:float32", wait=900.0, kl=0.0),
        form("gguf:q8_0", wait=80.0, kl=0.001),
        form("gguf:q4_0", wait=40.0, kl=0.03),
        form("onnx:int4", wait=60.0, kl=0.015),
    ]
    found = pick(Condition("first_line_ms<300 and kl<0.02"), forms)
    assert found.form == "onnx:int4"
    assert found.why == (
        "of 2 forms that satisfy it, its first line is there the soonest: 60.0 ms, then gguf:q8_0 80.0 ms"
    )
    assert [(one.name, one.reason) for one in found.refused] == [
        ("torch:float32", "first_line_ms is 900, not < 300"),
        ("gguf:q4_0", "kl is 0.03, not < 0.02"),
    ]


def test_what_is_not_known_satisfies_nothing() -> None:
    unknown = replace(form("gguf:q4_0", wait=None), fidelity=None)
    found = pick(Condition("first_line_ms<300 or kl<0.02"), [unknown])
    assert found.form is None
    assert found.refused[0].reason == "first_line_ms is not known; kl is not known"
    silent = form("gguf:q4_0", wait=None)  # it suggests nothing, and is chosen only where nothing else is
    assert pick(Condition("kl<1"), [silent, form("onnx:int4", wait=9000.0)]).form == "onnx:int4"
    assert pick(Condition("kl<1"), [silent]).form == "gguf:q4_0"


def test_a_condition_knows_whether_it_needs_a_benchmark() -> None:
    assert Condition("lost<3").needs_passes and not Condition("kl<3").needs_passes
