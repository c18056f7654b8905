"""What each step sees."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge_phi.errors import InvalidCall
from edge_phi.train.batches import learning_rate, plan_batches
from edge_phi.train.recipe import Recipe, Stage

RECIPE = Recipe(
    name="test",
    model={},
    data={},
    steps=100,
    batch=4,
    length=8,
    stages=(
        Stage("first", 0.75, peak_rate=1.0, final_rate=0.5, warmup=0.2, mixture={"code": 3.0, "prose": 1.0}),
        Stage("second", 0.25, peak_rate=0.5, final_rate=0.0, warmup=0.0, mixture={"prose": 1.0}),
    ),
)
ARRAYS = {"code": np.arange(1000, dtype=np.uint16), "prose": np.arange(2000, 2400, dtype=np.uint16)}


def test_batches_depend_on_the_seed_and_the_step_alone() -> None:
    again = plan_batches(RECIPE, ARRAYS)
    other = plan_batches(dataclasses.replace(RECIPE, seed=1), ARRAYS)
    plan = plan_batches(RECIPE, ARRAYS)
    assert np.array_equal(plan.batch(37, ARRAYS, 8), again.batch(37, ARRAYS, 8))
    assert not all(np.array_equal(plan.batch(i, ARRAYS, 8), other.batch(i, ARRAYS, 8)) for i in range(10))


def test_rows_are_unbroken_runs_of_the_arrays() -> None:
    rows = plan_batches(RECIPE, ARRAYS).batch(3, ARRAYS, 8)
    assert rows.shape == (4, 9)
    assert (np.diff(rows, axis=1) == 1).all()


def test_each_stage_draws_from_its_own_mixture() -> None:
    plan = plan_batches(RECIPE, ARRAYS)
    code = plan.names.index("code")
    first = (plan.sources[:75] == code).mean()
    assert 0.65 < first < 0.85
    assert (plan.sources[75:] != code).all()


def test_no_window_repeats_before_all_were_seen() -> None:
    plan = plan_batches(RECIPE, ARRAYS)
    windows = plan.windows[plan.sources == plan.names.index("code")]
    available = (len(ARRAYS["code"]) - 1) // 8
    assert sorted(windows[:available]) == list(range(available))


def test_absent_arrays_leave_their_part_to_the_rest() -> None:
    plan = plan_batches(RECIPE, {"prose": ARRAYS["prose"]})
    assert plan.names == ("prose",)
    with pytest.raises(InvalidCall, match="none of them has data"):
        plan_batches(RECIPE, {"other": ARRAYS["code"]})


def test_rate_warms_up_and_decays_in_each_stage() -> None:
    plan = plan_batches(RECIPE, ARRAYS)
    rates = [learning_rate(RECIPE, plan, step) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 15)
    assert max(rates) == rates[14] == rates[15] == 1.0
    assert rates[45] == pytest.approx(0.75)
    assert rates[75] == 0.5
    assert rates[99] == pytest.approx(0.02)
