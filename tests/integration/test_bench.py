"""The bench on a tiny random model with every engine that is installed; nothing here asserts a speed."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import write_tiny_checkpoint

from edge_phi.measure.bench import BenchSettings, run_bench
from edge_phi.measure.figures import Figures, Report
from edge_phi.measure.forms import STANDARD_FORMS, make_missing
from edge_phi.measure.progress import progress_on_stderr

BENCH = [sys.executable, "-c", "import sys; from edge_phi.cli import main; sys.exit(main())", "bench"]
BALLAST_BYTES = 400 * 2**20  # more than the tiny model takes in any engine but PyTorch

needs_convert = pytest.mark.skipif(
    importlib.util.find_spec("onnx") is None, reason="the extra 'convert' is not installed: nothing to measure is made"
)


def has_fast_kernels() -> bool:
    """Whether our own engine is built, and has kernels for this processor."""
    from edge_phi.engines import NATIVE_LIBRARY
    from edge_phi.runtimes import instruction_set

    return NATIVE_LIBRARY.is_file() and instruction_set("native") != "portable"


def installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("bench") / "tiny-phi", layers=1)


@pytest.fixture(scope="module")
def report(model_folder: Path) -> Report:
    """One round of eight tokens over all standard forms, made by the convert command, while this process is large."""
    ballast = bytearray(os.urandom(1)) * BALLAST_BYTES
    with progress_on_stderr() as progress:
        model, missing = make_missing(str(model_folder), progress)
        found = run_bench(model, progress, BenchSettings(rounds=1, new_tokens=8), skipped=missing)
    assert len(ballast) == BALLAST_BYTES
    return found


@pytest.fixture(scope="module")
def onnx_folder(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one form and without a checkpoint: quick to measure, nothing to convert."""
    from edge_phi.convert.onnx import export_onnx

    folder = tmp_path_factory.mktemp("lone") / "onnx-int4"
    export_onnx(model_folder, "int4", folder)
    return folder


def by_name(report: Report) -> dict[str, Figures]:
    return {figures.name: figures for figures in report.artifacts}


@needs_convert
def test_every_standard_form_is_measured_or_skipped_with_a_reason(report: Report) -> None:
    measured, skipped = set(by_name(report)), {one.name: one.reason for one in report.skipped}
    assert report.failed == ()
    assert measured | set(skipped) == set(STANDARD_FORMS) and not measured & set(skipped)
    assert {"onnx:float32", "onnx:int4"} <= measured
    if installed("torch"):
        assert "torch:float32" in measured and report.baseline == "torch:float32"
    else:
        assert "edge-phi[train]" in skipped["torch:float32"] and report.baseline == "onnx:float32"
    if installed("llama_cpp") and installed("gguf"):
        assert {"gguf:f16", "gguf:q8_0", "gguf:q4_k_m", "gguf:q4_0"} <= measured
        loaded = {name: figures.engine for name, figures in by_name(report).items()}
        assert loaded["gguf:q8_0"] == "llama_cpp"
        assert loaded["gguf:q4_0"] == ("native" if has_fast_kernels() else "llama_cpp")


@needs_convert
def test_figures_are_whole(report: Report, model_folder: Path) -> None:
    assert report.prompts[-1].tokens == 512 - 8  # cut to the tiny model's context
    assert len({figures.threads for figures in report.artifacts}) == 1
    for figures in report.artifacts:
        assert figures.load_ms > 0 and figures.engine_version
        assert figures.prefill_tokens_per_s == pytest.approx(504 / figures.ttft_ms * 1000)
        assert 0 < figures.itl_p50_ms <= figures.itl_p95_ms
        assert figures.ratios is not None and figures.ratios.file_bytes is not None
    sizes = {name: figures.file_bytes for name, figures in by_name(report).items()}
    assert sizes["onnx:int4"] < sizes["onnx:float32"] / 4
    for gguf in model_folder.glob("*.gguf"):
        assert sizes[f"gguf:{gguf.name.split('.')[-2]}"] == gguf.stat().st_size


@needs_convert
def test_engines_agree_where_precision_does(report: Report) -> None:
    for name, figures in by_name(report).items():
        assert figures.agreement is not None and len(figures.agreement) == len(report.prompts)
        if name.endswith(":float32"):
            assert [one.first_difference for one in figures.agreement] == [None] * len(report.prompts)


@needs_convert
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what is resident")
def test_the_memory_of_a_form_is_its_own(report: Report) -> None:
    """Neither this process' ballast nor an engine that ran before is in it."""
    for name, figures in by_name(report).items():
        assert figures.base_rss_bytes is not None and figures.peak_rss_bytes is not None
        assert 5 * 2**20 < figures.base_rss_bytes < figures.peak_rss_bytes
        if name != "torch:float32":
            assert figures.peak_rss_bytes < BALLAST_BYTES


@needs_convert
def test_the_command_prints_one_json_document(onnx_folder: Path) -> None:
    done = subprocess.run([*BENCH, "--model", str(onnx_folder), "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [one["name"] for one in found["artifacts"]] == ["onnx:int4"]
    assert len(found["artifacts"][0]["rounds"]) == 3 and found["new_tokens"] == 64
    assert found["baseline"] is None and found["artifacts"][0]["ratios"] is None
    # Not a terminal: a line for the form that is finished, and no control characters.
    [line] = [line for line in done.stderr.splitlines() if "machine was busy" not in line]
    assert line.startswith("onnx:int4: TTFT ")
    assert "\x1b" not in done.stderr + done.stdout


@needs_convert
def test_the_command_writes_a_page(onnx_folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = subprocess.run(
        [*BENCH, "--model", str(onnx_folder), "--html", str(page)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and done.stdout == "", done.stderr
    assert "<svg" in page.read_text() and "onnx:int4" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "phi-1-nanno-x"], "unknown model 'phi-1-nanno-x'"),
        (["--json", "--html", "page.html"], "one report at a time"),
        (["--html", "."], "a folder"),
        (["--html", "nowhere/page.html"], "its folder does not exist"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(arguments: list[str], words: str, tmp_path: Path) -> None:
    done = subprocess.run([*BENCH, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert words in done.stderr and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@needs_convert
def test_a_damaged_form_fails_alone(model_folder: Path, onnx_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "onnx-int4").symlink_to(onnx_folder)
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).symlink_to(model_folder / name)
    (tmp_path / "tiny.q4_0.gguf").write_bytes(b"GGUF" + bytes(20))
    done = subprocess.run([*BENCH, "--model", str(tmp_path), "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert [one["name"] for one in found["artifacts"]] == ["onnx:int4"]
    [failed] = found["failed"] or found["skipped"]
    assert failed["name"] == "gguf:q4_0" and failed["reason"].startswith("tiny.q4_0.gguf: ")
    assert "Traceback" not in done.stderr and str(tmp_path) not in done.stdout


@needs_convert
@pytest.mark.skipif(sys.platform != "linux", reason="finds child processes in /proc")
def test_ctrl_c_takes_the_engine_along_and_leaves_no_file(onnx_folder: Path, tmp_path: Path) -> None:
    command = [*BENCH, "--model", str(onnx_folder), "--html", str(tmp_path / "page.html")]
    # Started by a shell in the background, this process ignores interrupts, and so would the bench.
    listens = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=listens) as bench:
        children = Path(f"/proc/{bench.pid}/task/{bench.pid}/children")
        while not (child := children.read_text().split()):
            assert bench.poll() is None
            time.sleep(0.01)
        bench.send_signal(signal.SIGINT)
        assert bench.wait() == 130
        assert bench.stderr is not None and "Traceback" not in bench.stderr.read()
    assert not Path("/proc", child[0]).exists()
    assert list(tmp_path.iterdir()) == []
