from __future__ import annotations

import ctypes
import importlib.util
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SAMPLE_TEXT, write_tiny_checkpoint

from edge_phi.checkpoint import open_checkpoint
from edge_phi.convert import ggml
from edge_phi.convert.gguf import export_gguf
from edge_phi.convert.gguf_vocabulary import read_vocabulary
from edge_phi.convert.mixture import FILE_TYPES
from edge_phi.errors import EdgePhiError, InvalidCall, InvalidFile, MissingExtra
from edge_phi.gguf_header import read_gguf_header
from edge_phi.gguf_model import read_config, tensor_shapes
from edge_phi.store import Artifact
from edge_phi.tokenizer import load_tokenizer

TinyGguf = Callable[[str], Artifact]


@pytest.fixture
def checkpoint_copy(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_checkpoint, tmp_path / "copy")


def change_json(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_writes_every_key_llama_cpp_reads(tiny_gguf: TinyGguf) -> None:
    metadata = dict(read_gguf_header(tiny_gguf("f16").path).metadata)
    tokenizer = {key: metadata.pop(key) for key in list(metadata) if key.startswith("tokenizer.")}
    assert metadata == {
        "general.architecture": "phi2",
        "general.type": "model",
        "general.name": "tiny-phi",
        "general.file_type": 1,
        "general.quantization_version": 2,
        "phi2.context_length": 512,
        "phi2.embedding_length": 256,
        "phi2.feed_forward_length": 1024,
        "phi2.block_count": 2,
        "phi2.attention.head_count": 4,
        "phi2.attention.head_count_kv": 4,
        "phi2.attention.layer_norm_epsilon": pytest.approx(1e-5),
        "phi2.rope.dimension_count": 32,
        "phi2.rope.freq_base": 10_000.0,
        "phi2.vocab_size": 380,
    }
    assert (tokenizer["tokenizer.ggml.model"], tokenizer["tokenizer.ggml.pre"]) == ("gpt2", "gpt-2")
    for name in ("bos", "eos", "unknown"):
        assert tokenizer[f"tokenizer.ggml.{name}_token_id"] == 0
    assert tokenizer["tokenizer.ggml.add_bos_token"] is False
    assert tokenizer["tokenizer.ggml.tokens"][0] == "<|endoftext|>"
    assert tokenizer["tokenizer.ggml.token_type"] == (3,) + (1,) * 379


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_float32_keeps_every_bit_of_the_checkpoint(tmp_path: Path, dtype: str) -> None:
    source = open_checkpoint(write_tiny_checkpoint(tmp_path / "source", layers=1, dtype=dtype))
    path = tmp_path / "out.gguf"
    export_gguf(source.folder, "f32", path)
    header = read_gguf_header(path)
    assert {name: tensor.shape for name, tensor in header.tensors.items()} == tensor_shapes(read_config(header))

    def stored(name: str) -> np.ndarray:
        tensor = header.tensors[name]
        return np.fromfile(path, "<f4", count=tensor.nbytes // 4, offset=tensor.offset).reshape(tensor.shape)

    layer = "model.layers.0."
    for name, sources in {
        "token_embd.weight": ["model.embed_tokens.weight"],
        "blk.0.attn_norm.bias": [layer + "input_layernorm.bias"],
        "blk.0.attn_qkv.weight": [f"{layer}self_attn.{part}_proj.weight" for part in "qkv"],
        "blk.0.attn_qkv.bias": [f"{layer}self_attn.{part}_proj.bias" for part in "qkv"],
        "blk.0.attn_output.weight": [layer + "self_attn.dense.weight"],
        "blk.0.ffn_up.weight": [layer + "mlp.fc1.weight"],
        "blk.0.ffn_down.bias": [layer + "mlp.fc2.bias"],
        "output_norm.weight": ["model.final_layernorm.weight"],
        "output.bias": ["lm_head.bias"],
    }.items():
        np.testing.assert_array_equal(stored(name), np.concatenate([source.tensor(part) for part in sources]))


def test_each_type_holds_what_its_name_says(tiny_gguf: TinyGguf) -> None:
    for quant, matrix in {"f32": "F32", "f16": "F16", "q8_0": "Q8_0", "q4_0": "Q4_0", "q4_k_m": "Q4_K"}.items():
        header = read_gguf_header(tiny_gguf(quant).path)
        assert header.metadata["general.file_type"] == FILE_TYPES[quant].number
        assert header.tensors["blk.1.ffn_up.weight"].type == matrix
        assert {tensor.type for tensor in header.tensors.values() if len(tensor.shape) == 1} == {"F32"}


@pytest.mark.parametrize("quant", ["f16", "q4_k_m"])
def test_the_same_checkpoint_gives_the_same_bytes_and_nothing_is_printed(
    tiny_gguf: TinyGguf, tiny_checkpoint: Path, tmp_path: Path, quant: str, capfd: pytest.CaptureFixture[str]
) -> None:
    first = tiny_gguf(quant).path.read_bytes()
    capfd.readouterr()
    path = tmp_path / "again.gguf"
    export_gguf(tiny_checkpoint, quant, path)
    assert path.read_bytes() == first
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def llama_model(tiny_gguf: TinyGguf) -> Iterator[Callable[[Path], tuple[Any, Any, list[str]]]]:
    """Load a file as any program would: returns llama_cpp, the vocabulary and every warning or error."""
    llama = pytest.importorskip("llama_cpp", reason="llama.cpp, of the extra 'gguf', is not installed")
    said: list[str] = []
    models = []

    @llama.llama_log_callback
    def log(level: int, text: bytes, _: object) -> None:
        if level in (3, 4):
            said.append(text.decode())

    def load(path: Path) -> tuple[Any, Any, list[str]]:
        llama.llama_log_set(log, None)
        models.append(llama.llama_model_load_from_file(str(path).encode(), llama.llama_model_default_params()))
        return llama, llama.llama_model_get_vocab(models[-1]), said

    yield load
    for model in models:
        llama.llama_model_free(model)
    from edge_phi.runtimes import llama_cpp as runtime

    llama.llama_log_set(runtime._log_callback(llama), None)


@pytest.mark.parametrize("quant", FILE_TYPES)
def test_llama_cpp_loads_it_without_a_warning_and_splits_text_as_we_do(
    tiny_gguf: TinyGguf, llama_model: Callable[[Path], tuple[Any, Any, list[str]]], quant: str
) -> None:
    artifact = tiny_gguf(quant)
    llama, vocabulary, said = llama_model(artifact.path)
    assert said == []
    assert llama.llama_vocab_is_eog(vocabulary, 0)
    raw = (SAMPLE_TEXT + "\tx = {'ü': 1}   # 12,345\r\n").encode()
    buffer = (ctypes.c_int32 * len(raw))()
    count = llama.llama_tokenize(vocabulary, raw, len(raw), buffer, len(raw), True, False)
    assert list(buffer[:count]) == load_tokenizer(artifact.folder).encode(raw.decode())


def test_added_words_and_unused_rows_have_their_types(checkpoint_copy: Path) -> None:
    def shrink(tokenizer: dict[str, Any]) -> None:
        """As phi's: runs of spaces are added words, and the embedding has more rows than there are words."""
        words = tokenizer["model"]["vocab"]
        for word in [word for word, id_ in words.items() if id_ >= 375]:
            del words[word]
        tokenizer["model"]["merges"] = [
            pair for pair in tokenizer["model"]["merges"] if {*pair, "".join(pair)} <= set(words)
        ]
        plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
        tokenizer["added_tokens"].append({"id": 376, "content": "     ", **plain})

    change_json(checkpoint_copy / "tokenizer.json", shrink)
    vocabulary = read_vocabulary(open_checkpoint(checkpoint_copy))
    assert len(vocabulary.words) == 380
    assert vocabulary.words[375:] == ["[PAD375]", "     ", "[PAD377]", "[PAD378]", "[PAD379]"]
    assert vocabulary.types[374:] == [1, 5, 4, 5, 5, 5]
    export_gguf(checkpoint_copy, "f16", checkpoint_copy / "a.gguf")
    (checkpoint_copy / "tokenizer.json").rename(checkpoint_copy / "beside.json")
    from edge_phi.store import find_model, load_tokenizer_for

    (lone,) = find_model(checkpoint_copy / "a.gguf").artifacts
    tokenizer = load_tokenizer_for(lone)
    assert tokenizer.encode("     ") == [376]
    assert tokenizer.decode([376, 377]) == "     "


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t["model"].update(type="Unigram"), "only GPT-2"),
        (lambda t: t.update(pre_tokenizer={"type": "Metaspace"}), "only GPT-2"),
        (lambda t: t.update(normalizer={"type": "NFKC"}), "only GPT-2"),
        (lambda t: t["model"]["vocab"].update(far=380), "do not fit the embedding"),
        (lambda t: (t["model"]["vocab"].pop("<|endoftext|>"), t["added_tokens"].clear()), "end of text"),
        (lambda t: t.pop("model"), "not a tokenizer"),
        (lambda t: t["model"].update(vocab=[1]), "not a tokenizer"),
    ],
)
def test_refuses_tokenizers_gguf_cannot_hold(
    checkpoint_copy: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    change_json(checkpoint_copy / "tokenizer.json", change)
    with pytest.raises(InvalidFile, match=words):
        export_gguf(checkpoint_copy, "f16", checkpoint_copy / "a.gguf")
    assert not list(checkpoint_copy.glob("*.gguf"))


def test_wrong_calls(tiny_checkpoint: Path, checkpoint_copy: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidCall, match="unknown GGUF type 'q5'"):
        export_gguf(tiny_checkpoint, "q5", tmp_path / "a.gguf")
    (checkpoint_copy / "tokenizer.json").unlink()
    with pytest.raises(InvalidCall, match=r"tokenizer\.json"):
        export_gguf(checkpoint_copy, "f16", tmp_path / "a.gguf")
    with pytest.raises(EdgePhiError, match="cannot be written"):
        export_gguf(tiny_checkpoint, "f16", tmp_path / "none" / "a.gguf")


def test_a_weight_too_large_for_float16_is_refused_not_clipped(checkpoint_copy: Path) -> None:
    stored = open_checkpoint(checkpoint_copy).tensors["lm_head.weight"]
    with (checkpoint_copy / "model.safetensors").open("r+b") as file:
        file.seek(stored.offset)
        file.write(np.float32(1e5).tobytes())
    with pytest.raises(EdgePhiError, match=r"lm_head\.weight .* convert to f32"):
        export_gguf(checkpoint_copy, "f16", checkpoint_copy / "a.gguf")
    assert not list(checkpoint_copy.glob("*a.gguf*"))
    export_gguf(checkpoint_copy, "f32", checkpoint_copy / "a.gguf")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes, to stand for a full disk")
@pytest.mark.parametrize(("quant", "limit"), [("f16", 10**6), ("q8_0", 10**6)])
def test_a_full_disk_leaves_nothing(tiny_checkpoint: Path, tmp_path: Path, quant: str, limit: int) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(EdgePhiError, match="space"):
            export_gguf(tiny_checkpoint, quant, tmp_path / "a.gguf")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ggml, "quantize", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_gguf(tiny_checkpoint, "q8_0", tmp_path / "a.gguf")
    assert list(tmp_path.iterdir()) == []


def test_missing_packages_are_named_with_their_cost(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda _: None)
        with pytest.raises(MissingExtra, match=r"edge-phi\[gguf\].*compiler and CMake.*minutes"):
            export_gguf(tiny_checkpoint, "q4_0", tmp_path / "a.gguf")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingExtra, match=r"edge-phi\[convert\]"):
        export_gguf(tiny_checkpoint, "f16", tmp_path / "a.gguf")
    assert list(tmp_path.iterdir()) == []
