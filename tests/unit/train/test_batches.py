"""What each step sees."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_phi.errors import InvalidCall, InvalidFile
from edge_phi.train.batches import layout_until, learning_rate, plan_batches, shuffled, stage_at
from edge_phi.train.data.shards import TokenArray
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
CODE = np.arange(1000, dtype=np.uint16)
ARRAYS = {
    "code": TokenArray("code", (CODE[:300], CODE[300:305], CODE[305:])),
    "prose": TokenArray("prose", (np.arange(2000, 2400, dtype=np.uint16),)),
}
CODE_WINDOWS = 299 // 8 + 694 // 8  # the part of five tokens holds no sequence


def test_batches_depend_on_the_seed_and_the_step_alone() -> None:
    again = plan_batches(RECIPE, ARRAYS)
    other = plan_batches(dataclasses.replace(RECIPE, seed=1), ARRAYS)
    plan = plan_batches(RECIPE, ARRAYS)
    again.batch(5, vocab_size=3000)
    assert np.array_equal(plan.batch(37, vocab_size=3000), again.batch(37, vocab_size=3000))
    assert any(plan.sequences(step) != other.sequences(step) for step in range(10))


def test_a_run_that_stops_early_sees_what_the_whole_schedule_would() -> None:
    plan, stopped = plan_batches(RECIPE, ARRAYS), plan_batches(dataclasses.replace(RECIPE, stop=50), ARRAYS)
    assert [plan.sequences(step) for step in range(50)] == [stopped.sequences(step) for step in range(50)]


def test_processes_share_one_batch() -> None:
    plan = plan_batches(RECIPE, ARRAYS)
    alone = plan.batch(3, vocab_size=3000)
    for processes in (2, 4):
        shares = [plan.batch(3, rank=rank, processes=processes, vocab_size=3000) for rank in range(processes)]
        assert np.array_equal(np.concatenate(shares), alone)


def test_rows_are_unbroken_runs_of_the_arrays() -> None:
    plan = plan_batches(RECIPE, ARRAYS)
    for step in range(100):
        rows = plan.batch(step, vocab_size=3000)
        assert rows.shape == (4, 9)
        assert (np.diff(rows, axis=1) == 1).all()


def test_each_stage_draws_from_its_own_mixture() -> None:
    plan = plan_batches(RECIPE, ARRAYS)
    arrays = [[index for index, _ in plan.sequences(step)] for step in range(100)]
    assert 0.65 < 1 - np.mean(arrays[:75]) < 0.85
    assert np.all(np.array(arrays[75:]) == 1)
    assert [stage_at(RECIPE, step) for step in (0, 74, 75, 99)] == [0, 0, 1, 1]


def test_no_window_repeats_before_all_were_seen() -> None:
    plan = plan_batches(RECIPE, ARRAYS)
    seen: Counter[int] = Counter()
    for step in range(75):
        seen.update(window for index, window in plan.sequences(step) if index == 0)
        times = [seen[window] for window in range(CODE_WINDOWS)]
        assert max(times) - min(times) <= 1
    assert seen.total() > CODE_WINDOWS
    assert set(seen) == set(range(CODE_WINDOWS))


@given(size=st.integers(1, 3000), seed=st.integers(0, 2**64 - 1))
def test_a_shuffle_holds_everything_once_in_every_pass(size: int, seed: int) -> None:
    first, second = np.split(shuffled(np.arange(2 * size), size, seed=seed), 2)
    assert np.array_equal(np.sort(first), np.arange(size))
    assert np.array_equal(np.sort(second), np.arange(size))
    if size > 50:
        assert not np.array_equal(first, second)
        assert abs(np.corrcoef(first, np.arange(size))[0, 1]) < 0.75


def test_a_trillion_sequences_are_planned_without_storing_them() -> None:
    near_the_end = 10**12 + np.arange(-3, 3)
    assert np.array_equal(shuffled(near_the_end, 10**12, seed=1)[:3], shuffled(near_the_end[:3], 10**12, seed=1))
    assert len(set(shuffled(np.arange(10_000), 10**12, seed=1).tolist())) == 10_000


def test_a_token_beyond_the_vocabulary_is_named() -> None:
    plan = plan_batches(RECIPE, ARRAYS)
    with pytest.raises(InvalidFile, match=r"prose, sequence \d+: token \d+ is beyond the vocabulary of 1500"):
        for step in range(100):
            plan.batch(step, vocab_size=1500)


def test_absent_arrays_leave_their_part_to_the_rest() -> None:
    plan = plan_batches(RECIPE, {"prose": ARRAYS["prose"]})
    assert {index for step in range(100) for index, _ in plan.sequences(step)} == {0}
    with pytest.raises(InvalidCall, match="none of them has data"):
        plan_batches(RECIPE, {"other": ARRAYS["code"]})


def test_an_array_shorter_than_a_sequence_is_refused() -> None:
    short = TokenArray("prose", (np.arange(8, dtype=np.uint16),))
    with pytest.raises(InvalidCall, match="prose holds 8 tokens: fewer than a sequence of 8"):
        plan_batches(RECIPE, {"prose": short})


def test_rate_warms_up_and_decays_in_each_stage() -> None:
    rates = [learning_rate(RECIPE, step) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 15)
    assert max(rates) == rates[14] == rates[15] == 1.0
    assert rates[45] == pytest.approx(0.75)
    assert rates[75] == 0.5
    assert rates[99] == pytest.approx(0.02)


CONSTANT = dataclasses.replace(
    RECIPE,
    stages=(
        Stage("steady", 0.75, peak_rate=1.0, final_rate=1.0, warmup=6, mixture={"code": 3.0, "prose": 1.0}),
        Stage("fall", 0.25, peak_rate=1.0, final_rate=0.0, warmup=0.0, mixture={"prose": 1.0}),
    ),
)


@given(steps=st.integers(1, 60), other=st.integers(1, 60), done=st.integers(0, 60))
def test_schedules_of_one_layout_have_done_the_same(steps: int, other: int, done: int) -> None:
    """Where `layout_until` is the same for two lengths, so are the rates and sequences of what is done."""
    first, second = (dataclasses.replace(CONSTANT, steps=each) for each in (steps, other))
    if layout_until(first, done) != layout_until(second, done):
        return
    plans = [plan_batches(each, ARRAYS) for each in (first, second)]
    for step in range(min(done, steps, other)):
        assert learning_rate(first, step) == learning_rate(second, step)
        assert plans[0].sequences(step) == plans[1].sequences(step)


def test_only_a_constant_rate_can_be_laid_out_anew() -> None:
    longer = dataclasses.replace(CONSTANT, steps=1000)
    assert layout_until(CONSTANT, 75) == layout_until(longer, 75)
    assert layout_until(CONSTANT, 76) != layout_until(longer, 76)
    assert layout_until(RECIPE, 1) != layout_until(dataclasses.replace(RECIPE, steps=1000), 1)
    assert [learning_rate(longer, step) for step in (0, 4, 5, 6, 700)] == pytest.approx([1 / 6, 5 / 6, 1, 1, 1])
