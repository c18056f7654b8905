from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripted import LearnedRuntime

from edge_phi.completion.decode import DecodeSettings
from edge_phi.errors import InvalidCall
from edge_phi.evaluate.generate import PROMPT_TOO_LONG, Ask, Generated, generate
from edge_phi.evaluate.model_run import ModelWriter, model_settings
from edge_phi.evaluate.problem import Benchmark
from edge_phi.evaluate.stop_rules import HUMANEVAL_STOPS
from edge_phi.runtimes import open_runtime
from edge_phi.store import Artifact
from edge_phi.tokenizer import Tokenizer, load_tokenizer

PROMPT = 'def twice(x):\n    """Say x twice."""'
BODY = "\n    return x + x\n"


@pytest.fixture(scope="module")
def tokenizer(tiny_checkpoint: Path) -> Tokenizer:
    return load_tokenizer(tiny_checkpoint)


def learned(tokenizer: Tokenizer, document: str, *, context_length: int = 512) -> LearnedRuntime:
    """Knows `document` as a text whose prompt does not begin with an end of text."""

    class Bare(LearnedRuntime):
        def _next(self) -> int:
            known = [*tokenizer.encode(PROMPT), *tokenizer.encode(document), tokenizer.end_of_text]
            return known[self.length] if known[: self.length] == self.cache else tokenizer.encode("?")[0]

    return Bare(tokenizer, document, context_length=context_length)


def one(tokenizer: Tokenizer, runtime: LearnedRuntime, prompt: str = PROMPT, max_tokens: int = 100) -> Generated:
    [(_, generated)] = generate(
        runtime, tokenizer, [Ask("T/0", 0, prompt)], DecodeSettings(max_tokens=max_tokens), HUMANEVAL_STOPS
    )
    return generated


def test_a_text_ends_where_the_model_ends_it(tokenizer: Tokenizer) -> None:
    generated = one(tokenizer, learned(tokenizer, BODY))
    assert (generated.text, generated.finish) == (BODY, "end")
    assert generated.tokens == len(tokenizer.encode(BODY)) + 1


def test_a_text_ends_at_a_stop_and_is_kept_whole(tokenizer: Tokenizer) -> None:
    generated = one(tokenizer, learned(tokenizer, f"{BODY}\ndef other():\n    pass\n"))
    assert generated.finish == "stop"
    assert generated.text.startswith(f"{BODY}\ndef")
    assert HUMANEVAL_STOPS.cut(PROMPT, generated.text) == BODY


def test_a_text_ends_with_its_tokens_or_the_context(tokenizer: Tokenizer) -> None:
    assert one(tokenizer, learned(tokenizer, BODY), max_tokens=2).finish == "length"
    prompt = len(tokenizer.encode(PROMPT))
    full = one(tokenizer, learned(tokenizer, BODY, context_length=prompt + 2))
    assert (full.finish, full.tokens) == ("length", 3)


def test_a_prompt_that_does_not_fit_is_said(tokenizer: Tokenizer) -> None:
    runtime = learned(tokenizer, BODY, context_length=len(tokenizer.encode(PROMPT)))
    assert one(tokenizer, runtime) == Generated("", PROMPT_TOO_LONG, 0, 0.0)


def test_a_model_that_emits_nothing(tokenizer: Tokenizer) -> None:
    generated = one(tokenizer, learned(tokenizer, ""))
    assert (generated.text, generated.finish, generated.tokens) == ("", "end", 1)


def test_samples_of_a_prompt_read_it_once(tokenizer: Tokenizer) -> None:
    runtime = learned(tokenizer, BODY)
    asks = [Ask("T/0", sample, PROMPT) for sample in range(5)]
    texts = [found.text for _, found in generate(runtime, tokenizer, asks, DecodeSettings(), HUMANEVAL_STOPS)]
    assert texts == [BODY] * 5
    assert sum(len(tokens) > 1 for tokens in runtime.extended) == 1


@pytest.mark.parametrize("engine", ["onnx", "llama_cpp"])
def test_a_text_does_not_depend_on_what_was_written_before(
    engine: str, tiny_checkpoint: Path, request: pytest.FixtureRequest
) -> None:
    artifact = an_artifact(engine, request)
    tokenizer = load_tokenizer(tiny_checkpoint)
    asks = [Ask(f"T/{task}", sample, f"def f{task}(x):\n" * (task + 1)) for task in range(3) for sample in range(2)]
    settings = DecodeSettings(max_tokens=12, temperature=0.8, top_p=0.9, seed=3)
    runtime = open_runtime(artifact, threads=1)
    try:
        together = {ask: found.text for ask, found in generate(runtime, tokenizer, asks, settings, HUMANEVAL_STOPS)}
        for ask in reversed(asks):
            [(_, alone)] = generate(runtime, tokenizer, [ask], settings, HUMANEVAL_STOPS)
            assert alone.text == together[ask]
    finally:
        runtime.close()
    assert len(set(together.values())) > 3  # samples differ


def an_artifact(engine: str, request: pytest.FixtureRequest) -> Artifact:
    if engine == "onnx":
        found: Artifact = request.getfixturevalue("tiny_onnx")("float32")
        return found
    pytest.importorskip("llama_cpp", reason="llama.cpp, of the extra 'gguf', is not installed")
    found = request.getfixturevalue("tiny_gguf")("f16")
    return found


@pytest.fixture(scope="module")
def torch_artifact(tiny_checkpoint: Path) -> Artifact:
    pytest.importorskip("torch", reason="PyTorch, of the extra 'train', is not installed")
    return Artifact("tiny-phi", "safetensors", "float32", tiny_checkpoint, tiny_checkpoint)


def test_logits_of_a_padded_row_are_those_of_the_row_alone(torch_artifact: Artifact, tokenizer: Tokenizer) -> None:
    from edge_phi.evaluate.batched import BatchModel

    model = BatchModel(torch_artifact, threads=1)
    runtime = open_runtime(torch_artifact, threads=1)
    prompts = [tokenizer.encode(text) for text in (PROMPT, "def f(", "class Stack:\n    def push(self")]
    logits = model.read(prompts)
    model.keep([2, 0, 0])  # as finished rows leave and samples share a prompt
    followed = model.extend([5, 6, 7])
    for row, (prompt, token) in enumerate([(prompts[2], 5), (prompts[0], 6), (prompts[0], 7)]):
        runtime.rewind(0)
        np.testing.assert_allclose(logits[[2, 0, 0][row]], runtime.extend(prompt)[-1], atol=2e-4)
        np.testing.assert_allclose(followed[row], runtime.extend([token])[-1], atol=2e-4)


TEXTS = [PROMPT, "def f(", "class Stack:\n    def push(self", "import re\n"]


def written(artifact: Artifact, asks: list[Ask], settings: DecodeSettings, batch: int) -> list[dict[str, Any]]:
    writer = ModelWriter(artifact, settings, threads=1, batch=batch)
    records = [{**record, "seconds": 0} for record in writer.write(asks, HUMANEVAL_STOPS)]
    writer.close()
    return records


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_they_write_what_one_by_one_is_written(torch_artifact: Artifact, temperature: float) -> None:
    settings = DecodeSettings(max_tokens=20, temperature=temperature, seed=1)
    samples = 3 if temperature else 1
    asks = [Ask(f"T/{task}", sample, text) for task, text in enumerate(TEXTS) for sample in range(samples)]
    assert written(torch_artifact, asks, settings, 1) == written(torch_artifact, asks, settings, 5)


@pytest.mark.parametrize(
    ("setting", "finish"),
    [({"repetition_penalty": 1.6}, ""), ({"temperature": 1.5, "min_p": 0.5}, ""), ({"max_seconds": 1e-9}, "time"),
     ({"min_logprob": -1e-6}, "unsure")],
)  # fmt: skip
def test_every_setting_holds_in_batches_too(torch_artifact: Artifact, setting: dict[str, float], finish: str) -> None:
    asks = [Ask(f"T/{task}", 0, text) for task, text in enumerate(TEXTS)]
    temperature = setting.get("temperature", 0.0)
    with_it = DecodeSettings(max_tokens=20, seed=1, **setting)  # type: ignore[arg-type]
    without = DecodeSettings(max_tokens=20, seed=1, temperature=temperature)
    found = written(torch_artifact, asks, with_it, 4)
    assert found == written(torch_artifact, asks, with_it, 1)
    assert found != written(torch_artifact, asks, without, 4)
    assert not finish or {record["finish"] for record in found} == {finish}


def test_a_run_says_which_settings_it_was_made_with(torch_artifact: Artifact) -> None:
    def made_with(**setting: float) -> dict[str, Any]:
        settings = DecodeSettings(**setting)  # type: ignore[arg-type]
        benchmark = Benchmark("b", (), HUMANEVAL_STOPS, HUMANEVAL_STOPS, ())
        return model_settings(
            torch_artifact, benchmark, settings, prompt="stripped", stops=HUMANEVAL_STOPS, threads=1, batch=1
        )

    plain = made_with()
    assert made_with(repetition_penalty=1.2) == plain | {"repetition_penalty": 1.2}
    assert made_with(min_logprob=-1.0, max_seconds=2.0) == plain | {"min_logprob": -1.0, "max_seconds": 2.0}


def test_a_prompt_too_long_leaves_the_others(torch_artifact: Artifact) -> None:
    writer = ModelWriter(torch_artifact, DecodeSettings(max_tokens=4), threads=1, batch=2)
    asks = [Ask("T/0", 0, "x = 1\n" * 600), Ask("T/1", 0, PROMPT)]
    found = list(writer.write(asks, HUMANEVAL_STOPS))
    assert [record["finish"] for record in found] == [PROMPT_TOO_LONG, "length"]


def test_other_engines_say_that_they_have_no_batches() -> None:
    with pytest.raises(InvalidCall, match="one text at a time"):
        ModelWriter(Artifact("m", "gguf", "q4_0", Path("m"), Path()), DecodeSettings(), threads=1, batch=2)
