"""One ONNX folder in the programs it is made for, beside our own runtime: same graph, same logits, same text."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_phi.runtimes.onnx import OnnxRuntime
from edge_phi.store import Artifact

PROMPT = np.random.default_rng(4).integers(0, 380, 40).tolist()
NEW = 16

pytest.importorskip("onnx", reason="the onnx package, of the extra 'convert', is not installed")


@pytest.fixture(scope="module", params=["float16", "int8", "int4"])
def artifact(request: pytest.FixtureRequest, tiny_onnx: Callable[[str], Artifact]) -> Artifact:
    return tiny_onnx(request.param)


@pytest.fixture(scope="module")
def expected(artifact: Artifact) -> tuple[np.ndarray, list[int]]:
    """Logits after every token of the prompt, and the greedy text after it."""
    runtime = OnnxRuntime(artifact, threads=1)
    logits = runtime.extend(PROMPT, all_logits=True)
    tokens = [int(logits[-1].argmax())]
    while len(tokens) < NEW:
        tokens.append(int(runtime.extend(tokens[-1:])[0].argmax()))
    runtime.close()
    return logits, tokens


def test_onnxruntime_genai(artifact: Artifact, expected: tuple[np.ndarray, list[int]]) -> None:
    og = pytest.importorskip("onnxruntime_genai", reason="onnxruntime-genai is not installed")
    config = og.Config(str(artifact.path))
    config.overlay(json.dumps({"model": {"eos_token_id": 379}}))  # a random model ends anywhere
    model = og.Model(config)
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(max_length=len(PROMPT) + NEW)
    generator = og.Generator(model, parameters)
    generator.append_tokens(np.array(PROMPT, np.int32))
    np.testing.assert_allclose(np.array(generator.get_output("logits"))[0], expected[0], atol=1e-4)
    while not generator.is_done():
        generator.generate_next_token()
    assert generator.get_sequence(0).tolist()[len(PROMPT) :] == expected[1]
    generator.rewind_to(len(PROMPT) - 5)  # the cache is one buffer, which forgets by counting fewer
    generator.append_tokens(np.array(PROMPT[-5:], np.int32))
    np.testing.assert_allclose(np.array(generator.get_output("logits"))[0], expected[0][-5:], atol=1e-4)


def test_optimum(artifact: Artifact, expected: tuple[np.ndarray, list[int]]) -> None:
    optimum = pytest.importorskip("optimum.onnxruntime", reason="optimum-onnx, of the extra 'dev', is not installed")
    torch = pytest.importorskip("torch", reason="PyTorch, of the extra 'train', is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = optimum.ORTModelForCausalLM.from_pretrained(artifact.path)
    prompt = torch.tensor([PROMPT])
    inputs = {"input_ids": prompt, "attention_mask": torch.ones_like(prompt)}
    np.testing.assert_allclose(model(**inputs).logits[0].numpy(), expected[0], atol=1e-4)
    text = model.generate(**inputs, max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False, pad_token_id=0)
    assert text[0, len(PROMPT) :].tolist() == expected[1]


# Without options: config.json says which file to take, and that its weights lie beside it.
JAVASCRIPT = """
import { AutoModelForCausalLM, Tensor, env } from '@huggingface/transformers';
const [folder, name, prompt, count] = process.argv.slice(2);
env.allowRemoteModels = false;
env.localModelPath = folder;
const model = await AutoModelForCausalLM.from_pretrained(name);
const ids = JSON.parse(prompt).map(BigInt);
const inputs = {
  input_ids: new Tensor('int64', ids, [1, ids.length]),
  attention_mask: new Tensor('int64', ids.map(() => 1n), [1, ids.length]),
};
const { logits } = await model(inputs);
const text = await model.generate({ ...inputs, max_new_tokens: +count, min_new_tokens: +count, do_sample: false });
console.log(JSON.stringify([Array.from(logits.data), Array.from(text.data).map(Number)]));
"""


def test_transformers_js(artifact: Artifact, expected: tuple[np.ndarray, list[int]], tmp_path: Path) -> None:
    modules = os.environ.get("EDGE_PHI_NODE_MODULES")
    if not modules or not shutil.which("node"):
        pytest.skip("needs node, and EDGE_PHI_NODE_MODULES, a node_modules folder that has @huggingface/transformers")
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "run.mjs").write_text(JAVASCRIPT)
    arguments = [f"{artifact.path.parent}/", artifact.path.name, json.dumps(PROMPT), str(NEW)]
    done = subprocess.run(
        ["node", "run.mjs", *arguments], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    logits, text = json.loads(done.stdout.splitlines()[-1])
    # Its ONNX Runtime is another version, which may add up otherwise and so round other activations otherwise.
    np.testing.assert_allclose(np.reshape(logits, expected[0].shape), expected[0], atol=0.15)
    assert text[len(PROMPT) :] == expected[1]
