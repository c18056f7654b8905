"""The loop learns, skips what is not finite, and goes on where it was stopped."""

from __future__ import annotations

import gc
import os
import random
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra 'train')")

from tiny_training import recipe, shards, write_shards  # noqa: E402

from edge_phi.errors import EdgePhiError, InvalidCall, InvalidFile  # noqa: E402
from edge_phi.train.data.shards import Shards  # noqa: E402
from edge_phi.train.loop import Interrupted, StepMetrics, read_metrics, train  # noqa: E402
from edge_phi.train.model import Phi  # noqa: E402


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    return shards(tmp_path_factory.mktemp("shards") / "shards")


@pytest.fixture(autouse=True)
def sums_in_one_order() -> None:
    torch.set_num_threads(1)


def nothing(metrics: StepMetrics) -> None:
    pass


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_loss_falls_and_is_recorded(tmp_path: Path, data: Shards, optimizer: str) -> None:
    seen: list[StepMetrics] = []
    train(recipe(optimizer=optimizer), data, tmp_path, on_step=seen.append)
    assert [metrics.step for metrics in seen] == list(range(1, 31))
    assert seen[-1].loss < 0.7 * seen[0].loss
    assert seen[-1].tokens == 30 * 4 * 32
    held_out = [metrics.validation_loss for metrics in seen if metrics.validation_loss is not None]
    assert len(held_out) == 3
    assert held_out[-1] < held_out[0]
    assert [row["loss"] for row in read_metrics(tmp_path)] == [metrics.loss for metrics in seen]
    assert all(metrics.mfu_nominal is None and metrics.mfu_measured > 0 for metrics in seen)


def test_a_step_takes_as_long_as_its_work(tmp_path: Path, data: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = 0.0
    forward = Phi.forward

    def slow_forward(self: Phi, *arguments: object) -> object:
        nonlocal seconds
        seconds += 2.0 if torch.is_grad_enabled() else 100.0  # validation counts for no step
        return forward(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Phi, "forward", slow_forward)
    monkeypatch.setattr("edge_phi.train.loop.measured_flops", lambda device: 1e9)
    monkeypatch.setattr("edge_phi.train.loop.time.perf_counter", lambda: seconds)
    seen: list[StepMetrics] = []
    train(recipe(steps=6, validate_every=3, save_every=3), data, tmp_path, on_step=seen.append)
    assert [metrics.tokens_per_s for metrics in seen] == [4 * 32 / 2.0] * 6


def test_one_batch_is_learnt_by_heart(tmp_path: Path, data: Shards) -> None:
    one = shards(tmp_path / "one", texts=["def double(value):\n    return value + value\n"] * 8)
    array = one.arrays["code"]
    length = len(array) // 8
    seen: list[StepMetrics] = []
    settings = recipe(steps=60, length=length, batch=4, optimizer="adamw", validate_every=60, save_every=60)
    train(settings, one, tmp_path / "run", on_step=seen.append)
    assert seen[-1].loss < 0.1 < seen[0].loss


def test_accumulated_micro_batches_are_one_batch(tmp_path: Path, data: Shards) -> None:
    whole, parts = [], []
    train(recipe(steps=5, optimizer="adamw"), data, tmp_path / "whole", on_step=whole.append)
    train(recipe(steps=5, optimizer="adamw", micro_batch=1), data, tmp_path / "parts", on_step=parts.append)
    for one, other in zip(whole, parts, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-5)
        assert one.gradient_norm == pytest.approx(other.gradient_norm, rel=1e-3)


def test_a_run_that_stops_early_is_the_beginning_of_the_whole(tmp_path: Path, data: Shards) -> None:
    whole, early = [], []
    train(recipe(), data, tmp_path / "whole", on_step=whole.append)
    train(recipe(stop=12), data, tmp_path / "early", on_step=early.append)
    assert [metrics.loss for metrics in early] == [metrics.loss for metrics in whole[:12]]
    assert [metrics.learning_rate for metrics in early] == [metrics.learning_rate for metrics in whole[:12]]
    rest: list[StepMetrics] = []
    train(recipe(), data, tmp_path / "early", on_step=rest.append)  # and can still go on
    assert [metrics.loss for metrics in rest] == [metrics.loss for metrics in whole[12:]]


KILLED = """
    import os, signal, sys
    from pathlib import Path
    import torch
    torch.set_num_threads(1)
    from tiny_training import recipe
    from edge_phi.train.data.shards import read_shards
    from edge_phi.train.loop import train

    def kill(metrics):
        if metrics.step == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)

    train(recipe(optimizer=sys.argv[4]), read_shards(Path(sys.argv[1])), Path(sys.argv[2]), on_step=kill)
"""


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_killed_run_goes_on_to_the_same_weights(tmp_path: Path, data: Shards, optimizer: str) -> None:
    write_shards(tmp_path / "shards")
    unbroken = train(recipe(optimizer=optimizer), data, tmp_path / "unbroken", on_step=nothing)
    step = random.Random().randint(11, 29)
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), tmp_path / "shards", tmp_path / "run", str(step), optimizer],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    seen: list[StepMetrics] = []
    resumed = train(recipe(optimizer=optimizer), data, tmp_path / "run", on_step=seen.append)
    assert seen[0].step in (1, 11, 21), f"killed at step {step}"
    assert [row["step"] for row in read_metrics(tmp_path / "run")] == list(range(1, 31))
    for name, weight in unbroken.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), f"{name}, killed at step {step}"


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_step_that_is_not_finite_changes_nothing(
    tmp_path: Path, data: Shards, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, calls = Phi.forward, iter(range(6, 1000))  # the first five are behind it

    def poisoned(self: Phi, tokens: torch.Tensor, targets: torch.Tensor | None = None) -> torch.Tensor:
        loss = forward(self, tokens, targets)
        return loss * float("nan") if self.training and next(calls) == 6 else loss

    before = train(recipe(optimizer=optimizer, steps=30, stop=5), data, tmp_path, on_step=nothing).state_dict()
    monkeypatch.setattr(Phi, "forward", poisoned)
    seen: list[StepMetrics] = []
    after = train(recipe(optimizer=optimizer, steps=30, stop=6), data, tmp_path, on_step=seen.append).state_dict()
    assert np.isnan(seen[0].loss)
    assert len(seen[0].skipped or []) == 4
    assert (seen[0].skipped or [""])[0].startswith("code[")
    for name, weight in before.items():
        assert torch.equal(weight, after[name]), name
    rest: list[StepMetrics] = []
    train(recipe(optimizer=optimizer), data, tmp_path, on_step=rest.append)
    assert rest[-1].loss < rest[0].loss
    assert all(metrics.skipped is None for metrics in rest)


def test_a_run_that_stays_not_finite_ends_with_its_sequences(
    tmp_path: Path, data: Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Phi.forward
    monkeypatch.setattr(Phi, "forward", lambda self, *rest: forward(self, *rest) * float("inf"))
    with pytest.raises(EdgePhiError, match=r"the 5th step in a row that is not finite.*code\[\d+\], code\[\d+\]"):
        train(recipe(), data, tmp_path, on_step=nothing)
    assert len(read_metrics(tmp_path)) == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_run_goes_on(tmp_path: Path, data: Shards, number: signal.Signals) -> None:
    unbroken = train(recipe(), data, tmp_path / "unbroken", on_step=nothing)
    handler = signal.getsignal(number)

    def send(metrics: StepMetrics) -> None:
        if metrics.step == 4:
            for _ in range(2):  # a scheduler's and the launcher's
                os.kill(os.getpid(), number)

    with pytest.raises(Interrupted) as caught:
        train(recipe(), data, tmp_path / "run", on_step=send)
    assert caught.value.signal_number == number
    assert caught.value.step in (5, 6)
    assert signal.getsignal(number) is handler
    assert gc.isenabled()
    seen: list[StepMetrics] = []
    resumed = train(recipe(), data, tmp_path / "run", on_step=seen.append)
    assert seen[0].step == caught.value.step + 1
    for name, weight in unbroken.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


def test_a_full_disk_leaves_the_state_before_whole(tmp_path: Path, data: Shards) -> None:
    """A limit on the size of files stands for the disk: writing fails in the same place."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(metrics: StepMetrics) -> None:
        if metrics.step == 12:
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(EdgePhiError, match=r"the state of step 20 cannot be saved .*the state of step 10 is whole"):
            train(recipe(), data, tmp_path, on_step=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["step-00000010"]
    seen: list[StepMetrics] = []
    train(recipe(), data, tmp_path, on_step=seen.append)
    assert seen[0].step == 11


def test_a_run_of_another_recipe_is_not_written_over(tmp_path: Path, data: Shards) -> None:
    train(recipe(steps=10), data, tmp_path, on_step=nothing)
    kept = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(InvalidCall, match="give another --out"):
        train(recipe(steps=10, seed=5), data, tmp_path, on_step=nothing)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == kept


def test_a_damaged_state_is_named(tmp_path: Path, data: Shards) -> None:
    train(recipe(steps=10), data, tmp_path, on_step=nothing)
    [state] = (tmp_path / "state" / "step-00000010").glob("*.safetensors")
    state.write_bytes(state.read_bytes()[:-1000])
    with pytest.raises(InvalidFile, match="damaged state") as caught:
        train(recipe(steps=10), data, tmp_path, on_step=nothing)
    assert "\n" not in str(caught.value)


def test_dropout_follows_from_the_seed_and_the_step(tmp_path: Path, data: Shards) -> None:
    runs: list[list[StepMetrics]] = [[], [], []]
    for run, folder in zip(runs[:2], ("one", "two"), strict=True):
        train(recipe(steps=20, dropout=0.3), data, tmp_path / folder, on_step=run.append)
        torch.rand(7)
    train(recipe(steps=20), data, tmp_path / "without", on_step=runs[2].append)
    assert [metrics.loss for metrics in runs[0]] == [metrics.loss for metrics in runs[1]]
    assert runs[0][0].loss != runs[2][0].loss


def test_orthogonalize_leaves_singular_values_near_one() -> None:
    from edge_phi.train.optim import orthogonalize

    for shape in ((64, 32), (32, 96)):
        matrix = torch.from_numpy(np.random.default_rng(0).normal(size=shape)).float()
        values = torch.linalg.svdvals(orthogonalize(matrix))
        assert values.min() > 0.6 and values.max() < 1.3
