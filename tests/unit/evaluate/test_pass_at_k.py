from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_phi.evaluate.pass_at_k import bootstrap, mcnemar, pass_at_k, upper_bound_of_none


@given(st.data(), st.integers(1, 9))
def test_it_is_the_share_of_all_choices_with_a_pass(data: st.DataObject, samples: int) -> None:
    passed = data.draw(st.integers(0, samples))
    k = data.draw(st.integers(1, samples))
    outcomes = [True] * passed + [False] * (samples - passed)
    choices = list(itertools.combinations(outcomes, k))
    assert pass_at_k(samples, passed, k) == pytest.approx(sum(map(any, choices)) / len(choices), abs=1e-12)


@given(st.integers(1, 2000), st.data())
def test_it_is_exact_for_many_samples(samples: int, data: st.DataObject) -> None:
    passed = data.draw(st.integers(0, samples))
    k = data.draw(st.integers(1, samples))
    exact = 1 - math.comb(samples - passed, k) / math.comb(samples, k)
    assert pass_at_k(samples, passed, k) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize(("samples", "passed", "k"), [(3, 4, 1), (3, -1, 1), (3, 1, 4), (3, 1, 0)])
def test_what_makes_no_sense_is_refused(samples: int, passed: int, k: int) -> None:
    with pytest.raises(ValueError, match="pass@"):
        pass_at_k(samples, passed, k)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random, truth, runs = np.random.default_rng(1), 0.3, 40
    covered = 0
    for run in range(runs):
        estimate = bootstrap((random.random(164) < truth).astype(float), seed=run)
        covered += estimate.low <= truth <= estimate.high
    assert 0.85 <= covered / runs <= 1


def test_the_interval_is_the_same_each_time_and_holds_the_mean() -> None:
    values = [0.0, 1.0, 1.0, 0.25, 0.5]
    estimate = bootstrap(values)
    assert estimate == bootstrap(values)
    assert estimate.low < estimate.value == np.mean(values) < estimate.high
    assert bootstrap([1.0] * 20) == bootstrap([1.0] * 3)  # what the upper bound below is for


def test_none_solved_leaves_a_bound() -> None:
    assert (1 - upper_bound_of_none(164)) ** 164 == pytest.approx(0.05)


@settings(max_examples=60)
@given(st.integers(0, 12), st.integers(0, 12))
def test_mcnemar_counts_the_ways_as_unequal_or_more(only_first: int, only_second: int) -> None:
    flips = only_first + only_second
    as_far = sum(
        math.comb(flips, heads) for heads in range(flips + 1) if abs(heads - flips / 2) >= abs(only_first - flips / 2)
    )
    assert mcnemar(only_first, only_second) == pytest.approx(min(1.0, as_far / 2**flips))
    assert mcnemar(only_first, only_second) == mcnemar(only_second, only_first)


def test_mcnemar_agrees_with_scipy() -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    for only_first, only_second in [(0, 5), (3, 9), (20, 21), (100, 60)]:
        exact = stats.binomtest(only_first, only_first + only_second).pvalue
        assert mcnemar(only_first, only_second) == pytest.approx(exact)
