"""`edge-phi train` as a user runs it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra 'train')")


def edge_phi(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "EDGE_PHI_DATA"}
    return subprocess.run(
        [sys.executable, "-m", "edge_phi", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip


def test_two_steps_of_the_bundled_recipe_give_a_folder_transformers_loads(tmp_path: Path) -> None:
    import transformers

    command = ("train", "phi-1-nano", "--steps=2", "--batch=1", "--length=128")
    result = edge_phi(*command, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "step 2/2" in result.stderr
    folder = tmp_path / result.stdout.strip()
    assert folder == tmp_path / "runs" / "phi-1-nano" / "checkpoint"

    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    words = transformers.AutoTokenizer.from_pretrained(folder)
    assert model.config.model_type == "phi"
    assert len(words) == model.config.vocab_size == 8192
    assert words.decode(words("def f(x):\n    return x")["input_ids"]) == "def f(x):\n    return x"
    lineage = json.loads((folder / "lineage.json").read_text())
    assert "PSF-2.0" in lineage["data"]["documents"]["sources"]["standard_library"]["licenses"]
    assert lineage["result"]["tokens"] == 2 * 128
    assert (tmp_path / "runs" / "phi-1-nano" / "loss.png").read_bytes().startswith(b"\x89PNG")

    again = edge_phi(*command, folder=tmp_path)
    assert again.returncode == 0
    assert "collecting" not in again.stderr  # the data is there already, and so are all steps

    other = edge_phi(*command, "--seed=2", folder=tmp_path)
    assert other.returncode == 2
    assert "holds a run with other settings" in other.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["phi-1-nanu"], "did you mean phi-1-nano?"),
        (["phi-1-nano", "--stepz=3"], "unknown key 'stepz': did you mean steps?"),
        (["phi-1-nano", "--steps"], "write overrides as --key=value"),
        ([], "Missing argument"),
    ],
)
def test_wrong_calls_take_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = edge_phi("train", *arguments, folder=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file in the way")
    result = edge_phi("train", "phi-1-nano", "--steps=1", folder=tmp_path)
    assert result.returncode == 1
    assert "runs" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Token shards of this repository's own modules, and a recipe for them."""
    folder = tmp_path_factory.mktemp("packed")
    room = Path(__file__).parents[2] / "edge_phi" / "completion"
    result = edge_phi("data", "pack", "shards", f"code={room}", "--vocabulary=400", folder=folder)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "shards"
    (folder / "tiny.toml").write_text(RECIPE)
    return folder


RECIPE = """
name = "tiny"
steps = 6
batch = 4
length = 32
optimizer = "muon"
validate_every = 3
save_every = 3
[model]
hidden_size = 64
intermediate_size = 128
num_hidden_layers = 2
num_attention_heads = 2
max_position_embeddings = 64
[data]
[[stages]]
name = "only"
share = 1.0
peak_rate = 3e-3
final_rate = 1e-3
warmup = 0.1
mixture = { code = 1.0 }
"""


def test_from_a_folder_of_text_on_two_processes(packed: Path) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "edge_phi"]
    command = ["train", "tiny.toml", "--data=shards", "--out=two", "--keep-every=2", "--tensorboard=true"]
    result = subprocess.run(
        [sys.executable, *launcher, *command], cwd=packed, capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "two/checkpoint\n"
    assert "2 processes on CPU" in result.stderr
    assert result.stderr.count("step 6/6") == 1  # of one process, not of both
    kept = sorted(path.name for path in (packed / "two" / "checkpoints").iterdir())
    assert kept == ["step-00000002", "step-00000004", "step-00000006"]
    rows = [json.loads(line) for line in (packed / "two" / "metrics.jsonl").read_text().splitlines()]
    best = min((row for row in rows if row["step"] % 2 == 0), key=lambda row: row["validation_loss"])
    lineage = json.loads((packed / "two" / "checkpoint" / "lineage.json").read_text())
    assert lineage["result"]["step"] == best["step"]
    assert lineage["machine"]["processes"] == 2
    assert (packed / "two" / "checkpoint" / "model.safetensors").read_bytes() == (
        packed / "two" / "checkpoints" / f"step-{best['step']:08}" / "model.safetensors"
    ).read_bytes()
    assert list((packed / "two" / "tensorboard").glob("events.out.tfevents.*"))

    # The checkpoint begins another run, as it is or grown.
    start = f"--start-from={packed / 'two' / 'checkpoint'}"
    on = edge_phi("train", "tiny.toml", "--data=shards", "--out=on", start, "--steps=1", folder=packed)
    assert on.returncode == 0, on.stderr
    begun = json.loads((packed / "on" / "metrics.jsonl").read_text().splitlines()[0])
    assert begun["loss"] < rows[0]["loss"]
    wide = RECIPE.replace("hidden_size = 64", "hidden_size = 128").replace("size = 128\n", "size = 256\n", 1)
    (packed / "wide.toml").write_text(
        wide.replace("hidden_size = 256", "hidden_size = 128")
        .replace("intermediate_size = 128", "intermediate_size = 256")
        .replace("heads = 2", "heads = 4")
    )
    grow = start.replace("start", "grow")
    grown = edge_phi("train", "wide.toml", "--data=shards", "--out=wide", grow, "--steps=1", folder=packed)
    assert grown.returncode == 0, grown.stderr
    refused = edge_phi("train", "wide.toml", "--data=shards", "--out=refused", start, folder=packed)
    assert refused.returncode == 2
    assert "its hidden_size is 64, recipe tiny has 128" in refused.stderr


def test_sigterm_saves_and_exits_0(packed: Path) -> None:
    command = [sys.executable, "-m", "edge_phi", "train", "tiny.toml", "--data=shards", "--out=stopped"]
    settings = ["--steps=100000", "--save-every=100000", "--validate-every=100000"]
    process = subprocess.Popen(
        [*command, *settings], cwd=packed, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("step "):
            break
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "its state is saved: the same command goes on from there" in err
    assert out == ""
    step = int(re.search(r"stopped after step (\d+)", err)[1])
    assert [path.name for path in (packed / "stopped" / "state").iterdir()] == [f"step-{step:08}"]
    again = edge_phi(
        "train", "tiny.toml", "--data=shards", "--out=stopped", *settings, f"--stop={step + 1}", folder=packed
    )
    assert again.returncode == 0, again.stderr
    assert f"step {step + 1}/{step + 1}" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["phi-1-base"], 2, "has no sources of its own: give --data FOLDER"),
        (["tiny.toml", "--data=nothing"], 2, "nothing/index.json: missing: no token shards here"),
        (["tiny.toml", "--data=shards", "--micro-batch=3"], 2, "micro_batch 3 does not divide"),
        (["tiny.toml", "--data=shards", "--start-from=nothing"], 2, "unknown model 'nothing'"),
        (["tiny.toml", "--data=shards", "--batch=10000000"], 1, "--micro-batch="),
        (["tiny.toml", "--data=shards", "--length=65"], 2, "length is 65: the model's context is 64"),
    ],
)
def test_what_cannot_be_trained_is_said_in_a_line(packed: Path, arguments: list[str], code: int, message: str) -> None:
    result = edge_phi("train", *arguments, "--out=never", folder=packed)
    assert result.returncode == code, result.stderr
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (packed / "never" / "metrics.jsonl").exists()
