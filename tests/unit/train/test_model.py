"""Our Phi against transformers' PhiForCausalLM, on the same weights."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra 'train')")
transformers = pytest.importorskip("transformers", reason="the reference model needs transformers (extra 'train')")

from edge_phi.checkpoint import PhiConfig  # noqa: E402
from edge_phi.train.model import Phi  # noqa: E402
from edge_phi.train.state_dict import load_checkpoint, save_checkpoint  # noqa: E402


@pytest.fixture(scope="module")
def reference(tiny_checkpoint: Path):
    return transformers.PhiForCausalLM.from_pretrained(tiny_checkpoint, dtype=torch.float32).eval()


def test_logits_equal_transformers(tiny_checkpoint: Path, reference) -> None:
    model = load_checkpoint(tiny_checkpoint).eval()
    tokens = torch.randint(0, model.config.vocab_size, (2, 300), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        difference = (model(tokens) - reference(tokens).logits).abs().max().item()
    assert difference < 1e-3


def test_gradients_equal_transformers(tiny_checkpoint: Path, reference) -> None:
    model = load_checkpoint(tiny_checkpoint)
    tokens = torch.randint(0, model.config.vocab_size, (2, 65), generator=torch.Generator().manual_seed(1))

    torch.nn.functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()).backward()
    reference.zero_grad()
    reference(tokens, labels=tokens).loss.backward()

    theirs = dict(reference.named_parameters())
    attention = theirs["model.layers.1.self_attn.q_proj.weight"].grad
    ours = model.layers[1].qkv.weight.grad[: attention.shape[0]]
    assert torch.allclose(ours, attention, atol=1e-5, rtol=1e-3)
    assert torch.allclose(model.layers[0].fc2.weight.grad, theirs["model.layers.0.mlp.fc2.weight"].grad, atol=1e-5)
    assert torch.allclose(model.lm_head.bias.grad, theirs["lm_head.bias"].grad, atol=1e-6)


def test_saved_folder_is_read_back_by_us_and_by_transformers(tmp_path: Path, tiny_checkpoint: Path) -> None:
    from tokenizers import Tokenizer

    model = load_checkpoint(tiny_checkpoint).eval()
    tokenizer = Tokenizer.from_file(str(tiny_checkpoint / "tokenizer.json"))
    save_checkpoint(tmp_path / "out", model, tokenizer, dtype=torch.float32, lineage={"made_by": "a test"})

    ours = load_checkpoint(tmp_path / "out").state_dict()
    assert all(torch.equal(ours[name], tensor) for name, tensor in model.state_dict().items())
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).eval()
    words = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    tokens = torch.tensor([words("def push(self, item):")["input_ids"]])
    with torch.no_grad():
        assert (theirs(tokens).logits - model(tokens)).abs().max() < 1e-3
    assert words.eos_token_id == model.config.eos_token_id == theirs.config.eos_token_id


@pytest.mark.parametrize(
    ("layers", "width", "heads", "inner", "millions"),
    [(24, 2048, 32, 8192, 1418.3), (20, 1024, 16, 4096, 356.8), (32, 2560, 32, 10240, 2779.7)],
)
def test_family_has_the_published_sizes(layers: int, width: int, heads: int, inner: int, millions: float) -> None:
    config = PhiConfig(
        vocab_size=51200,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        partial_rotary_factor=0.4 if width == 2560 else 0.5,
    )
    with torch.device("meta"):
        model = Phi(config)
    counted = sum(weight.numel() for weight in model.parameters())
    assert counted == config.parameters
    assert counted / 1e6 == pytest.approx(millions, abs=0.06)
    assert config.rotary_dim == 32
