"""One recipe, one seed, one kind of machine: the same bytes, in processes that know nothing of one another."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs PyTorch (extra 'train')")

from tiny_training import write_shards

# As the recipe phi-1-nano-gpu: Muon, a constant rate, then one that falls, another mixture in each stage.
RUN = """
    import hashlib, sys
    from pathlib import Path
    import torch
    torch.set_num_threads(1)
    from tiny_training import recipe
    from edge_phi.train.data.shards import read_shards
    from edge_phi.train.loop import read_metrics, train
    from edge_phi.train.recipe import Stage
    from edge_phi.train.state_dict import to_hugging_face

    steps = int(sys.argv[3])
    stages = (
        Stage("steady", 0.75, peak_rate=3e-3, final_rate=3e-3, warmup=5, mixture={"code": 1.0}),
        Stage("fall", 0.25, peak_rate=3e-3, final_rate=3e-5, warmup=0.0, mixture={"code": 1.0}),
    )
    settings = recipe(steps=steps, stages=stages, validate_every=50, save_every=1000, seed=int(sys.argv[4]))
    model = train(settings, read_shards(Path(sys.argv[1])), Path(sys.argv[2]), on_step=lambda _: None)
    digest = hashlib.sha256()
    for name, tensor in sorted(to_hugging_face(model, torch.bfloat16).items()):
        digest.update(name.encode() + tensor.view(torch.uint8).numpy().tobytes())
    print(digest.hexdigest(), [row["loss"] for row in read_metrics(Path(sys.argv[2]))])
"""


def result(folder: Path, name: str, steps: int, seed: int = 1) -> str:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path]),
        "PYTHONHASHSEED": str(len(name)),
    }
    command = [sys.executable, "-c", textwrap.dedent(RUN), folder / "shards", folder / name, str(steps), str(seed)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("steps", [12, pytest.param(100, marks=pytest.mark.slow)])
def test_two_runs_have_the_same_bytes(tmp_path: Path, steps: int) -> None:
    write_shards(tmp_path / "shards")
    first = result(tmp_path, "first", steps)
    assert result(tmp_path, "the second", steps) == first
    assert result(tmp_path, "another seed", steps, seed=2) != first
