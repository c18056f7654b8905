from __future__ import annotations

from pathlib import Path

import pytest

from edge_phi.measure.figures import against, agreeing_share, agreement, figures_of
from edge_phi.measure.timing import PromptTiming
from edge_phi.measure.worker import Measurement
from edge_phi.store import Artifact


def gguf(folder: Path, quant: str, file_bytes: int) -> Artifact:
    path = folder / f"tiny.{quant}.gguf"
    path.write_bytes(bytes(file_bytes))
    return Artifact("tiny", "gguf", quant, path, folder)


def measurement(load_ms: float, ttft_ms: float, itl_ms: float, peak_rss_bytes: int | None = 10) -> Measurement:
    timing = PromptTiming(100, ttft_ms, (itl_ms,) * 3, (1, 2, 3, 4))
    return Measurement(load_ms, "llama_cpp", 2, 4, peak_rss_bytes, (timing,))


def test_medians_over_rounds_and_the_highest_peak(tmp_path: Path) -> None:
    rounds = [measurement(30, 100, 10, 7), measurement(900, 5_000, 400, 9), measurement(20, 200, 20, 8)]
    figures = figures_of(gguf(tmp_path, "q4_k_m", 1_000), rounds)
    assert (figures.load_ms, figures.ttft_ms, figures.itl_p50_ms) == (30, 200, 20)
    assert figures.prefill_tokens_per_s == 500  # of 1000, 20 and 500
    assert figures.decode_tokens_per_s == 50  # of 100, 2.5 and 50
    assert (figures.peak_rss_bytes, figures.base_rss_bytes, figures.file_bytes) == (9, 4, 1_000)
    assert (figures.name, figures.engine, figures.threads) == ("gguf:q4_k_m", "llama_cpp", 2)
    assert [latency.ttft_ms for latency in figures.rounds] == [100, 5_000, 200]


def test_ratios_are_this_form_divided_by_the_baseline(tmp_path: Path) -> None:
    baseline = figures_of(gguf(tmp_path, "f16", 2_000), [measurement(10, 100, 20, 400)])
    small = figures_of(gguf(tmp_path, "q4_0", 500), [measurement(10, 40, 5, 100)])
    ratios = against(small, baseline).ratios
    assert ratios is not None
    assert (ratios.ttft_ms, ratios.decode_tokens_per_s) == (0.4, 4.0)
    assert (ratios.peak_rss_bytes, ratios.file_bytes) == (0.25, 0.25)


def test_an_unknown_figure_has_no_ratio(tmp_path: Path) -> None:
    unknown = figures_of(gguf(tmp_path, "q4_0", 500), [measurement(10, 40, 5, None)])
    assert unknown.peak_rss_bytes is None
    ratios = against(unknown, unknown).ratios
    assert ratios is not None and ratios.peak_rss_bytes is None and ratios.ttft_ms == 1


@pytest.mark.parametrize(
    ("ours", "baseline", "fraction", "first"),
    [
        ((1, 2, 3, 4), (1, 2, 3, 4), 1.0, None),
        ((1, 2, 9, 4), (1, 2, 3, 4), 0.5, 2),  # the 4 behind the difference is chance
        ((9, 2, 3, 4), (1, 2, 3, 4), 0.0, 0),
    ],
)
def test_agreement_ends_at_the_first_difference(
    ours: tuple[int, ...], baseline: tuple[int, ...], fraction: float, first: int | None
) -> None:
    found = agreement("module", ours, baseline, end_of_text=0)
    assert (found.compared_tokens, found.agreeing_fraction, found.first_difference) == (4, fraction, first)


def test_what_follows_the_baselines_end_of_text_is_not_compared() -> None:
    found = agreement("module", (1, 2, 0, 7), (1, 2, 0, 8), end_of_text=0)
    assert (found.compared_tokens, found.agreeing_fraction, found.first_difference) == (3, 1.0, None)


def test_the_share_over_all_prompts_counts_tokens() -> None:
    one = agreement("a", (1, 2, 0, 7), (1, 2, 0, 8), end_of_text=0)  # 3 of 3
    other = agreement("b", (1, 2, 3, 4, 5), (1, 9, 3, 4, 5), end_of_text=0)  # 1 of 5
    assert agreeing_share([one, other]) == pytest.approx(0.5)
