"""A grown model computes what the smaller one did, and its copies do not stay copies."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra 'train')")

from conftest import write_tiny_checkpoint  # noqa: E402

from edge_phi.checkpoint import PhiConfig, open_checkpoint  # noqa: E402
from edge_phi.errors import InvalidCall  # noqa: E402
from edge_phi.train.grow import center_tiling, grow  # noqa: E402
from edge_phi.train.model import Phi  # noqa: E402
from edge_phi.train.state_dict import load_checkpoint  # noqa: E402

WORDS = 380  # of the tiny checkpoint's vocabulary


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three random layers of width 256: four heads of 64 dimensions, of which 32 are rotary."""
    return write_tiny_checkpoint(tmp_path_factory.mktemp("small") / "small", layers=3, seed=5)


def larger(folder: Path, **changes: int) -> PhiConfig:
    """The checkpoint's geometry with changes, the rotary width kept."""
    old = open_checkpoint(folder).config
    width = changes.get("hidden_size", old.hidden_size)
    heads = changes.get("num_attention_heads", old.num_attention_heads)
    factor = old.rotary_dim / (width // heads)
    return dataclasses.replace(old, **{"partial_rotary_factor": factor, **changes})  # type: ignore[arg-type]


def grown(folder: Path, config: PhiConfig, seed: int = 0, **options: float) -> Phi:
    model = Phi(config)
    model.load_state_dict(grow(folder, config, seed=seed, **options))
    return model


def sample(length: int) -> torch.Tensor:
    return torch.randint(0, WORDS, (2, length), generator=torch.Generator().manual_seed(0))


def logits(model: Phi) -> torch.Tensor:
    with torch.no_grad():
        return model(sample(96))


TWICE = {"hidden_size": 512, "num_attention_heads": 8, "intermediate_size": 2048}


@pytest.mark.parametrize(
    "changes",
    [
        TWICE,
        {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072},
        {"hidden_size": 512, "intermediate_size": 1500},  # heads of 128 dimensions
        {"hidden_size": 512, "num_attention_heads": 5 + 3, "num_hidden_layers": 4},
        {"intermediate_size": 1300},
        {"num_hidden_layers": 8},
        {},
    ],
    ids=str,
)
def test_whole_multiples_of_the_width_compute_the_same(small: Path, changes: dict[str, int]) -> None:
    expected = logits(load_checkpoint(small))
    model = grown(small, larger(small, **changes))
    assert (logits(model) - expected).abs().max() < 1e-4 * expected.abs().max()


def test_phi_1_5_to_phi_2_in_small(small: Path) -> None:
    """Heads of 64 become heads of 80 with the same 32 rotary dimensions; a third more layers."""
    config = larger(small, hidden_size=320, intermediate_size=1280, num_hidden_layers=4)
    assert (config.head_dim, config.rotary_dim) == (80, 32)
    model = grown(small, config)
    expected, seen = (logits(each).log_softmax(-1) for each in (load_checkpoint(small), model))
    divergence = (expected.exp() * (expected - seen)).sum(-1).mean()
    assert divergence < 1e-3  # a LayerNorm over features some of which have two copies
    assert all(weight.isfinite().all() for weight in model.parameters())

    # Dimension j of a rotary half turns at frequency j: keys are in place there, and tiled in the rest.
    old = open_checkpoint(small).tensor("model.layers.0.self_attn.k_proj.bias").reshape(4, 64)
    new = model.layers[0].qkv.bias.detach().numpy()[320:640].reshape(4, 80)
    np.testing.assert_array_equal(new[:, :32], old[:, :32])
    np.testing.assert_array_equal(new[:, 40:72], old[:, 32:])
    np.testing.assert_array_equal(new[:, 32:40], old[:, -8:])
    np.testing.assert_array_equal(new[:, 72:], old[:, 32:40])


def test_repeated_layers_are_silent_copies(small: Path) -> None:
    weights = grow(small, larger(small, num_hidden_layers=4), seed=0)
    assert torch.equal(weights["layers.1.qkv.weight"], weights["layers.0.qkv.weight"])
    for name in ("dense.weight", "dense.bias", "fc2.weight", "fc2.bias"):
        assert weights[f"layers.0.{name}"].any() and weights[f"layers.2.{name}"].any()
        assert not weights[f"layers.1.{name}"].any()


@pytest.mark.parametrize(("spread", "alike"), [(1.0, False), (0.0, True)])
def test_copies_get_gradients_of_their_own(small: Path, spread: float, alike: bool) -> None:
    model = grown(small, larger(small, **TWICE), spread=spread)
    tokens = sample(33)
    model(tokens[:, :-1], tokens[:, 1:]).backward()
    layer = model.layers[1]
    gradients = {
        "feature": model.embed_tokens.weight.grad.T,
        "norm": layer.input_layernorm.weight.grad[:, None],
        "head": layer.qkv.weight.grad[:512],
        "key": layer.qkv.weight.grad[512:1024],
        "value": layer.qkv.weight.grad[1024:],
        "neuron": layer.fc1.weight.grad,
        "written by attention": layer.dense.weight.grad,
        "written by the MLP": layer.fc2.weight.grad,
    }
    for kind, gradient in gradients.items():
        size = len(gradient) // 2
        twin = np.roll(np.arange(2 * size), size)  # twice the size: every index copies the one half the size away
        far = (gradient - gradient[twin]).norm() / gradient.norm()
        assert far < 1e-3 if alike else far > 0.1, (kind, far)


def test_the_seed_decides(small: Path) -> None:
    config = larger(small, intermediate_size=1300)
    first, again, other = (grow(small, config, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["layers.0.fc2.weight"], other["layers.0.fc2.weight"])


def test_new_tokens_get_the_mean(small: Path) -> None:
    model = grown(small, larger(small, vocab_size=WORDS + 16, **TWICE))
    old, seen = logits(load_checkpoint(small)), logits(model)
    scale = old.abs().max()
    assert (seen[..., :WORDS] - old).abs().max() < 1e-4 * scale
    assert (seen[..., WORDS:] - old.mean(-1, keepdim=True)).abs().max() < 1e-4 * scale
    mean = model.embed_tokens.weight[:WORDS].mean(0)
    assert torch.allclose(model.embed_tokens.weight[WORDS + 3], mean, atol=1e-6)


def test_center_tiling_wraps_around_on_both_sides() -> None:
    assert center_tiling(4, 8).source.tolist() == [2, 3, 0, 1, 2, 3, 0, 1]
    assert center_tiling(5, 8).source.tolist() == [4, 0, 1, 2, 3, 4, 0, 1]
    assert center_tiling(2, 9).source.tolist() == [1, 0, 1, 0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"hidden_size": 128}, "hidden_size would shrink from 256 to 128"),
        ({"num_hidden_layers": 2}, "num_hidden_layers would shrink from 3 to 2"),
        ({"intermediate_size": 512}, "intermediate_size would shrink from 1024 to 512"),
        ({"vocab_size": 299}, "vocab_size would shrink from 380 to 299"),
        ({"num_attention_heads": 2}, "num_attention_heads would shrink from 4 to 2"),
        ({"num_attention_heads": 8}, "head_dim would shrink from 64 to 32"),
        (
            {"hidden_size": 320, "partial_rotary_factor": 0.5},
            "rotary_dim would be 40 instead of 32: set partial_rotary_factor to 0.4",
        ),
        ({"rope_theta": 5e5}, "rope_theta would be 500000.0 instead of 10000.0"),
        ({"layer_norm_eps": 1e-6}, "layer_norm_eps would be 1e-06 instead of 1e-05"),
        ({"eos_token_id": 7}, "eos_token_id would be 7 instead of 0"),
    ],
    ids=str,
)
def test_what_cannot_grow_is_named(small: Path, changes: dict[str, int], named: str) -> None:
    with pytest.raises(InvalidCall) as caught:
        grow(small, larger(small, **changes), seed=0)
    assert str(caught.value) == f"{small}: cannot grow into this geometry: {named}"
    assert caught.value.exit_code == 2


def test_a_missing_checkpoint_is_named(small: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidCall, match="no such folder"):
        grow(tmp_path / "none", open_checkpoint(small).config, seed=0)
