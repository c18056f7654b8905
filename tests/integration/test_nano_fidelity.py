"""The bundled model in every engine at full precision, against transformers' PhiForCausalLM in float32."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import numpy as np
import pytest

from edge_phi.lineage import verify
from edge_phi.runtimes import open_runtime
from edge_phi.store import Artifact, Model, find_model, load_tokenizer_for

torch = pytest.importorskip("torch", reason="the reference needs PyTorch (extra 'train')")
transformers = pytest.importorskip("transformers", reason="the reference needs transformers (extra 'train')")

WINDOW = 512
WINDOWS = 2


@pytest.fixture(scope="module")
def nano() -> Model:
    return find_model("phi-1-nano")


@pytest.fixture(scope="module")
def windows(nano: Model) -> list[list[int]]:
    """Tokens of a module of the standard library, read where it is installed."""
    tokens = load_tokenizer_for(nano.artifact("torch:float32")).encode(Path(textwrap.__file__).read_text("utf-8"))
    return [tokens[start : start + WINDOW] for start in range(0, WINDOWS * WINDOW, WINDOW)]


@pytest.fixture(scope="module")
def expected(nano: Model, windows: list[list[int]]) -> np.ndarray:
    """float32 [windows, window, vocabulary]"""
    reference = transformers.PhiForCausalLM.from_pretrained(nano.folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        return reference(torch.tensor(windows)).logits.numpy()


def logits_of(artifact: Artifact, windows: list[list[int]]) -> np.ndarray:
    runtime = open_runtime(artifact, threads=1)
    rows = []
    for window in windows:
        runtime.rewind(0)
        rows.append(runtime.extend(window, all_logits=True))
    runtime.close()
    return np.stack(rows)


def test_the_model_has_learned(windows: list[list[int]], expected: np.ndarray) -> None:
    """Its loss on code is far below that of guessing, log 8192 = 9.0; else the agreements below would mean little."""
    shifted = expected[:, :-1] - expected[:, :-1].max(-1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    targets = np.array(windows)[:, 1:, None]
    assert -np.take_along_axis(log_probabilities, targets, -1).mean() < 5


def test_our_pytorch_model(nano: Model, windows: list[list[int]], expected: np.ndarray) -> None:
    from edge_phi.train.state_dict import load_checkpoint

    with torch.inference_mode():
        ours = load_checkpoint(nano.folder).eval()(torch.tensor(windows)).numpy()
    assert np.abs(ours - expected).max() < 1e-3


@pytest.mark.parametrize("form", ["torch:float32", "onnx:float32"])
def test_float32_engines(nano: Model, windows: list[list[int]], expected: np.ndarray, form: str) -> None:
    assert np.abs(logits_of(nano.artifact(form), windows) - expected).max() < 1e-3


def test_gguf_f16(nano: Model, windows: list[list[int]], expected: np.ndarray, tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp", reason="llama.cpp, of the extra 'gguf', is not installed")
    pytest.importorskip("gguf", reason="the gguf package, of the extra 'convert', is not installed")
    from edge_phi.convert.gguf import export_gguf

    path = tmp_path / "nano.f16.gguf"
    export_gguf(nano.folder, "f16", path)
    ours = logits_of(Artifact("phi-1-nano", "gguf", "f16", path, nano.folder), windows)
    assert (ours.argmax(-1) == expected.argmax(-1)).mean() >= 0.99


def test_int4_stays_close(nano: Model, windows: list[list[int]], expected: np.ndarray) -> None:
    def log_softmax(logits: np.ndarray) -> np.ndarray:
        shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))

    ours, theirs = log_softmax(logits_of(nano.artifact("onnx:int4"), windows)), log_softmax(expected)
    divergence = (np.exp(theirs) * (theirs - ours)).sum(-1).mean()  # KL, in nats a token
    assert divergence < 0.15


def test_the_bundle_is_what_its_lineage_says(nano: Model) -> None:
    for name in ("model.onnx", "onnx-int4"):
        verify(nano.folder / name)
    lineage = json.loads((nano.folder / "lineage.json").read_text())
    sources = lineage["data"]["documents"]["sources"]
    assert "standard_library" in sources
    assert all(source["licenses"] for source in sources.values())
    assert sum(file.stat().st_size for file in nano.folder.rglob("*") if file.is_file()) < 64e6
