"""The forward pass in numpy against the one in PyTorch, and what it says of the inputs of each product."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edge_phi.checkpoint import open_checkpoint
from edge_phi.convert.walk import Product, Statistics, products, walk


@dataclass(frozen=True)
class Replaced:
    values: np.ndarray
    bias_shift: np.ndarray | None = None


@pytest.fixture(scope="module")
def tokens() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 300, (3, 40), dtype=np.int32)


def seen_inputs(module: object, store: dict[str, np.ndarray], name: str) -> None:
    module.register_forward_pre_hook(  # type: ignore[attr-defined]
        lambda _, inputs: store.__setitem__(name, inputs[0].detach().flatten(0, 1).double().numpy())
    )


def test_every_product_is_shown_the_inputs_that_transformers_gives_it(tiny_checkpoint: Path, tokens: np.ndarray):
    torch = pytest.importorskip("torch", reason="PyTorch, of the extra 'train', is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers, of the extra 'train', is not installed")
    model = transformers.PhiForCausalLM.from_pretrained(tiny_checkpoint, dtype=torch.float32).eval()
    expected: dict[str, np.ndarray] = {}
    for number, layer in enumerate(model.model.layers):
        seen_inputs(layer.self_attn.q_proj, expected, f"layers.{number}.qkv")
        seen_inputs(layer.self_attn.dense, expected, f"layers.{number}.dense")
        seen_inputs(layer.mlp.fc1, expected, f"layers.{number}.fc1")
        seen_inputs(layer.mlp.fc2, expected, f"layers.{number}.fc2")
    seen_inputs(model.lm_head, expected, "head")
    with torch.no_grad():
        model(torch.tensor(tokens, dtype=torch.int64))
    order: list[str] = []

    def visit(product: Product, weights: np.ndarray, statistics: Statistics) -> None:
        order.append(product.name)
        if product.name == "embedding":
            return
        x = expected.pop(product.name)
        np.testing.assert_allclose(statistics.importance, (x**2).mean(axis=0), rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(statistics.hessian, x.T @ x / len(x), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(statistics.mean, x.mean(axis=0), rtol=1e-3, atol=1e-4)
        assert not statistics.changed

    checkpoint = open_checkpoint(tiny_checkpoint)
    walk(checkpoint, tokens, visit)
    assert not expected
    assert order == [product.name for product in products(checkpoint.config)]


def test_what_is_replaced_reaches_the_products_after_it(tiny_checkpoint: Path, tokens: np.ndarray):
    """Weights scaled in one product: the next one's inputs change, the exact ones do not; the drift says how."""
    checkpoint = open_checkpoint(tiny_checkpoint)
    plain: dict[str, Statistics] = {}
    walk(checkpoint, tokens, lambda product, _, statistics: plain.__setitem__(product.name, statistics))
    changed: dict[str, Statistics] = {}

    def visit(product: Product, weights: np.ndarray, statistics: Statistics) -> Replaced | None:
        changed[product.name] = statistics
        if product.name == "layers.0.fc1":
            return Replaced(np.zeros_like(weights), np.full(len(weights), 0.5, np.float32))
        return None

    walk(checkpoint, tokens, visit)
    assert [name for name in plain if changed[name].changed] == [
        "layers.0.fc2", "layers.1.qkv", "layers.1.fc1", "layers.1.dense", "layers.1.fc2", "head"
    ]  # fmt: skip
    bias = checkpoint.tensor("model.layers.0.mlp.fc1.bias") + np.float32(0.5)
    gelu = 0.5 * bias * (1 + np.tanh(np.sqrt(2 / np.pi) * (bias + 0.044715 * bias**3)))
    fc2 = changed["layers.0.fc2"]
    np.testing.assert_allclose(fc2.mean, gelu, rtol=1e-4)  # every token's, since the weights are 0
    np.testing.assert_allclose(fc2.exact_mean, plain["layers.0.fc2"].mean, rtol=1e-5)
    for rows in (7, 900):  # summed in either order
        weights = np.random.default_rng(0).normal(0, 1, (rows, 1024)).astype(np.float32)
        expected = np.outer(weights @ (fc2.exact_mean - gelu), gelu)
        np.testing.assert_allclose(fc2.drift(weights), expected, rtol=1e-3, atol=1e-3)
        np.testing.assert_array_equal(plain["layers.0.fc2"].drift(weights), 0)


def test_the_embedding_is_seen_as_the_first_layer_reads_it(tiny_checkpoint: Path, tokens: np.ndarray):
    """An error that the first LayerNorm takes away hardly counts; others by what qkv and fc1 make of them."""
    checkpoint = open_checkpoint(tiny_checkpoint)
    found: list[Statistics] = []

    def visit(product: Product, weights: np.ndarray, statistics: Statistics) -> None:
        if product.name == "embedding":
            found.append(statistics)

    walk(checkpoint, tokens, visit)
    hessian = found[0].hessian.astype(np.float64)
    names = [f"self_attn.{part}_proj" for part in "qkv"] + ["mlp.fc1"]
    matrices = np.concatenate([checkpoint.tensor(f"model.layers.0.{name}.weight") for name in names])
    matrices = matrices * checkpoint.tensor("model.layers.0.input_layernorm.weight")
    random = np.random.default_rng(2)
    errors = random.normal(0, 1, (50, 256))
    felt = np.einsum("nw,wv,nv->n", errors, hessian, errors)
    done = ((errors - errors.mean(axis=1, keepdims=True)) @ matrices.T.astype(np.float64)) ** 2
    assert np.corrcoef(felt, done.sum(axis=1))[0, 1] > 0.99
    even = np.ones(256)
    assert even @ hessian @ even < 0.2 * np.trace(hessian)
