"""The ablation's script: data prepared, four runs, a table and a figure, at a size of seconds."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs PyTorch (extra 'train')")
pytest.importorskip("pyarrow", reason="records need pyarrow (extra 'data')")

from edge_phi.train.data.records import Record, write_records
from edge_phi.train.data.shards import read_shards

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "ablation.py"
RECIPE = """
name = "tiny"
steps = 6
batch = 2
length = 32
optimizer = "adamw"
validate_every = 2
save_every = 6
data = {}
[model]
hidden_size = 64
intermediate_size = 128
num_hidden_layers = 1
num_attention_heads = 2
max_position_embeddings = 64
partial_rotary_factor = 0.5
[[stages]]
name = "any"
share = 1.0
peak_rate = 3e-3
final_rate = 0.0
warmup = 0.0
mixture = { filtered = 1 }
"""


def call(*arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ablation")
    code = [
        Record(f"code-{at}", "standard_library", f"{at}.py", "PSF-2.0", f"def f{at}(x):\n    return x + {at}\n" * 9, 0)
        for at in range(400)
    ]
    books = [
        Record(f"book-{at}", "book", f"{at}.md", "MIT", f"Chapter {at}: a list is a row. " * 9, 0) for at in range(60)
    ]
    exercises = [
        Record(
            f"ex-{at}",
            "exercises",
            f"{at}.py",
            "Apache-2.0",
            f'def add(a):\n    """Add {at}."""\n    return a + {at}\n' * 3,
            0,
        )
        for at in range(200)
    ]
    for name, records in (("all", [*code, *books, *exercises]), ("kept", code[::2])):
        (folder / name).mkdir()
        write_records(folder / name / "00000.parquet", records, {}, seen=lambda _: None)
    (folder / "tiny.toml").write_text(RECIPE)
    tokens = json.loads(call("prepare", folder / "all", folder / "kept", folder / "shards", "--vocabulary", 300))
    assert min(tokens.values()) > 100
    call("train", folder / "shards", "--recipe", folder / "tiny.toml", "--runs", folder / "runs", "--seed=3")
    return folder


def test_data_are_divided_as_they_are_named(runs: Path) -> None:
    shards = read_shards(runs / "shards")
    tokenizer = shards.tokenizer
    texts = {name: tokenizer.decode(list(array.parts[0])) for name, array in shards.arrays.items()}
    held_out = tokenizer.decode(list(shards.validation.parts[0]))
    assert set(texts) == {"filtered", "rest", "textbooks", "exercises"}
    assert "Chapter 3:" in texts["textbooks"] and "Chapter" not in texts["filtered"]
    assert "def add" in texts["exercises"] and "def add" not in held_out

    def functions(text: str) -> set[int]:
        return {int(part.partition("(")[0]) for part in text.split("def f")[1:]}

    parts = [functions(texts["filtered"]), functions(texts["rest"]), functions(held_out)]
    assert set.union(*parts) == set(range(400))
    assert sum(map(len, parts)) == 400
    assert {number % 2 for number in parts[0]} == {0} and {number % 2 for number in parts[1]} == {1}
    assert {number % 2 for number in parts[2]} == {0, 1}


def test_runs_differ_in_their_data_alone(runs: Path) -> None:
    lineages = {
        folder.name: json.loads((folder / "checkpoint" / "lineage.json").read_text())
        for folder in (runs / "runs").iterdir()
    }
    assert set(lineages) == {"unfiltered", "filtered", "textbooks", "exercises"}
    recipes = {name: lineage["recipe"] for name, lineage in lineages.items()}
    mixtures = {name: [tuple(stage["mixture"]) for stage in recipe["stages"]] for name, recipe in recipes.items()}
    assert mixtures["unfiltered"] == [("filtered", "rest")] * 2
    assert mixtures["exercises"] == [("filtered", "textbooks"), ("exercises",)]
    for recipe in recipes.values():
        del recipe["name"]
        for stage in recipe["stages"]:
            del stage["mixture"]
    assert len({json.dumps(recipe, sort_keys=True) for recipe in recipes.values()}) == 1
    assert {lineage["result"]["tokens"] for lineage in lineages.values()} == {6 * 2 * 32}
    assert recipes["filtered"]["seed"] == 3


def test_the_report_says_what_the_runs_left(runs: Path) -> None:
    for arm, value in (("filtered", 0.25), ("exercises", 0.5)):
        part = {"problems": 4, "solved": 1, "pass_at_k": {"1": {"value": value, "low": 0.0, "high": 0.75}}}
        result = {"score": part, "similar": None, "other": part if arm == "exercises" else None}
        (runs / "runs" / arm / "humaneval.json").write_text(json.dumps([result]))
    out = ["--runs", runs / "runs", "--out", runs, "--figure", runs / "ablation.png"]
    printed = call("report", *out)
    arms = json.loads((runs / "ablation.json").read_text())["arms"]
    assert list(arms) == ["unfiltered", "filtered", "textbooks", "exercises"]
    for arm, found in arms.items():
        rows = [json.loads(line) for line in (runs / "runs" / arm / "metrics.jsonl").read_text().splitlines()]
        assert found["perplexity"] == pytest.approx(math.exp(rows[-1]["validation_loss"]))
        assert f"| {arm} |" in printed
    assert "| 25.0 (0.0 to 75.0) | - | - | 17.7 |" in printed
    assert "| 50.0 (0.0 to 75.0), not similar 50.0 |" in printed
    assert (runs / "ablation.png").read_bytes()[:4] == b"\x89PNG"
