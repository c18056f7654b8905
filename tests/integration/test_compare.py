"""`edge-phi compare` with real engines on a tiny random model; nothing here asserts a speed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import write_tiny_checkpoint

from edge_phi.compare.cache import Cache
from edge_phi.compare.passes import Evaluation
from edge_phi.compare.run import CompareSettings, run_comparison
from edge_phi.errors import EdgePhiError
from edge_phi.evaluate.humaneval import load_humaneval
from edge_phi.evaluate.sandbox import Sandbox
from edge_phi.measure.bench import BenchSettings
from edge_phi.measure.progress import progress_on_stderr
from edge_phi.store import Model, find_model

pytest.importorskip("onnx", reason="the extra 'convert' is not installed: nothing to compare is made")

COMPARE = [sys.executable, "-c", "import sys; from edge_phi.cli import main; sys.exit(main())", "compare"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Float32 and int4 of a one-layer model, both in ONNX Runtime."""
    from edge_phi.convert.onnx import export_onnx

    folder = write_tiny_checkpoint(tmp_path_factory.mktemp("compare") / "tiny-phi", layers=1)
    export_onnx(folder, "float32", folder)
    export_onnx(folder, "int4", folder / "onnx-int4")
    found = find_model(folder)
    return replace(found, artifacts=tuple(one for one in found.artifacts if one.format == "onnx"))


def changes(folder: Path) -> dict[Path, int]:
    """When each result was written; a run's report is written each time."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "report.json"]
    return {path: path.stat().st_mtime_ns for path in files}


def test_two_forms_in_all_figures(model: Model, tmp_path: Path, evaluation_data: Path) -> None:
    try:
        sandbox = Sandbox()
    except EdgePhiError as error:
        pytest.skip(f"this machine has no sandbox: {error}")
    benchmark = load_humaneval(data=evaluation_data)
    with sandbox, progress_on_stderr() as progress:
        evaluation = Evaluation(benchmark, benchmark.problems[:2], sandbox)
        settings = CompareSettings(BenchSettings(rounds=1, new_tokens=8), evaluation=evaluation)
        first = run_comparison(model, progress, Cache(tmp_path), settings)
        kept = changes(tmp_path)
        again = run_comparison(model, progress, Cache(tmp_path), settings)
    assert again.forms == first.forms and not first.failed
    assert changes(tmp_path) == kept
    full, int4 = first.forms
    assert (full.name, int4.name, first.bench.baseline) == ("onnx:float32", "onnx:int4", "onnx:float32")
    assert int4.fidelity is not None and full.fidelity is not None and first.text is not None
    assert int4.fidelity.positions == first.text.windows * (first.text.tokens - 1)
    assert int4.fidelity.kl_mean > 0 and int4.fidelity.baseline_perplexity == full.fidelity.perplexity
    for form in (full, int4):
        assert form.passes is not None and form.passes.problems == 2 and form.passes.solved == 0  # it is random
        assert (form.passes.gained, form.passes.lost, form.passes.p_value) == ([], [], 1.0)
        assert (form.passes.low, form.passes.high) == (0.0, pytest.approx(1 - 0.05**0.5))


@pytest.mark.skipif(sys.platform != "linux", reason="kills as Linux does, and finds child processes in /proc")
def test_killed_at_once_the_command_goes_on_where_it_was(model: Model, tmp_path: Path) -> None:
    lone = tmp_path / "onnx-int4"
    lone.symlink_to(model.folder / "onnx-int4")
    command = [*COMPARE, str(lone), "--json", "--pick", "decode_tokens_per_s > 0"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as killed:
        while not (kept := list((tmp_path / "cache").rglob("timing-*.json"))):
            assert killed.poll() is None
            time.sleep(0.01)
        children = Path(f"/proc/{killed.pid}/task/{killed.pid}/children").read_text().split()
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        for child in children:  # its pipe is gone, and it ends when it would write; but not now
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
    before = {path: path.read_bytes() for path in kept}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    [form] = found["forms"]
    assert form["name"] == "onnx:int4" and len(form["rounds"]) == 3 and form["fidelity"] is None
    assert found["pick"]["form"] == "onnx:int4"
    assert "results were there from before" in done.stderr
    assert before == {path: path.read_bytes() for path in before}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["phi-1-nanno-x"], "unknown model 'phi-1-nanno-x'"),
        (["--pick", "kl<"], "--pick: the end at character 4: expected a figure or a number"),
        (["--pick", "pass_at_1>0.1"], "give one with --eval"),
        (["--eval", "humanevil"], "--eval is 'humanevil': give humaneval, mbpp"),
        (["--eval", "humaneval:0"], "--eval is 'humaneval:0'"),
        (["--json", "--html", "page.html"], "one report at a time"),
        (["--html", "nowhere/page.html"], "its folder does not exist"),
        (["--text", "nowhere.txt"], "nowhere.txt: cannot be read (No such file or directory)"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(
    arguments: list[str], words: str, model: Model, tmp_path: Path
) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    if arguments[0] == "--text":
        arguments = [str(model.folder / "onnx-int4"), *arguments]
    done = subprocess.run(
        [*COMPARE, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )
    assert done.returncode == 2 and done.stdout == ""
    assert words in done.stderr and done.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("*.json"))
