"""`edge-phi train` as a user runs it."""

from __future__ import annotations

import json
import os
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
    assert lineage["data"]["documents"]["sources"]["standard_library"]["licenses"] == ["PSF-2.0"]
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
