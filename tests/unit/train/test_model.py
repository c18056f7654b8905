"""Our Phi against transformers' PhiForCausalLM, on the same weights."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra 'train')")
transformers = pytest.importorskip("transformers", reason="the reference model needs transformers (extra 'train')")

import torch.nn.functional as F  # noqa: E402

from edge_phi.checkpoint import PhiConfig  # noqa: E402
from edge_phi.train import loss  # noqa: E402
from edge_phi.train.attention import attention_backend  # noqa: E402
from edge_phi.train.model import Phi, rotary_table  # noqa: E402
from edge_phi.train.state_dict import load_checkpoint, save_checkpoint, to_hugging_face  # noqa: E402

TINY = PhiConfig(
    vocab_size=97,
    hidden_size=80,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=2,
    max_position_embeddings=48,
    partial_rotary_factor=0.4,  # phi-2's: 16 of 40 dimensions here
)


def tiny(**options: float) -> Phi:
    model = Phi(TINY, **options)
    model.initialize(0)
    return model


def a_batch(config: PhiConfig = TINY, *, rows: int = 3, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, config.vocab_size, (rows, config.max_position_embeddings), generator=generator)
    return tokens[:, :-1], tokens[:, 1:]


def gradients(model: torch.nn.Module, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters()}


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several chunks in a small batch, the last one shorter."""
    monkeypatch.setattr(loss, "_CPU_ROWS", 32)


@pytest.mark.parametrize("rotary", [0.5, 0.4, 1.0])
def test_logits_loss_and_every_gradient_equal_transformers(rotary: float, small_chunks: None) -> None:
    config = PhiConfig(**{**vars(TINY), "partial_rotary_factor": rotary})
    model = Phi(config)
    model.initialize(0)
    with torch.no_grad():  # from the initial zeros and ones, biases and norms would be tested too little
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel())) * 0.1)
    reference = transformers.PhiForCausalLM(transformers.PhiConfig(**config.to_json(), attn_implementation="sdpa"))
    reference.load_state_dict(to_hugging_face(model))
    tokens, targets = a_batch(config)

    logits = reference(tokens, use_cache=False).logits
    assert (model(tokens) - logits).abs().max() < 1e-4
    theirs_loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    ours_loss = model(tokens, targets)
    assert ours_loss.dtype == torch.float32
    assert ours_loss.item() == pytest.approx(theirs_loss.item(), rel=1e-6)

    theirs = gradients(reference, theirs_loss)
    gradients(model, ours_loss)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(weight.grad)
    ours = to_hugging_face(model)  # the gradients, named and cut as transformers has them
    assert ours.keys() == theirs.keys()
    for name, gradient in theirs.items():
        assert (ours[name] - gradient).norm() < 1e-5 * gradient.norm(), name


def test_loss_equals_cross_entropy_of_the_logits(small_chunks: None) -> None:
    model = tiny()
    tokens, targets = a_batch()
    plain = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())
    expected = gradients(model, plain)
    with torch.no_grad():
        assert model(tokens, targets).item() == pytest.approx(plain.item(), rel=1e-6)
    for scale in (1.0, 0.25):  # what gradient accumulation does
        for name, gradient in gradients(model, model(tokens, targets) * scale).items():
            assert (gradient - scale * expected[name]).norm() <= 1e-5 * scale * expected[name].norm() + 1e-9, name


def test_computing_in_bfloat16_keeps_float32_masters_and_is_near(small_chunks: None) -> None:
    model = tiny()
    tokens, targets = a_batch()
    expected = gradients(model, model(tokens, targets))
    model.compute_dtype = torch.bfloat16
    assert model(tokens).dtype == torch.bfloat16
    assert model(tokens, targets).dtype == torch.float32
    seen: list[torch.dtype] = []
    for module in (model.layers[0], model.layers[0].fc1, model.final_layernorm):
        module.register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    found = gradients(model, model(tokens, targets))
    assert seen == [torch.bfloat16] * 3
    for name, gradient in found.items():
        assert gradient.dtype == torch.float32
        if not name.endswith("qkv.bias"):
            assert (gradient - expected[name]).norm() < 0.05 * expected[name].norm(), name


def test_compiles_into_one_graph_with_the_same_gradients(small_chunks: None) -> None:
    compiled_gradients_agree(tiny(), backend="aot_eager")  # the same graph as inductor's, without a C++ compiler


@pytest.mark.slow
def test_inductor_gives_the_same_gradients() -> None:
    model = Phi(PhiConfig(**{**vars(TINY), "num_hidden_layers": 1}))
    model.initialize(0)
    compiled_gradients_agree(model, backend="inductor")


def compiled_gradients_agree(model: Phi, *, backend: str) -> None:
    tokens, targets = a_batch()
    expected = gradients(model, model(tokens, targets))
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    for name, gradient in gradients(model, compiled(tokens, targets)).items():
        assert (gradient - expected[name]).norm() <= 1e-5 * expected[name].norm() + 1e-8, name


def test_layers_share_one_compiled_graph(small_chunks: None) -> None:
    model = tiny()
    tokens, targets = a_batch()
    expected = gradients(model, model(tokens, targets))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    model.compile_by_layer(backend="aot_eager")
    for name, gradient in gradients(model, model(tokens, targets)).items():
        assert (gradient - expected[name]).norm() <= 1e-5 * expected[name].norm() + 1e-8, name
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2  # a layer's and the loss's


def test_dropout_follows_the_seed_and_stops_in_evaluation() -> None:
    model = tiny(dropout=0.1)
    tokens, targets = a_batch()

    def loss_of(seed: int) -> float:
        torch.manual_seed(seed)
        return model(tokens, targets).item()

    assert loss_of(0) == loss_of(0) != loss_of(1)
    model.eval()
    assert loss_of(0) == loss_of(1) == pytest.approx(tiny()(tokens, targets).item(), rel=1e-6)


def test_dropout_is_where_phi_has_it() -> None:
    # All of it gone: nothing enters the residual stream, and the head sees the norm's bias alone.
    model = tiny(dropout=1.0)
    tokens, _ = a_batch()
    torch.nn.init.normal_(model.final_layernorm.bias)
    with torch.no_grad():
        assert torch.allclose(model(tokens), model.lm_head(model.final_layernorm.bias).expand(*tokens.shape, -1))
    # A single place of the three: the others leave an expectation that only this one disturbs.
    model = tiny(dropout=0.5)
    x = torch.randn(2, 16, TINY.hidden_size)
    block, (cos, sin) = model.layers[0], (model.cos[:16], model.sin[:16])
    torch.nn.init.zeros_(block.dense.weight)
    torch.nn.init.normal_(block.dense.bias)
    torch.nn.init.zeros_(block.fc2.weight)
    torch.manual_seed(0)
    added = torch.stack([block(x, cos, sin) - x for _ in range(50)])
    zero = added.abs() < 1e-6
    assert zero.float().mean().item() == pytest.approx(0.5, abs=0.02)  # dropped, the rest doubled
    assert torch.allclose(added[~zero], (2 * block.dense.bias).expand_as(added)[~zero], atol=1e-5)


def test_weights_are_the_same_whatever_the_device_and_the_order() -> None:
    with torch.device("meta"):
        model = Phi(TINY)
    assert all(weight.is_meta for weight in (*model.parameters(), *model.buffers()))
    model.to_empty(device="cpu")
    for weight in (*model.parameters(), *model.buffers()):
        weight.data.fill_(float("nan"))
    torch.manual_seed(5)  # of no influence
    model.initialize(0)
    expected = tiny()
    for name, weight in model.named_parameters():
        assert torch.equal(weight, expected.get_parameter(name)), name
    assert all(torch.equal(a, b) for a, b in zip((model.cos, model.sin), rotary_table(TINY), strict=True))
    model.initialize(1)
    assert not torch.equal(model.lm_head.weight, expected.lm_head.weight)
    assert model.layers[0].fc2.weight.std().item() == pytest.approx(0.01, rel=0.05)  # 0.02 / sqrt(2 x 2 layers)


def test_attention_backend_is_named() -> None:
    assert attention_backend(torch.device("cpu")) == "PyTorch's attention for cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_attention_on_a_gpu_equals_attention_on_the_cpu() -> None:
    config = PhiConfig(**{**vars(TINY), "hidden_size": 128, "partial_rotary_factor": 0.5})
    model = Phi(config)
    model.initialize(0)
    tokens, targets = a_batch(config)
    expected = gradients(model, model(tokens, targets))
    device = torch.device("cuda")
    named = attention_backend(device, head_dim=64)
    assert named
    model.to(device).compute_dtype = torch.bfloat16
    for name, gradient in gradients(model, model(tokens.to(device), targets.to(device))).items():
        if not name.endswith("qkv.bias"):
            assert (gradient.cpu() - expected[name]).norm() < 0.05 * expected[name].norm(), (named, name)


def test_saved_folder_is_read_back_by_us_and_by_transformers(tmp_path: Path, tiny_checkpoint: Path) -> None:
    from tokenizers import Tokenizer

    model = load_checkpoint(tiny_checkpoint).eval()
    tokenizer = Tokenizer.from_file(str(tiny_checkpoint / "tokenizer.json"))
    weights = to_hugging_face(model)
    save_checkpoint(tmp_path / "out", model.config, weights, tokenizer, lineage={"made_by": "a test"})

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
