"""The loop learns, and goes on where it was stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra 'train')")

from tokenizers import Tokenizer  # noqa: E402

from edge_phi.errors import InvalidCall, InvalidFile  # noqa: E402
from edge_phi.train.data.pack import pack  # noqa: E402
from edge_phi.train.data.prepare import PreparedData  # noqa: E402
from edge_phi.train.loop import StepMetrics, read_metrics, train  # noqa: E402
from edge_phi.train.recipe import Recipe, Stage  # noqa: E402


class Stopped(Exception):
    """Stands for whatever ends a run before its last step."""


def recipe(**changes: object) -> Recipe:
    values: dict = {
        "name": "tiny",
        "model": {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": 64,
        },
        "data": {},
        "stages": (Stage("only", 1.0, peak_rate=3e-3, final_rate=1e-3, warmup=0.1, mixture={"code": 1.0}),),
        "steps": 30,
        "batch": 4,
        "length": 32,
        "optimizer": "muon",
        "validate_every": 10,
        "save_every": 10,
    }
    return Recipe(**{**values, **changes})


@pytest.fixture(scope="module")
def data(tiny_checkpoint: Path) -> PreparedData:
    tokenizer = Tokenizer.from_file(str(tiny_checkpoint / "tokenizer.json"))
    text = "\n".join(f"def add_{n}(value):\n    return value + {n}\n" for n in range(200))
    tokens = pack([text], tokenizer)
    return PreparedData(tokenizer, {"code": tokens}, tokens[:2000], {"documents": {"sha256": "of a test"}})


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_loss_falls_and_is_recorded(tmp_path: Path, data: PreparedData, optimizer: str) -> None:
    seen: list[StepMetrics] = []
    train(recipe(optimizer=optimizer), data, tmp_path, on_step=seen.append)
    assert [metrics.step for metrics in seen] == list(range(1, 31))
    assert seen[-1].loss < 0.7 * seen[0].loss
    assert seen[-1].tokens == 30 * 4 * 32
    held_out = [metrics.validation_loss for metrics in seen if metrics.validation_loss is not None]
    assert len(held_out) == 3
    assert held_out[-1] < held_out[0]
    assert [row["loss"] for row in read_metrics(tmp_path)] == [metrics.loss for metrics in seen]


def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path: Path, data: PreparedData) -> None:
    torch.set_num_threads(1)  # sums in one order
    unbroken = train(recipe(), data, tmp_path / "unbroken", on_step=lambda _: None)

    def stop(metrics: StepMetrics) -> None:
        if metrics.step == 17:  # seven steps after the last state was saved
            raise Stopped

    with pytest.raises(Stopped):
        train(recipe(), data, tmp_path / "stopped", on_step=stop)
    seen: list[StepMetrics] = []
    resumed = train(recipe(), data, tmp_path / "stopped", on_step=seen.append)

    assert seen[0].step == 11
    assert [row["step"] for row in read_metrics(tmp_path / "stopped")] == list(range(1, 31))
    for name, weight in unbroken.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


def test_a_run_of_another_recipe_is_not_written_over(tmp_path: Path, data: PreparedData) -> None:
    train(recipe(steps=10), data, tmp_path, on_step=lambda _: None)
    kept = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(InvalidCall, match="give another --out"):
        train(recipe(steps=10, seed=5), data, tmp_path, on_step=lambda _: None)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == kept


def test_a_damaged_state_is_named(tmp_path: Path, data: PreparedData) -> None:
    train(recipe(steps=10), data, tmp_path, on_step=lambda _: None)
    state = tmp_path / "state" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-1000])
    with pytest.raises(InvalidFile, match="damaged state"):
        train(recipe(steps=10), data, tmp_path, on_step=lambda _: None)


def test_orthogonalize_leaves_singular_values_near_one() -> None:
    from edge_phi.train.optim import orthogonalize

    for shape in ((64, 32), (32, 96)):
        matrix = torch.from_numpy(np.random.default_rng(0).normal(size=shape)).float()
        values = torch.linalg.svdvals(orthogonalize(matrix))
        assert values.min() > 0.6 and values.max() < 1.3
