"""GGUF files in llama.cpp against transformers' float32 logits, on a random model whose logits are well apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import SAMPLE_TEXT

from edge_phi.runtimes import open_runtime
from edge_phi.store import Artifact
from edge_phi.tokenizer import load_tokenizer

pytest.importorskip("torch", reason="PyTorch, of the extra 'train', is not installed")
pytest.importorskip("transformers", reason="transformers, of the extra 'train', is not installed")
pytest.importorskip("llama_cpp", reason="llama.cpp, of the extra 'gguf', is not installed")


def test_precision_by_precision(tiny_checkpoint: Path, tiny_gguf: Callable[[str], Artifact]) -> None:
    code = load_tokenizer(tiny_checkpoint).encode(SAMPLE_TEXT)
    tokens = (code + np.random.default_rng(2).integers(0, 380, 512).tolist())[:500]

    def log_probabilities(artifact: Artifact) -> np.ndarray:
        runtime = open_runtime(artifact, threads=1)
        logits = runtime.extend(tokens, all_logits=True).astype(np.float64)
        runtime.close()
        return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)

    baseline = log_probabilities(Artifact("tiny-phi", "safetensors", "float32", tiny_checkpoint, tiny_checkpoint))
    divergence, agreement = {}, {}
    for quant in ("f32", "f16", "q8_0", "q4_k_m", "q4_0"):
        ours = log_probabilities(tiny_gguf(quant))
        divergence[quant] = float((np.exp(baseline) * (baseline - ours)).sum(-1).mean())  # KL, in nats a token
        agreement[quant] = float((baseline.argmax(-1) == ours.argmax(-1)).mean())
    assert agreement["f32"] >= 0.99
    assert agreement["f16"] >= 0.99
    assert divergence["f16"] < 1e-5
    # Finer types are closer, and even the coarsest is far from chance: 1 in 380 words, a divergence of about 1.
    assert list(divergence) == sorted(divergence, key=divergence.__getitem__)
    assert divergence["q4_0"] < 0.2
    assert agreement["q4_0"] > 0.5
