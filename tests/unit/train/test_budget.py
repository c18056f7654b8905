"""A run that has to be over in time lays its schedule out anew, and learns what a run of that length does."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra 'train')")

from tiny_training import recipe, shards  # noqa: E402

from edge_phi.errors import InvalidCall  # noqa: E402
from edge_phi.train.budget import CLOSING_S, Budget  # noqa: E402
from edge_phi.train.data.shards import Shards  # noqa: E402
from edge_phi.train.loop import Interrupted, StepMetrics, train  # noqa: E402
from edge_phi.train.recipe import Recipe, Stage  # noqa: E402

STAGES = (
    Stage("steady", 0.7, peak_rate=3e-3, final_rate=3e-3, warmup=5, mixture={"code": 1.0}),
    Stage("fall", 0.3, peak_rate=3e-3, final_rate=0.0, warmup=0.0, mixture={"code": 1.0}),
)


class Clock:
    """A step takes as long as it is told."""

    def __init__(self, seconds_a_step: float) -> None:
        self.seconds, self.seconds_a_step = 0.0, seconds_a_step

    def __call__(self) -> float:
        return self.seconds

    def step(self, _: StepMetrics) -> None:
        self.seconds += self.seconds_a_step


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    return shards(tmp_path_factory.mktemp("shards") / "shards")


@pytest.fixture(autouse=True)
def sums_in_one_order() -> None:
    torch.set_num_threads(1)


def tiny(**changes: object) -> Recipe:
    return recipe(**{"stages": STAGES, "steps": 400, **changes})


def test_it_is_over_in_time_and_the_rate_has_fallen(tmp_path: Path, data: Shards) -> None:
    clock = Clock(4.0)
    budget = Budget(minutes=(50 * 4.0 + CLOSING_S) / 60, clock=clock)
    seen: list[StepMetrics] = []

    def on_step(metrics: StepMetrics) -> None:
        clock.step(metrics)
        seen.append(metrics)

    fitted = train(tiny(), data, tmp_path / "fitted", on_step=on_step, budget=budget)
    assert abs(seen[-1].step - 50) <= 2
    assert seen[-1].steps == seen[-1].step
    assert seen[-1].learning_rate < 3e-3 / 10
    assert sum(metrics.learning_rate == 3e-3 for metrics in seen) > 25

    plain = train(tiny(steps=seen[-1].step), data, tmp_path / "plain", on_step=lambda _: None)
    for name, weight in plain.state_dict().items():
        assert torch.equal(weight, fitted.state_dict()[name]), name


def test_a_run_without_a_limit_goes_on_under_one(tmp_path: Path, data: Shards) -> None:
    """Stopped twice at the constant rate, then given the last minutes; killed in the fall, it still ends there."""

    def stop_at(step: int) -> Callable[[StepMetrics], None]:
        return lambda metrics: os.kill(os.getpid(), signal.SIGTERM) if metrics.step == step else None

    for step in (12, 25):
        with pytest.raises(Interrupted):
            train(tiny(), data, tmp_path, on_step=stop_at(step))
    clock = Clock(1.0)
    budget = Budget(minutes=(40 + CLOSING_S) / 60, clock=clock)
    seen: list[StepMetrics] = []

    def until_the_fall(metrics: StepMetrics) -> None:
        clock.step(metrics)
        seen.append(metrics)
        if metrics.stage == "fall" and metrics.learning_rate < 1.5e-3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        train(tiny(), data, tmp_path, on_step=until_the_fall, budget=budget)
    steps = seen[-1].steps
    assert abs(steps - (seen[0].step + 40)) <= 3
    rest: list[StepMetrics] = []
    train(tiny(), data, tmp_path, on_step=rest.append, budget=Budget(minutes=100))
    assert rest[-1].step == steps
    assert rest[0].step == seen[-1].step + 1


def test_too_little_time_lets_the_rate_fall_at_once(tmp_path: Path, data: Shards) -> None:
    clock = Clock(10.0)
    seen: list[StepMetrics] = []

    def on_step(metrics: StepMetrics) -> None:
        clock.step(metrics)
        seen.append(metrics)

    train(tiny(), data, tmp_path, on_step=on_step, budget=Budget(minutes=1, clock=clock))
    assert [metrics.stage for metrics in seen[:20]] == ["steady"] * 20
    assert {metrics.stage for metrics in seen[21:]} == {"fall"}
    assert len(seen) < 32


def test_a_rate_that_falls_from_the_beginning_is_refused(tmp_path: Path, data: Shards) -> None:
    with pytest.raises(InvalidCall, match="the rate falls from the beginning"):
        train(recipe(), data, tmp_path, on_step=lambda _: None, budget=Budget(minutes=1))
    with pytest.raises(InvalidCall, match="exclude each other"):
        train(tiny(stop=3), data, tmp_path, on_step=lambda _: None, budget=Budget(minutes=1))
    with pytest.raises(InvalidCall, match="more than 0"):
        Budget(minutes=0)
