"""`edge-phi data run` as a user runs it: from files to token shards, the same bytes however it is run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the data of a recipe need the extra 'train'")

RECIPE = """
name = "small"
steps = 10
batch = 1
length = 64
vocabulary = 400
exercises = 40
quality = 0.7
[model]
hidden_size = 64
intermediate_size = 64
num_hidden_layers = 1
num_attention_heads = 2
max_position_embeddings = 64
[data]
python = ["mine"]
exercises = ["exercises"]
[[stages]]
name = "all"
share = 1.0
peak_rate = 1e-3
final_rate = 1e-4
warmup = 0.1
mixture = { python = 0.5, exercises = 0.5 }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe, and a source: this project's own modules, one of them twice, one that does not parse."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "small.toml").write_text(RECIPE)
    source = folder / "mine"
    source.mkdir()
    room = Path(__file__).parents[2] / "edge_phi"
    for file in [*sorted((room / "completion").glob("*.py")), *sorted((room / "measure").glob("*.py"))]:
        if file.stat().st_size > 500:
            (source / f"{file.parent.name}_{file.name}").write_bytes(file.read_bytes())
    (source / "z_again.py").write_bytes((room / "completion" / "decode.py").read_bytes())
    (source / "broken.py").write_text("def broken(:\n" * 20)
    return folder


def command(folder: Path, out: str, *more: str) -> list[str]:
    arguments = ["data", "run", out, "--recipe", "small.toml", "--source", "mine=mine", "--license", "unknown", *more]
    return [sys.executable, "-m", "edge_phi", *arguments]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "EDGE_PHI_DATA"}


def test_from_files_to_shards_the_same_bytes_after_a_kill(folder: Path) -> None:
    whole = subprocess.run(
        command(folder, "whole", "--workers=1"), cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert whole.returncode == 0, whole.stderr
    assert whole.stdout == "whole/shards\n"

    killed = subprocess.Popen(
        command(folder, "killed", "--workers=2"), cwd=folder, env=environment(), stderr=subprocess.DEVNULL
    )
    while not (folder / "killed" / "steps" / "2-exercises").is_dir() and killed.poll() is None:
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (folder / "killed" / "shards").exists()
    again = subprocess.run(
        command(folder, "killed", "--workers=2"), cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert again.returncode == 0, again.stderr
    for file in sorted((folder / "whole" / "shards").iterdir()):
        assert (folder / "killed" / "shards" / file.name).read_bytes() == file.read_bytes(), file.name

    stages = json.loads((folder / "whole" / "funnel.json").read_text())
    assert [stage["name"] for stage in stages] == ["collect", "+ exercises", "dedup", "quality", "pack"]
    assert stages[0]["dropped"]["does not parse as Python"] == 1
    assert stages[1]["documents"] == stages[0]["documents"] + 40
    assert stages[2]["dropped"] == {"an exact copy": 1}
    assert stages[3]["dropped"]["low educational value"] >= 1
    assert stages[3]["sources"]["exercises"] == stages[2]["sources"]["exercises"]  # only people's code is judged
    assert (folder / "whole" / "funnel.png").read_bytes().startswith(b"\x89PNG")
    index = json.loads((folder / "whole" / "shards" / "index.json").read_text())
    assert set(index["arrays"]) == {"python", "exercises", "validation"}
    assert index["vocab_size"] == 400
    tokens = np.load(folder / "whole" / "shards" / "python-00000.npy")
    assert len(tokens) == index["arrays"]["python"][0]["tokens"]
    manifest = json.loads((folder / "whole" / "shards" / "manifest.json").read_text())
    assert manifest["documents"]["sources"]["mine"]["licenses"] == ["unknown"]
    assert str(folder) not in json.dumps(manifest)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--qualitie=0.5"], "unknown key 'qualitie': did you mean quality?"),
        (["--quality=2"], "quality is 2.0: it is a share"),
        (["--tau=0.5"], "tau is 0.5: it must be from 0.8 to 1"),
        (["--source", "x=nowhere"], "nowhere"),
        (["--benchmarks", "nowhere"], "nowhere"),
    ],
)
def test_wrong_calls_take_one_line(folder: Path, more: list[str], message: str) -> None:
    result = subprocess.run(
        command(folder, "wrong", *more), cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert result.returncode == 2, result.stderr
    assert message in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
