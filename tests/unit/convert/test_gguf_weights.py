"""What calibration does to a GGUF file, and what stops its writing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import SAMPLE_TEXT, write_tiny_checkpoint

from edge_phi.checkpoint import open_checkpoint
from edge_phi.convert.calibration import Calibration, load_calibration
from edge_phi.convert.gguf import export_gguf
from edge_phi.errors import EdgePhiError, InvalidFile
from edge_phi.gguf_header import read_gguf_header
from edge_phi.runtimes import open_runtime
from edge_phi.store import Artifact, bundled_folder
from edge_phi.tokenizer import load_tokenizer

pytest.importorskip("gguf", reason="the gguf package, of the extra 'convert', is not installed")
pytest.importorskip("llama_cpp", reason="llama.cpp, of the extra 'gguf', is not installed")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("small") / "small-phi", layers=1, seed=2, dtype="BF16")


@pytest.fixture(scope="module")
def calibration(small: Path) -> Calibration:
    return load_calibration(open_checkpoint(small), limit=4096)


@pytest.fixture(scope="module")
def logits_of(small: Path) -> Callable[[Path], np.ndarray]:
    """Of a GGUF file, on text that is not calibrated on."""
    tokens = load_tokenizer(small).encode(SAMPLE_TEXT)

    def compute(path: Path) -> np.ndarray:
        runtime = open_runtime(Artifact("small-phi", "gguf", "q", path, small))
        try:
            return runtime.extend(tokens, all_logits=True)
        finally:
            runtime.close()

    return compute


@pytest.mark.parametrize("quant", ["q4_0", "q8_0"])
def test_calibration_brings_logits_nearer_in_as_many_bytes_and_always_the_same(
    small: Path, calibration: Calibration, logits_of: Callable[[Path], np.ndarray], tmp_path: Path, quant: str
) -> None:
    full, plain, ours = (tmp_path / f"{name}.gguf" for name in ("full", "plain", "ours"))
    export_gguf(small, "f32", full)
    export_gguf(small, quant, plain)
    export_gguf(small, quant, ours, calibration=calibration)
    assert ours.stat().st_size == plain.stat().st_size
    types = [{name: tensor.type for name, tensor in read_gguf_header(path).tensors.items()} for path in (ours, plain)]
    assert types[0] == types[1]
    exact = logits_of(full)
    error = {path: np.square(logits_of(path) - exact).mean() for path in (plain, ours)}
    assert error[ours] < (1.05 if quant == "q8_0" else 0.8) * error[plain]
    before = ours.read_bytes()
    export_gguf(small, quant, ours, calibration=calibration)
    assert ours.read_bytes() == before


def test_a_disk_that_will_be_full_is_said_before_work_begins(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10**6))
    with pytest.raises(EdgePhiError, match=r"needs 2 MB of space and 1 MB are free"):
        export_gguf(small, "f16", tmp_path / "a.gguf")
    export_gguf(small, "q3_k_m", tmp_path / "a.gguf")


def test_a_weight_that_is_no_number_is_refused_by_name(small: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(small, tmp_path / "broken")
    stored = open_checkpoint(broken).tensors["model.layers.0.mlp.fc2.weight"]
    with (broken / "model.safetensors").open("r+b") as file:
        file.seek(stored.offset + stored.nbytes - 2)
        file.write(b"\xc0\x7f")  # NaN in bfloat16
    for quant in ("f32", "q4_0"):
        with pytest.raises(InvalidFile, match=r"model\.layers\.0\.mlp\.fc2\.weight"):
            export_gguf(broken, quant, tmp_path / "a.gguf")
    assert sorted(tmp_path.iterdir()) == [broken]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_process_that_is_killed_leaves_nothing_under_the_name(small: Path, tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from edge_phi.convert import ggml, gguf; real = ggml.quantize\n"
        "def slow(*a): print(flush=True); time.sleep(1); return real(*a)\n"
        "ggml.quantize = slow; gguf.export_gguf(Path(sys.argv[1]), 'q8_0', Path(sys.argv[2]))"
    )
    path = tmp_path / "a.gguf"
    with subprocess.Popen([sys.executable, "-c", code, str(small), str(path)], stdout=subprocess.PIPE) as writing:
        assert writing.stdout and writing.stdout.readline()
        assert list(tmp_path.iterdir()) and not path.exists()
        writing.kill()
    assert not path.exists()


@pytest.mark.parametrize("tokenizer", ["phi-1-nano", "codegen-tokenizer"])
def test_llama_cpp_splits_text_as_the_tokenizer_does(
    request: pytest.FixtureRequest, tmp_path: Path, tokenizer: str
) -> None:
    nano = tokenizer == "phi-1-nano"
    folder = bundled_folder() / tokenizer if nano else request.getfixturevalue("evaluation_data") / tokenizer
    benchmark = Path(__file__).parents[3] / "benchmarks" / "gguf_tokens.py"
    command = [sys.executable, benchmark, "--tokenizer", folder, "--count", "1500", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "gguf_tokens.json").read_text())["differences"] == {tokenizer: 0}
