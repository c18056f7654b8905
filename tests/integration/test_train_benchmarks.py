"""The training benchmarks run, with tiny shapes, and say what they measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs PyTorch (extra 'train')")
pytest.importorskip("transformers", reason="the reference model needs transformers (extra 'train')")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
def test_every_case_of_the_gpu_benchmark_runs_on_the_cpu(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(BENCHMARKS / "train_mfu.py"),
        "--smoke",
        "--budget-s",
        "1000",
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "train_mfu.json").read_text())
    rows = {row["case"]: row for row in document["rows"]}
    assert len(rows) == 11
    assert not [row for row in rows.values() if "failed" in row or "skipped" in row]
    profile = rows.pop("profile")
    assert sum(kernel["share"] for kernel in profile["kernels"]) == pytest.approx(1, abs=0.2)
    for row in rows.values():
        # Tiny phi: 2 layers of 4 x 64^2 + 2 x 64 x 128, a head of 64 x 512; 6 N + 12 L h T with T = 32
        flops = row["mfu_measured"] * document["measured_flops"] / row["tokens_per_s"]
        assert flops == pytest.approx(6 * (2 * 32_768 + 32_768) + 12 * 2 * 64 * 32)
    for row in rows:
        assert f"| {row} |" in done.stdout


def test_a_case_without_time_is_named_and_the_rest_is_kept(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "train_mfu.py"), "--smoke", "--budget-s", "0", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "train_mfu.json").read_text())["rows"]
    assert rows and all("s left, it takes about" in row["skipped"] for row in rows)
