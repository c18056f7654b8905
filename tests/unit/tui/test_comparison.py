from __future__ import annotations

from dataclasses import replace

from edge_phi.completion.session import Suggestion, Timing
from edge_phi.tui.comparison import EngineView, Figure, compare, remarks

FAST = Suggestion("a + b", 5, "stop", "nano", "onnx", "int4", Timing(100.0, 10.0, 50.0, 90.0, 212, 180))
SLOW = Suggestion("a + b", 5, "stop", "nano", "onnx", "float32", Timing(12_000.0, 30.0, 125.0, 30.0, 212, 180))


def views(slow: Suggestion | None = SLOW, ticket: int = 1) -> tuple[EngineView, EngineView]:
    return EngineView("onnx", "int4", ticket=1, suggestion=FAST), EngineView(
        "onnx", "float32", ticket=ticket, suggestion=slow
    )


def ratios(*pair: EngineView) -> dict[str, str]:
    return {figure.label: figure.ratio for figure in compare(*pair) if figure.ratio}


def test_every_figure_stands_beside_the_baselines() -> None:
    assert compare(*views()) == [
        Figure("load", "100 ms", "12.0 s", "120.0x"),
        Figure("prompt", "212", "212", ""),
        Figure("cached", "180", "180", ""),
        Figure("TTFT", "10.0 ms", "30.0 ms", "3.0x"),
        Figure("total", "50.0 ms", "125 ms", "2.5x"),
        Figure("tokens", "5", "5", ""),
        Figure("tok/s", "90.0", "30.0", "3.0x"),
    ]


def test_no_ratio_where_the_work_was_not_the_same() -> None:
    other_cache = replace(SLOW, timing=replace(SLOW.timing, cached_tokens=0))
    assert ratios(*views(other_cache)).keys() == {"load", "tok/s"}
    assert ratios(*views(replace(SLOW, tokens=6))).keys() == {"load", "TTFT", "tok/s"}
    assert ratios(*views(ticket=2)).keys() == {"load"}


def test_figures_that_are_not_there_yet_are_dashes() -> None:
    nothing = EngineView("onnx", "float32", ticket=None)
    assert [figure.baseline for figure in compare(views()[0], nothing)] == ["–"] * 7
    no_token = replace(SLOW, timing=replace(SLOW.timing, ttft_ms=None, decode_tokens_per_s=None))
    assert ratios(*views(no_token)).keys() == {"load", "total"}


def test_remarks_say_in_words_what_the_figures_cannot() -> None:
    assert remarks(*views()) == ["same text"]
    assert remarks(*views(replace(SLOW, text="a - b"))) == ["text differs after 2 of 5 characters"]
    assert remarks(*views(replace(SLOW, text="a"))) == ["text differs after 1 of 5 characters"]
    other_cache = replace(SLOW, timing=replace(SLOW.timing, cached_tokens=0))
    assert remarks(*views(other_cache)) == ["same text", "caches differ: TTFT has no ratio"]
    assert remarks(*views(ticket=2)) == []
    assert remarks(*views(None)) == []
