"""The decode loop and the session over real engines: the same text from each, and from each whatever was cached."""

from __future__ import annotations

import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import SAMPLE_TEXT

import edge_phi
from edge_phi.completion.decode import DecodeSettings, Step, decode
from edge_phi.completion.session import Session, open_session
from edge_phi.runtimes import Runtime, open_runtime
from edge_phi.store import Artifact, find_model, load_tokenizer_for
from edge_phi.tokenizer import Tokenizer

TOKENS = 24
# What counts as a tie between two tokens, in logits: float32 differs by rounding, float16 by its weights.
TIES = {"onnx:float32": 1e-3, "gguf:f32": 1e-3, "gguf:f16": 0.05}


@pytest.fixture(scope="module", params=["tiny-phi", "phi-1-nano"])
def forms(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path
) -> dict[str, Artifact]:
    """Every full-precision form of a model by its name: of a random one, and of the one that comes with the package."""
    if request.param == "tiny-phi":
        onnx, gguf = request.getfixturevalue("tiny_onnx"), request.getfixturevalue("tiny_gguf")
        torch = Artifact("tiny-phi", "safetensors", "float32", tiny_checkpoint, tiny_checkpoint)
        return {form.name: form for form in (torch, onnx("float32"), gguf("f32"), gguf("f16"))}
    model = find_model(request.param)
    pytest.importorskip("gguf", reason="the gguf package, of the extra 'convert', is not installed")
    from edge_phi.convert.gguf import export_gguf

    path = tmp_path_factory.mktemp("nano") / "phi-1-nano.f16.gguf"
    export_gguf(model.folder, "f16", path)
    forms = [model.artifact("torch:float32"), model.artifact("onnx:float32")]
    return {form.name: form for form in (*forms, Artifact(model.name, "gguf", "f16", path, model.folder))}


def prompts(tokenizer: Tokenizer) -> list[list[int]]:
    """Twenty prompts of code, each the start of a document."""
    lines = Path(textwrap.__file__).read_text(encoding="utf-8").splitlines(keepends=True)
    texts = ["".join(lines[start : start + 4 + start % 5]) for start in range(0, 400, 20)]
    return [[tokenizer.end_of_text, *tokenizer.encode(text)][:200] for text in texts]


def greedy(runtime: Runtime, prompt: list[int], tokenizer: Tokenizer) -> list[int]:
    runtime.rewind(0)
    return [step.token for step in decode(runtime, prompt, tokenizer, DecodeSettings(max_tokens=TOKENS))]


def test_engines_write_the_same_greedy_text(forms: dict[str, Artifact]) -> None:
    pytest.importorskip("transformers", reason="transformers, of the extra 'train', is not installed")
    if any(form.format == "gguf" for form in forms.values()):
        pytest.importorskip("llama_cpp", reason="llama.cpp, of the extra 'gguf', is not installed")
    tokenizer = load_tokenizer_for(forms["torch:float32"])
    baseline = open_runtime(forms.pop("torch:float32"), threads=1)
    expected = [greedy(baseline, prompt, tokenizer) for prompt in prompts(tokenizer)]
    assert len({tuple(tokens) for tokens in expected}) > 10, "the prompts are told apart"
    for name, form in forms.items():
        runtime = open_runtime(form, threads=1)
        for prompt, tokens in zip(prompts(tokenizer), expected, strict=True):
            ours = greedy(runtime, prompt, tokenizer)
            differing = [step for step in range(min(len(ours), len(tokens))) if ours[step] != tokens[step]]
            if differing:
                baseline.rewind(0)
                logits = baseline.extend([*prompt, *tokens[: differing[0]]])[0]
                gap = float(logits[tokens[differing[0]]] - logits[ours[differing[0]]])
                assert gap < TIES[name], (
                    f"{name} differs at step {differing[0]}, where the baseline's lead is {gap:.4f}"
                )
            else:
                assert ours == tokens
        runtime.close()
    baseline.close()


@pytest.fixture(params=["onnx", "gguf", "torch"])
def session(request: pytest.FixtureRequest, tiny_checkpoint: Path) -> Iterator[Callable[[], Session]]:
    """Opens sessions of the random model in one engine after the other, in float32."""
    if request.param == "onnx":
        model: Path = request.getfixturevalue("tiny_onnx")("float32").path
        quant = "onnx:float32"
    elif request.param == "gguf":
        pytest.importorskip("llama_cpp", reason="llama.cpp, of the extra 'gguf', is not installed")
        model, quant = request.getfixturevalue("tiny_gguf")("f32").path, "gguf:f32"
    else:
        pytest.importorskip("transformers", reason="transformers, of the extra 'train', is not installed")
        model, quant = tiny_checkpoint, "torch:float32"
    opened: list[Session] = []

    def make() -> Session:
        opened.append(open_session(model, quant=quant, threads=1))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def test_what_is_cached_does_not_change_the_text(session: Callable[[], Session]) -> None:
    kept = session()
    settings = DecodeSettings(max_tokens=8)
    reused = 0
    # Typing, an edit further up, typing on, and back again.
    states = [SAMPLE_TEXT[:end] for end in (200, 201, 202, 210)]
    states += [SAMPLE_TEXT[:40] + "#" + SAMPLE_TEXT[40:250], SAMPLE_TEXT[:90], SAMPLE_TEXT[:210]]
    for before in states:
        with session() as fresh:
            expected = fresh.complete(before, settings=settings)
        suggestion = kept.complete(before, settings=settings)
        assert (suggestion.text, suggestion.tokens) == (expected.text, expected.tokens)
        assert suggestion.timing.prompt_tokens == expected.timing.prompt_tokens
        reused += suggestion.timing.cached_tokens
    assert reused > 200


def test_cancelling_a_real_engine_leaves_it_usable(session: Callable[[], Session]) -> None:
    opened, cancel = session(), threading.Event()
    steps: list[Step] = []

    def cancel_at_once(step: Step) -> None:
        steps.append(step)
        cancel.set()

    whole = opened.complete(SAMPLE_TEXT)
    cancelled = opened.complete(SAMPLE_TEXT[:300], cancel=cancel, on_step=cancel_at_once)
    assert (cancelled.finish, len(steps)) == ("cancelled", 1)
    cancel.set()
    assert opened.complete(SAMPLE_TEXT[5:300], cancel=cancel).tokens == 0
    assert opened.complete(SAMPLE_TEXT).text == whole.text


def test_a_seed_repeats_a_sampled_text(session: Callable[[], Session]) -> None:
    opened = session()

    def sampled(seed: int) -> str:
        return opened.complete(SAMPLE_TEXT, settings=DecodeSettings(temperature=1, seed=seed, max_tokens=16)).text

    assert sampled(1) == sampled(1)
    assert len({sampled(seed) for seed in range(4)}) > 1


def test_the_public_names_complete(tiny_onnx: Callable[[str], Artifact]) -> None:
    folder = tiny_onnx("int4").path
    before = SAMPLE_TEXT[:300]
    with edge_phi.open_model(folder, quant="int4", threads=1) as opened:
        suggestion = opened.complete(before)
    assert isinstance(suggestion, edge_phi.Suggestion)
    assert (suggestion.runtime, suggestion.quant) == ("onnx", "int4")
    assert edge_phi.complete(before, model=folder).text == suggestion.text
    with pytest.raises(edge_phi.InvalidCall, match="nothing-here"):
        edge_phi.open_model("nothing-here")
