"""Real parts made small: random Phi checkpoints with a tokenizer of their own."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE

from edge_phi.checkpoint import PhiConfig
from edge_phi.store import Artifact

# torch.compile imports setuptools, which refuses to come after the standard library's distutils, and some library that
# an earlier test loads brings that.
with contextlib.suppress(ImportError):
    import setuptools  # noqa: F401

# No test asserts on a clock, and a busy machine is no defect.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

# A suite that was started in the background ignores Ctrl-C, and so would every command it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

END_OF_TEXT = "<|endoftext|>"

SAMPLE_TEXT = '''
def moving_average(values, width):
    """Return the means of every run of `width` values."""
    total = sum(values[:width])
    means = [total / width]
    for left, right in zip(values, values[width:]):
        total += right - left
        means.append(total / width)
    return means


class Stack:
    def __init__(self):
        self.items = []

    def push(self, item):
        self.items.append(item)
'''


def write_tiny_checkpoint(folder: Path, *, layers: int = 2, seed: int = 0, dtype: str = "F32") -> Path:
    """A Phi of width 256 with random weights (scaled so that its logits are well apart) and a 384-word tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _train_tokenizer()
    config = PhiConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=512,
        eos_token_id=tokenizer.token_to_id(END_OF_TEXT),
    )
    random = np.random.default_rng(seed)
    weights = {}
    for name, shape in config.tensor_shapes().items():
        values = random.normal(0, 1, shape) * (0.1 if len(shape) == 2 else 0.02)
        if name.endswith("layernorm.weight"):
            values = 1 + values
        weights[name] = values.astype(np.float32)
    _write_safetensors(folder / "model.safetensors", weights, dtype)
    (folder / "config.json").write_text(json.dumps(config.to_json(), indent=2))
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def write_sharded(folder: Path, count: int) -> None:
    """Replace the model.safetensors of a float32 checkpoint by shards and an index, as transformers writes."""
    from safetensors.numpy import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = list(weights)
    places = {}
    for number in range(count):
        shard = f"model-{number + 1:05}-of-{count:05}.safetensors"
        part = names[number * len(names) // count : (number + 1) * len(names) // count]
        save_file({name: weights[name] for name in part}, folder / shard, metadata={"format": "pt"})
        places.update(dict.fromkeys(part, shard))
    index = {"metadata": {"total_size": sum(values.nbytes for values in weights.values())}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer Phi in float32. Shared: do not write into it."""
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "tiny-phi")


@pytest.fixture(scope="session")
def tiny_gguf(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Artifact]:
    """The same model as GGUF: `tiny_gguf("q4_0")` is its artifact, made once. Shared: do not write into it."""
    pytest.importorskip("gguf", reason="the gguf package, of the extra 'convert', is not installed")
    from edge_phi.convert.gguf import export_gguf, uses_quantizer

    folder = tmp_path_factory.mktemp("tiny-gguf")

    @functools.cache
    def make(quant: str) -> Artifact:
        if uses_quantizer(quant):
            pytest.importorskip("llama_cpp", reason="llama.cpp, of the extra 'gguf', is not installed")
        path = folder / f"tiny-phi.{quant}.gguf"
        export_gguf(tiny_checkpoint, quant, path)
        return Artifact("tiny-phi", "gguf", quant, path, tiny_checkpoint)

    return make


@pytest.fixture(scope="session")
def tiny_onnx(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Artifact]:
    """The same model as ONNX: `tiny_onnx("int4")` is its artifact, made once. Shared: do not write into it."""
    pytest.importorskip("onnx", reason="the onnx package, of the extra 'convert', is not installed")
    from edge_phi.convert.onnx import export_onnx

    folder = tmp_path_factory.mktemp("tiny-onnx")

    @functools.cache
    def make(quant: str) -> Artifact:
        path = folder / f"onnx-{quant}"
        export_onnx(tiny_checkpoint, quant, path)
        return Artifact("tiny-phi", "onnx", quant, path, path)

    return make


@pytest.fixture(scope="session")
def evaluation_data() -> Path:
    """The folder of evaluation sets and text: $EDGE_PHI_DATA, else ../shared/data beside the checkout."""
    root = Path(__file__).parents[1]
    folder = Path(os.environ.get("EDGE_PHI_DATA", root.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"evaluation data is absent: {folder} (set EDGE_PHI_DATA)")
    return folder


def _train_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=384, special_tokens=[END_OF_TEXT], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([SAMPLE_TEXT], trainer)
    return tokenizer


def _write_safetensors(path: Path, weights: dict[str, np.ndarray], dtype: str) -> None:
    """Written by hand, because safetensors' numpy side knows no bfloat16."""
    header, chunks, offset = {}, [], 0
    for name, values in weights.items():
        if dtype == "BF16":
            raw = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
        else:
            raw = values.astype("<f2" if dtype == "F16" else "<f4").tobytes()
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [offset, offset + len(raw)]}
        chunks.append(raw)
        offset += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(chunks))
