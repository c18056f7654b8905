"""A suggestion's course from the key, and the session's percentiles."""

from __future__ import annotations

import pytest

from edge_phi.completion.session import Suggestion, Timing
from edge_phi.tui.comparison import EngineView, percentiles, stages
from edge_phi.tui.latency import Course, History, course_of, sparkline

MADE = Suggestion("a", 3, "stop", "nano", "onnx", "int4", Timing(100.0, 10.0, 50.0, 90.0, 212, 180, 8.0))


def test_stages_are_counted_from_the_last_key() -> None:
    course = course_of(10.0, 10.25, 10.31, MADE, known=False)
    assert course.pause_ms == pytest.approx(250)
    assert course.queued_ms == pytest.approx(10)  # 60 ms after asking, of which the engine worked 50
    assert course.prefill_ms == 8.0
    assert course.first_ms == pytest.approx(270)
    assert course.total_ms == pytest.approx(310)


def test_what_was_under_way_before_it_was_asked_for_was_not_queued() -> None:
    course = course_of(10.0, 10.25, 10.26, MADE, known=False)  # began at 10.21, its first token came at 10.22
    assert course.queued_ms == 0
    assert course.first_ms == pytest.approx(250)  # there when it was asked for
    assert course.total_ms == pytest.approx(260)


def test_a_known_suggestion_has_no_stages_of_the_model() -> None:
    course = course_of(10.0, 10.001, 10.002, MADE, known=True)
    assert (course.queued_ms, course.prefill_ms) == (0.0, None)
    assert course.first_ms == course.total_ms == pytest.approx(2)


def test_percentiles_are_of_this_session() -> None:
    history = History()
    assert percentiles(history) == [("first token", "–", "–"), ("total", "–", "–")]
    for number in range(101):
        history.courses.append(Course(0, 0, 1.0, 100.0 + number, 200.0 + number))
    history.courses.append(Course(0, 0, None, None, 250.0))  # nothing was suggested
    assert percentiles(history) == [("first token", "150 ms", "195 ms"), ("total", "250 ms", "295 ms")]


def test_a_view_without_a_suggestion_has_dashes() -> None:
    assert stages(EngineView("onnx", "int4")) == [
        (label, "–") for label in ("pause", "queued", "prefill", "first token", "total")
    ]


@pytest.mark.parametrize(
    ("values", "width", "bars"),
    [([], 5, ""), ([1, 2, 4, 8], 4, "▂▃▅█"), ([9, 1, 2, 4, 8], 2, "▅█"), ([1.0], 0, ""), ([0.0, 0.0], 5, "▁▁")],
)
def test_the_sparkline_shows_the_last_values(values: list[float], width: int, bars: str) -> None:
    assert sparkline(values, width) == bars
