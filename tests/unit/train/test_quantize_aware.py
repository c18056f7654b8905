"""A model that trained on Q4_0's grid lies on it, in llama.cpp's eyes too, and predicts what it did before."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra 'train')")

import torch.nn.functional as F  # noqa: E402
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from tiny_training import recipe, write_shards  # noqa: E402

from edge_phi.blocks import dequantize, quantize  # noqa: E402
from edge_phi.checkpoint import open_checkpoint  # noqa: E402
from edge_phi.errors import InvalidCall, InvalidFile  # noqa: E402
from edge_phi.train.data.shards import read_shards  # noqa: E402
from edge_phi.train.distill import Lesson, Teacher, distillation_loss  # noqa: E402
from edge_phi.train.distributed import Place  # noqa: E402
from edge_phi.train.loop import StepMetrics, read_metrics, train  # noqa: E402
from edge_phi.train.model import Phi  # noqa: E402
from edge_phi.train.quantize_aware import StraightThrough, make_quantize_aware, round_to_grid  # noqa: E402
from edge_phi.train.recipe import Recipe, load_recipe  # noqa: E402
from edge_phi.train.rounded_start import start_rounded  # noqa: E402
from edge_phi.train.run import run  # noqa: E402
from edge_phi.train.state_dict import load_checkpoint, read_weights, set_weights, to_hugging_face  # noqa: E402

WIDTH = 64  # of the tiny recipe


@pytest.fixture(autouse=True, scope="module")
def sums_in_one_order() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge_phi.train.run.usable_cores", lambda: 1)
        torch.set_num_threads(1)
        yield


def nothing(_: object) -> None:
    pass


@dataclasses.dataclass(frozen=True)
class Finetuned:
    full: Path
    quantized: Path
    folder: Path
    settings: Recipe
    shards: Path


@pytest.fixture(scope="module")
def finetuned(sums_in_one_order: None, tmp_path_factory: pytest.TempPathFactory) -> Finetuned:
    """A tiny model, trained on text and then quantization-aware on its own predictions."""
    home = tmp_path_factory.mktemp("qat")
    shards = write_shards(home / "shards")
    full = run(recipe(optimizer="adamw"), home / "full", shards, on_step=nothing, say=nothing)
    assert full
    settings = quantization_aware(start_from=str(full))
    quantized = run(settings, home / "quantized", shards, on_step=nothing, say=nothing)
    assert quantized
    return Finetuned(full, quantized, home / "quantized", settings, shards)


def quantization_aware(**changes: object) -> Recipe:
    settings = recipe(optimizer="adamw", quantize="q4_0", distill=1.0, weight_decay=0.0, **changes)
    return dataclasses.replace(
        settings, stages=(dataclasses.replace(settings.stages[0], peak_rate=1e-4, final_rate=0.0),)
    )


@pytest.fixture(scope="module")
def calibrated(finetuned: Finetuned, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained model's Q4_0 file, as calibration rounds it."""
    pytest.importorskip("gguf", reason="needs the gguf package (extra 'convert')")
    pytest.importorskip("llama_cpp", reason="needs llama.cpp's quantizer (extra 'gguf')")
    from edge_phi.convert.cli import convert

    out = tmp_path_factory.mktemp("calibrated")
    convert(str(finetuned.full), ["gguf:q4_0"], out)
    return out / f"{finetuned.full.name}.q4_0.gguf"


def divergence(finetuned: Finetuned, model: Phi) -> float:
    """From the trained model on held-out tokens, nats per token."""
    tokens = np.concatenate(read_shards(finetuned.shards).validation.parts)[:1024].astype(np.int64)
    sample = torch.from_numpy(tokens).view(-1, 32)
    with torch.no_grad():
        theirs = load_checkpoint(finetuned.full)(sample).log_softmax(-1)
        return float(F.kl_div(model(sample).log_softmax(-1), theirs, log_target=True, reduction="sum")) / 1024


def gguf_matrices(path: Path, layers: int) -> dict[str, np.ndarray]:
    """What a Q4_0 file holds in Q4_0, by the checkpoint's names, read by llama.cpp's own package."""
    gguf = pytest.importorskip("gguf", reason="needs the gguf package (extra 'convert')")
    stored = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors if tensor.tensor_type.name == "Q4_0"}
    names = {"token_embd.weight": ["model.embed_tokens.weight"]}
    for layer in range(layers):
        there, here = f"blk.{layer}.", f"model.layers.{layer}."
        names[f"{there}attn_qkv.weight"] = [f"{here}self_attn.{part}_proj.weight" for part in "qkv"]
        names[f"{there}attn_output.weight"] = [f"{here}self_attn.dense.weight"]
        names[f"{there}ffn_up.weight"] = [f"{here}mlp.fc1.weight"]
        names[f"{there}ffn_down.weight"] = [f"{here}mlp.fc2.weight"]
    assert set(names) == set(stored)
    found = {}
    for name, parts in names.items():
        values = gguf.quants.dequantize(stored[name].data, stored[name].tensor_type)
        found |= dict(zip(parts, np.split(values, len(parts)), strict=True))
    return found


def matrices(folder: Path) -> dict[str, np.ndarray]:
    """All that Q4_0 quantizes: every matrix but the head's."""
    checkpoint = open_checkpoint(folder)
    shapes = checkpoint.config.tensor_shapes()
    return {
        name: checkpoint.tensor(name) for name, shape in shapes.items() if len(shape) == 2 and "lm_head" not in name
    }


@given(
    seed=st.integers(0, 2**32 - 1),
    exponent=st.integers(-30, 10),
    repeated=st.booleans(),
    zeros=st.integers(0, 32),
)
def test_the_grid_is_q4_0_s_and_bfloat16_holds_it(seed: int, exponent: int, repeated: bool, zeros: int) -> None:
    random = torch.Generator().manual_seed(seed)
    weights = torch.randn(3, 96, generator=random) * 2.0**exponent  # from where float16 has no scale left
    if repeated:
        weights[:, 32:] = weights[:, 32:].sign() * 2.0**exponent  # all equally large
    weights[0, :zeros] = 0
    rounded = round_to_grid(weights)
    assert torch.equal(rounded.bfloat16().float(), rounded)
    assert torch.equal(round_to_grid(rounded), rounded)
    assert np.array_equal(dequantize(quantize(rounded.numpy(), bits=4)), rounded.numpy())
    largest = weights.view(3, -1, 32).abs().amax(-1, keepdim=True)
    error = (rounded - weights).view(3, -1, 32).abs()
    assert (error <= largest * 0.17 + 2.0**-22).all()  # 1/8 for what lies at +8, a coarser scale, float16's smallest


def test_gradients_pass_as_if_nothing_were_rounded() -> None:
    weights = torch.randn(4, 32, requires_grad=True)
    upstream = torch.randn(4, 32)
    rounded = StraightThrough.apply(weights)
    rounded.backward(upstream)
    assert torch.equal(rounded, round_to_grid(weights)) and not torch.equal(rounded, weights)
    assert torch.equal(weights.grad, upstream)


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_the_loss_and_its_gradients_are_those_of_their_definition(share: float) -> None:
    random = torch.Generator().manual_seed(3)
    rows, width, words = 700, 16, 50  # more rows than one chunk
    hidden, weight, bias = (
        torch.randn(*shape, generator=random) for shape in ((rows, width), (words, width), (words,))
    )
    lesson = Lesson(
        torch.randn(rows, width, generator=random),
        torch.randn(words, width, generator=random),
        torch.zeros(words),
        share,
    )
    targets = torch.randint(0, words, (rows,), generator=random)

    def gradients(loss_of) -> tuple:  # type: ignore[no-untyped-def]
        leaves = [tensor.clone().requires_grad_() for tensor in (hidden, weight, bias)]
        loss = loss_of(*leaves)
        loss.backward()
        return loss.detach(), *(leaf.grad for leaf in leaves)

    def defined(hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        ours = F.linear(hidden, weight, bias).log_softmax(-1)
        theirs = F.linear(lesson.hidden, lesson.weight, lesson.bias).log_softmax(-1)
        divergence = F.kl_div(ours, theirs, log_target=True, reduction="batchmean")
        return share * divergence + (1 - share) * F.nll_loss(ours, targets)

    computed = gradients(lambda *leaves: distillation_loss(*leaves, targets, lesson))
    for ours, theirs in zip(computed, gradients(defined), strict=True):
        torch.testing.assert_close(ours, theirs)
    with torch.no_grad():
        torch.testing.assert_close(distillation_loss(hidden, weight, bias, targets, lesson), computed[0])


def test_compiled_it_is_the_same(finetuned: Finetuned) -> None:
    models = [load_checkpoint(finetuned.full) for _ in range(3)]
    for model in models[1:]:
        make_quantize_aware(model)
    models[2].compile_by_layer(backend="aot_eager")  # traces as the compiler does, and then computes as PyTorch does
    rows = torch.randint(0, 300, (2, 33), generator=torch.Generator().manual_seed(0))
    lesson = Teacher(models[0], 0.7, Place(torch.device("cpu"))).lesson(rows[:, :-1])
    losses = [model(rows[:, :-1], rows[:, 1:], lesson) for model in models[1:]]
    for loss in losses:
        loss.backward()
    torch.testing.assert_close(*losses)
    for eager, compiled in zip(models[1].parameters(), models[2].parameters(), strict=True):
        torch.testing.assert_close(eager.grad, compiled.grad)


def test_what_quantization_changed_is_learnt_away(finetuned: Finetuned) -> None:
    plain = load_checkpoint(finetuned.full)
    make_quantize_aware(plain)
    rounded = divergence(finetuned, plain)
    assert divergence(finetuned, load_checkpoint(finetuned.quantized)) < 0.3 * rounded
    assert 0 < read_metrics(finetuned.folder)[-1]["validation_loss"] < 0.3 * rounded  # measures the same


def test_a_run_begins_with_the_codes_of_a_calibrated_file(finetuned: Finetuned, calibrated: Path) -> None:
    config, weights = read_weights(finetuned.full)
    model, plain = Phi(config), load_checkpoint(finetuned.full)
    make_quantize_aware(model, given_scales=True)
    make_quantize_aware(plain)
    set_weights(model, start_rounded(calibrated, finetuned.full, weights))
    computed_with = to_hugging_face(model)
    for name, theirs in gguf_matrices(calibrated, config.num_hidden_layers).items():
        ours = computed_with[name].numpy()
        assert (np.sign(ours) == np.sign(theirs)).all()
        np.testing.assert_allclose(ours, theirs, rtol=2.0**-5)  # a scale of five bits; another code would be 1/8 off
        assert torch.equal(computed_with[name].bfloat16().float(), computed_with[name])
    assert divergence(finetuned, model) < 0.8 * divergence(finetuned, plain)


def test_from_there_it_comes_nearer_and_converting_keeps_its_codes(
    finetuned: Finetuned, calibrated: Path, tmp_path: Path
) -> None:
    from edge_phi.convert.cli import convert

    settings = dataclasses.replace(finetuned.settings, round_from=str(calibrated))
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    tuned = run(settings, whole, finetuned.shards, on_step=nothing, say=nothing)
    assert tuned
    rows = read_metrics(whole)
    assert rows[-1]["validation_loss"] < read_metrics(finetuned.folder)[-1]["validation_loss"]
    for stop in (11, 0):
        run(dataclasses.replace(settings, stop=stop), stopped, finetuned.shards, on_step=nothing, say=nothing)
    assert [row["loss"] for row in read_metrics(stopped)] == [row["loss"] for row in rows]

    convert(str(tuned), ["gguf:q4_0"], tmp_path)
    kept = gguf_matrices(tmp_path / f"{tuned.name}.q4_0.gguf", 2)
    began = gguf_matrices(calibrated, 2)
    for name, weights in matrices(tuned).items():
        assert np.array_equal(kept[name], weights), name
    assert any(not np.allclose(kept[name], began[name], rtol=2.0**-5) for name in kept)  # codes have changed
    lineage = json.loads((tuned / "lineage.json").read_text(encoding="utf-8"))
    assert lineage["recipe"]["round_from"] == calibrated.name
    assert lineage["rounded_from"] == {"files": {calibrated.name: hashlib.sha256(calibrated.read_bytes()).hexdigest()}}


def test_another_model_s_rounding_is_refused(finetuned: Finetuned, calibrated: Path, tmp_path: Path) -> None:
    _, weights = read_weights(finetuned.quantized)
    with pytest.raises(InvalidFile, match=f"has changed since {calibrated.name} was made from it"):
        start_rounded(calibrated, finetuned.quantized, weights)
    with pytest.raises(InvalidCall, match="nothing says where this model came from"):
        start_rounded(tmp_path / "missing.gguf", finetuned.full, weights)
    from edge_phi.convert.cli import convert

    convert(str(finetuned.full), ["gguf:q8_0"], tmp_path)
    with pytest.raises(InvalidFile, match=r"token_embd\.weight is Q8_0 of .*, not Q4_0 of"):
        start_rounded(tmp_path / f"{finetuned.full.name}.q8_0.gguf", finetuned.full, weights)


def test_the_checkpoint_lies_on_the_grid_and_its_head_does_not(finetuned: Finetuned) -> None:
    for name, weights in matrices(finetuned.quantized).items():
        assert np.array_equal(dequantize(quantize(weights, bits=4)), weights), name
    head = open_checkpoint(finetuned.quantized).tensor("lm_head.weight")
    assert not np.array_equal(dequantize(quantize(head, bits=4)), head)
    assert all(not np.array_equal(dequantize(quantize(w, bits=4)), w) for w in matrices(finetuned.full).values())


def test_llama_cpp_s_own_quantizer_finds_nothing_to_round(finetuned: Finetuned, tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="needs the gguf package (extra 'convert')")
    pytest.importorskip("llama_cpp", reason="needs llama.cpp's quantizer (extra 'gguf')")
    from edge_phi.convert.gguf import export_gguf

    export_gguf(finetuned.quantized, "q4_0", tmp_path / "model.q4_0.gguf")
    ours = matrices(finetuned.quantized)
    for name, values in gguf_matrices(tmp_path / "model.q4_0.gguf", 2).items():
        assert np.array_equal(values, ours[name]), name


def test_a_stopped_run_goes_on_from_unrounded_weights(finetuned: Finetuned, tmp_path: Path) -> None:
    seen: list[StepMetrics] = []
    for stop in (11, 0):
        settings = dataclasses.replace(finetuned.settings, stop=stop)
        run(settings, tmp_path / "run", finetuned.shards, on_step=seen.append, say=nothing)
    whole = read_metrics(finetuned.folder)
    assert [row.loss for row in seen] == [row["loss"] for row in whole]
    resumed = matrices(tmp_path / "run" / "checkpoint")
    assert all(np.array_equal(resumed[name], weights) for name, weights in matrices(finetuned.quantized).items())


def test_a_second_run_goes_on_with_the_first_teacher(finetuned: Finetuned, tmp_path: Path) -> None:
    settings = dataclasses.replace(
        finetuned.settings, start_from=str(finetuned.quantized), teacher=str(finetuned.full), steps=3
    )
    again = run(settings, tmp_path / "again", finetuned.shards, on_step=nothing, say=nothing)
    begun, ended = (read_metrics(folder)[0]["loss"] for folder in (finetuned.folder, tmp_path / "again"))
    assert 0 < ended < 0.5 * begun  # of their first batches; it would be 0 if it were its own teacher
    assert again
    lineage = json.loads((again / "lineage.json").read_text(encoding="utf-8"))
    digest = hashlib.sha256((finetuned.full / "model.safetensors").read_bytes()).hexdigest()
    assert lineage["teacher"] == {"checkpoint": "checkpoint", "files": {"model.safetensors": digest}}
    assert lineage["started_from"]["files"] != lineage["teacher"]["files"]
    assert str(tmp_path.parent) not in json.dumps(lineage)  # names no machine's folders


def test_the_recipe_takes_its_geometry_from_any_checkpoint(finetuned: Finetuned) -> None:
    settings = load_recipe("quantize-aware", {"start-from": str(finetuned.full), "length": "32", "round-from": ""})
    assert (settings.quantize, settings.distill) == ("q4_0", 1.0)
    assert settings.model["hidden_size"] == WIDTH and settings.model["num_hidden_layers"] == 2
    nano = load_recipe("quantize-aware", {"start-from": "phi-1-nano"})
    assert nano.model["hidden_size"] == 256 and nano.round_from.endswith("phi-1-nano.q4_0.gguf")
    with pytest.raises(InvalidCall, match=f"make it with 'edge-phi convert {finetuned.full} --to gguf:q4_0'"):
        load_recipe("quantize-aware", {"start-from": str(finetuned.full), "length": "32"})


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({}, "quantize-aware: model is missing: give --start-from=CHECKPOINT, whose geometry it then has"),
        ({"start-from": "phi-1-nanu"}, "unknown model 'phi-1-nanu': did you mean phi-1-nano?"),
        ({"start-from": "no/such/folder"}, "no/such/folder/config.json: No such file or directory"),
        ({"start-from": "phi-1-nano", "quantize": "q4_k"}, "quantize is 'q4_k': did you mean q4_0?"),
        ({"start-from": "phi-1-nano", "quantize": ""}, "round_from is a file of what a quantized run starts from"),
        ({"start-from": "phi-1-nano", "distill": "2"}, "distill is 2.0: it is a share of the loss, from 0 to 1"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(overrides: dict[str, str], says: str) -> None:
    with pytest.raises(InvalidCall) as caught:
        load_recipe("quantize-aware", overrides)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_a_teacher_has_to_be_named() -> None:
    with pytest.raises(InvalidCall, match="distill learns from a checkpoint: give --teacher=CHECKPOINT"):
        load_recipe("phi-1-nano", {"distill": "1"})


def test_a_width_that_q4_0_cannot_cut_is_refused(tmp_path: Path) -> None:
    settings = quantization_aware(start_from="unused")
    settings = dataclasses.replace(settings, model={**settings.model, "intermediate_size": 80})
    with pytest.raises(InvalidCall, match="fc2 is 80 wide: Q4_0 needs a multiple of 32"):
        train(settings, read_shards(write_shards(tmp_path / "shards")), tmp_path / "run", on_step=nothing)
