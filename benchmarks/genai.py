"""onnxruntime-genai as others use it: its own model builder, and its own loop, with a given number of threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


def build(checkpoint: Path, out: Path) -> None:
    """int4 for the CPU with the builder's defaults: blocks of 32, symmetric, accuracy level 4."""
    arguments = ["-i", os.fspath(checkpoint), "-o", os.fspath(out), "-p", "int4", "-e", "cpu", "-c", f"{out}.cache"]
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def open_model(folder: Path, threads: int) -> Any:
    """Load a folder. The end-of-text token is moved, so that decoding never stops early."""
    import onnxruntime_genai as og

    vocabulary = json.loads((folder / "genai_config.json").read_text())["model"]["vocab_size"]
    config = og.Config(os.fspath(folder))
    options = {"session_options": {"intra_op_num_threads": threads}}
    config.overlay(json.dumps({"model": {"eos_token_id": vocabulary - 1, "decoder": options}}))
    return og.Model(config)


def decode(model: Any, prompt: list[int], count: int) -> tuple[float, float]:
    """Read a prompt, then decode greedily: milliseconds to the first token, and tokens a second of `count` more."""
    generator = _generator(model, len(prompt) + count + 2)
    start = time.perf_counter()
    generator.append_tokens(np.array(prompt, np.int32))
    generator.generate_next_token()
    first = time.perf_counter()
    for _ in range(count):
        generator.generate_next_token()
        generator.get_next_tokens()
    return (first - start) * 1e3, count / (time.perf_counter() - first)


def logits(model: Any, tokens: list[int]) -> npt.NDArray[np.float32]:
    """float32 [len(tokens), vocabulary], in one piece."""
    generator = _generator(model, len(tokens) + 1)
    generator.append_tokens(np.array(tokens, np.int32))
    return np.array(generator.get_output("logits"), np.float32)[0]


def _generator(model: Any, length: int) -> Any:
    import onnxruntime_genai as og

    parameters = og.GeneratorParams(model)
    parameters.set_search_options(max_length=length, do_sample=False, batch_size=1)
    return og.Generator(model, parameters)
