"""ONNX folders against transformers, against optimum's own export, and against the weights they were rounded to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import SAMPLE_TEXT, write_tiny_checkpoint

from edge_phi import blocks
from edge_phi.checkpoint import open_checkpoint
from edge_phi.runtimes.onnx import OnnxRuntime
from edge_phi.store import Artifact
from edge_phi.tokenizer import load_tokenizer

torch = pytest.importorskip("torch", reason="PyTorch, of the extra 'train', is not installed")
transformers = pytest.importorskip("transformers", reason="transformers, of the extra 'train', is not installed")
pytest.importorskip("onnx", reason="the onnx package, of the extra 'convert', is not installed")


@pytest.fixture(scope="module")
def tokens(tiny_checkpoint: Path) -> list[int]:
    code = load_tokenizer(tiny_checkpoint).encode(SAMPLE_TEXT)
    return (code + np.random.default_rng(2).integers(0, 380, 512).tolist())[:500]


def onnx_logits(artifact: Artifact, tokens: list[int]) -> np.ndarray:
    runtime = OnnxRuntime(artifact, threads=1)
    logits = runtime.extend(tokens, all_logits=True)
    runtime.close()
    return logits


def published_model(folder: Path) -> transformers.PhiForCausalLM:
    return transformers.PhiForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@torch.inference_mode()
def torch_logits(model: transformers.PhiForCausalLM, tokens: list[int]) -> np.ndarray:
    return model(torch.tensor([tokens])).logits[0].numpy()


def divergence(true: np.ndarray, found: np.ndarray) -> float:
    """KL divergence in nats a token."""
    p, q = (y.astype(np.float64) - np.logaddexp.reduce(y.astype(np.float64), -1, keepdims=True) for y in (true, found))
    return float((np.exp(p) * (p - q)).sum(-1).mean())


@pytest.mark.parametrize("dtype", ["F32", "BF16", "F16"])
def test_full_precision_is_transformers(tmp_path: Path, tokens: list[int], dtype: str) -> None:
    from edge_phi.convert.onnx import export_onnx

    folder = write_tiny_checkpoint(tmp_path / "tiny-phi", dtype=dtype)
    export_onnx(folder, "float32", folder)
    ours = onnx_logits(Artifact("tiny-phi", "onnx", "float32", folder, folder), tokens)
    np.testing.assert_allclose(ours, torch_logits(published_model(folder), tokens), rtol=0, atol=1e-4)


def test_half_precision_is_transformers_with_halved_weights(
    tiny_checkpoint: Path, tiny_onnx: Callable[[str], Artifact], tokens: list[int]
) -> None:
    model = published_model(tiny_checkpoint)
    matrices = (weights for weights in model.state_dict().values() if weights.ndim == 2)
    for weights in matrices:
        weights.copy_(weights.half().float())
    ours = onnx_logits(tiny_onnx("float16"), tokens)
    np.testing.assert_allclose(ours, torch_logits(model, tokens), rtol=0, atol=1e-4)


# The model's own damage, worst and top-1: random weights, whose logits are no wider than 1.6, suffer more from 4 bits
# than trained ones.
@pytest.mark.parametrize(("quant", "damage", "agreement"), [("int8", 1e-3, 0.95), ("int4", 0.1, 0.7)])
def test_blocks_are_the_model_with_rounded_weights(
    tiny_checkpoint: Path,
    tiny_onnx: Callable[[str], Artifact],
    tokens: list[int],
    quant: str,
    damage: float,
    agreement: float,
) -> None:
    model = published_model(tiny_checkpoint)
    full = torch_logits(model, tokens)
    checkpoint = open_checkpoint(tiny_checkpoint)
    rounded = {}
    for name, shape in checkpoint.config.tensor_shapes().items():
        weights = checkpoint.tensor(name)
        if len(shape) == 2:
            table = name in ("model.embed_tokens.weight", "lm_head.weight")
            rounded_to = (8, 256) if table else (8, 32) if quant == "int8" else (4, 32)
            weights = blocks.dequantize(blocks.quantize(weights, *rounded_to))
        rounded[name] = torch.from_numpy(weights)
    model.load_state_dict(rounded)
    expected, ours = torch_logits(model, tokens), onnx_logits(tiny_onnx(quant), tokens)
    # What remains between the two is the rounding of activations to int8: about 0.5 % at each product.
    assert np.sqrt(np.mean((ours - expected) ** 2)) < 0.02 * full.std()
    assert divergence(expected, ours) < 5e-4
    assert divergence(full, ours) < damage
    assert (full.argmax(-1) == ours.argmax(-1)).mean() > agreement


def test_calibrated_rounding_stays_closer_to_full_precision(
    tiny_checkpoint: Path, tiny_onnx: Callable[[str], Artifact], tokens: list[int], tmp_path: Path
) -> None:
    from edge_phi.convert.calibration import Calibration
    from edge_phi.convert.onnx import export_onnx

    text = np.random.default_rng(5).integers(0, 380, (16, 256), np.int32)
    export_onnx(tiny_checkpoint, "int4", tmp_path / "out", calibration=Calibration(text, "random", ""))
    full = torch_logits(published_model(tiny_checkpoint), tokens)
    plain = divergence(full, onnx_logits(tiny_onnx("int4"), tokens))
    calibrated = divergence(full, onnx_logits(Artifact("", "onnx", "int4", tmp_path / "out", tmp_path / "out"), tokens))
    assert calibrated < 0.6 * plain


@pytest.mark.filterwarnings("ignore")  # of the exporter's tracing
def test_optimum_runs_our_graph_as_it_runs_its_own(
    tiny_checkpoint: Path, tiny_onnx: Callable[[str], Artifact], tokens: list[int]
) -> None:
    optimum = pytest.importorskip("optimum.onnxruntime", reason="optimum-onnx, of the extra 'dev', is not installed")
    prompt = torch.tensor([tokens[:60]])
    inputs = {"input_ids": prompt, "attention_mask": torch.ones_like(prompt)}
    own = optimum.ORTModelForCausalLM.from_pretrained(tiny_checkpoint, export=True)
    ours = optimum.ORTModelForCausalLM.from_pretrained(tiny_onnx("float32").path)
    expected, found = (model(**inputs).logits.numpy() for model in (own, ours))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)
    texts = [model.generate(**inputs, max_new_tokens=24, do_sample=False, pad_token_id=0) for model in (own, ours)]
    assert texts[0].tolist() == texts[1].tolist()
    assert texts[0].shape[1] > 65
