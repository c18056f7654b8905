"""Several processes train what one does, and read what any other number of them saved."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra 'train')")

from tiny_training import write_shards  # noqa: E402

PROCESS = """
    import json, os, sys
    from pathlib import Path
    import torch
    from tiny_training import recipe
    from edge_phi.train.data.shards import read_shards
    from edge_phi.train.distributed import joined, whole
    from edge_phi.train.loop import build_model, train
    from edge_phi.train.state_dict import to_hugging_face

    def with_scales(recipe, data, place):  # about an eighth of what is largest in a block, in few bits
        model = build_model(recipe, data, place)
        for module in model.modules():
            if getattr(module, "scales", None) is not None:
                blocks = module.weight.detach().view(*module.scales.shape, 32)
                module.scales = blocks.abs().amax(-1).mul(16).ceil().div(16 * 8)
        return model.state_dict()

    shards, out, changes = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    if "machines" in changes:  # as torchrun sets it on each of several machines
        os.environ["LOCAL_WORLD_SIZE"] = str(int(os.environ["WORLD_SIZE"]) // changes.pop("machines"))
    torch.set_num_threads(1)
    with joined() as place:
        seen, settings, data = [], recipe(**changes), read_shards(shards)
        initial = with_scales(settings, data, type(place)(place.device)) if settings.round_from else None
        model = train(settings, data, out, on_step=seen.append, place=place, initial=initial)
        weights = to_hugging_face(model)
        if place.first:
            norms = {name: tensor.double().norm().item() for name, tensor in weights.items()}
            dimensions = list(place.mesh.mesh_dim_names) if place.mesh else []
            kinds = sorted({type(weight).__name__ for weight in model.parameters()})
            result = {"losses": [metrics.loss for metrics in seen], "norms": norms, "mesh": dimensions, "kinds": kinds}
            (out / "result.json").write_text(json.dumps(result))
"""


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("shards") / "shards")


def start(shards: Path, out: Path, processes: int, **changes: object) -> dict:
    """Run the recipe in so many processes and return what the first one saw."""
    script = out.with_suffix(".py")
    script.write_text(textwrap.dedent(PROCESS))
    launcher = (
        [] if processes == 1 else ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    )
    result = subprocess.run(
        [sys.executable, *launcher, script, shards, out, json.dumps(changes)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads((out / "result.json").read_text())


@pytest.fixture(scope="module")
def alone(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    result = start(shards, tmp_path_factory.mktemp("alone") / "1", 1, optimizer="adamw", steps=10)
    assert result["kinds"] == ["Parameter"]
    return result


@pytest.mark.parametrize(("processes", "micro_batch"), [(2, 1), (4, 0)])
def test_any_number_of_processes_learns_the_same(
    shards: Path, alone: dict, tmp_path: Path, processes: int, micro_batch: int
) -> None:
    together = start(shards, tmp_path / "run", processes, optimizer="adamw", steps=10, micro_batch=micro_batch)
    assert together["kinds"] == ["DTensor"]
    assert together["mesh"] == ["shard"]
    assert together["losses"] == pytest.approx(alone["losses"], rel=1e-4)
    assert together["norms"] == pytest.approx(alone["norms"], rel=1e-3)


def test_machines_keep_a_copy_each(shards: Path, alone: dict, tmp_path: Path) -> None:
    machines = start(shards, tmp_path / "run", 4, optimizer="adamw", steps=10, machines=2)
    assert machines["mesh"] == ["replicate", "shard"]
    assert machines["losses"] == pytest.approx(alone["losses"], rel=1e-4)
    # what they saved, one process reads
    rest = start(shards, tmp_path / "run", 1, optimizer="adamw", steps=10)
    assert rest["losses"] == []
    assert rest["norms"] == pytest.approx(machines["norms"], rel=1e-6)


def test_a_state_of_two_processes_is_read_by_one_and_by_four(shards: Path, tmp_path: Path) -> None:
    unbroken = start(shards, tmp_path / "unbroken", 2, steps=20, save_every=10)
    begun = start(shards, tmp_path / "begun", 2, steps=20, stop=10)
    for processes in (1, 4):
        shutil.copytree(tmp_path / "begun", tmp_path / f"then-{processes}")
        rest = start(shards, tmp_path / f"then-{processes}", processes, steps=20)
        assert len(rest["losses"]) == 10
        assert begun["losses"] + rest["losses"] == pytest.approx(unbroken["losses"], rel=2e-4)
        assert rest["norms"] == pytest.approx(unbroken["norms"], rel=2e-3)


@pytest.mark.parametrize("round_from", ["", "a file whose scales are given"])
def test_two_processes_round_what_one_rounds(shards: Path, tmp_path: Path, round_from: str) -> None:
    settings = {"optimizer": "adamw", "steps": 10, "quantize": "q4_0", "round_from": round_from}
    alone, together = (start(shards, tmp_path / str(processes), processes, **settings) for processes in (1, 2))
    rest = start(shards, tmp_path / "2", 1, **settings)  # what they saved, one process reads, scales included
    assert rest["losses"] == []
    assert rest["norms"] == pytest.approx(together["norms"], rel=1e-6)
    assert together["kinds"] == ["DTensor"]
    assert together["losses"] == pytest.approx(alone["losses"], rel=1e-3)  # a code may flip by another order of sums
    assert together["norms"] == pytest.approx(alone["norms"], rel=1e-3)
