"""Muon turns momentum into orthogonal updates, of q, k and v each for itself."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra 'train')")

from edge_phi.checkpoint import PhiConfig  # noqa: E402
from edge_phi.train.model import Phi  # noqa: E402
from edge_phi.train.optim import build_optimizers  # noqa: E402


def test_muon_orthogonalizes_q_k_and_v_apart() -> None:
    torch.manual_seed(0)
    config = PhiConfig(vocab_size=50, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    model = Phi(config)
    model.initialize(0)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    for weight in model.parameters():
        weight.grad = torch.nn.init.orthogonal_(torch.empty(weight.shape)) if weight.dim() == 2 else weight * 0
    model.layers[0].qkv.weight.grad = torch.cat([torch.nn.init.orthogonal_(torch.empty(32, 32)) for _ in "qkv"])
    model.layers[0].qkv.weight.grad[:32] *= 1e4  # q's are much the largest: orthogonalized together, q would be alone
    muon, _ = build_optimizers(model, name="muon", weight_decay=0.0, betas=(0.9, 0.95))
    for group in muon.param_groups:
        group["lr"] = 1.0
    muon.step()

    for name, parts in (("qkv", 3), ("dense", 1), ("fc1", 1), ("fc2", 1)):
        weight = model.layers[0].get_parameter(f"{name}.weight")
        for update in (before[f"layers.0.{name}.weight"] - weight).detach().chunk(parts):
            values = torch.linalg.svdvals(update) / (0.2 * max(update.shape) ** 0.5)
            assert 0.5 < values.min().item() <= values.max().item() < 1.5, (
                name
            )  # where Newton-Schulz with its coefficients ends
