"""GGUF files of other families than Phi: a Llama of 64 dimensions, made here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import END_OF_TEXT

from edge_phi.completion.session import open_session
from edge_phi.errors import InvalidFile
from edge_phi.runtimes import Runtime, open_runtime, open_tokenizer
from edge_phi.store import Artifact, find_model
from edge_phi.tokenizer import Tokenizer, load_tokenizer

TEXTS = ["def f(x):\n    return x + 1\n", "", "é 漢 😀", f"x = '{END_OF_TEXT}'", "\t\n  \n"]


@pytest.fixture(scope="module")
def llama_gguf(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    gguf = pytest.importorskip("gguf", reason="the gguf package, of the extra 'convert', is not installed")
    pytest.importorskip("llama_cpp", reason="llama.cpp, of the extra 'gguf', is not installed")
    path = tmp_path_factory.mktemp("llama") / "tiny-llama.f16.gguf"
    source = json.loads((tiny_checkpoint / "tokenizer.json").read_text())["model"]
    words = sorted(source["vocab"], key=source["vocab"].__getitem__)
    width, inner, heads = 64, 128, 2
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(256)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_rope_dimension_count(width // heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(words)
    writer.add_token_types([3 if word == END_OF_TEXT else 1 for word in words])
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in source["merges"]])
    writer.add_bos_token_id(words.index("a"))
    writer.add_eos_token_id(words.index(END_OF_TEXT))
    writer.add_add_bos_token(True)
    random = np.random.default_rng(0)
    shapes = {"token_embd": (len(words), width), "output": (len(words), width)}
    for name, shape in {"attn_q": (width, width), "attn_k": (width, width), "attn_v": (width, width),
                        "attn_output": (width, width), "ffn_gate": (inner, width), "ffn_up": (inner, width),
                        "ffn_down": (width, inner)}.items():  # fmt: skip
        shapes[f"blk.0.{name}"] = shape
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", random.normal(0, 0.3, shape).astype(np.float16))
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(width, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def artifact(llama_gguf: Path) -> Artifact:
    return find_model(llama_gguf).artifact()


@pytest.fixture(scope="module")
def tokenizer(artifact: Artifact) -> Tokenizer:
    return open_tokenizer(artifact)


@pytest.fixture
def runtime(artifact: Artifact) -> Runtime:
    return open_runtime(artifact, threads=1)


@pytest.mark.parametrize("text", TEXTS)
def test_its_words_are_those_of_the_file(tokenizer: Tokenizer, tiny_checkpoint: Path, text: str) -> None:
    ours = load_tokenizer(tiny_checkpoint)
    assert tokenizer.encode(text) == ours.encode(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_what_the_file_says_of_its_ends_is_kept(tokenizer: Tokenizer, tiny_checkpoint: Path) -> None:
    ours = load_tokenizer(tiny_checkpoint)
    assert tokenizer.vocab_size == ours.vocab_size
    assert tokenizer.end_of_text == ours.end_of_text and tokenizer.end_of_text in tokenizer.ends
    assert tokenizer.token_bytes(tokenizer.end_of_text) == b""
    assert tokenizer.starts == (tokenizer.encode("a")[0],) and ours.starts == ()


def test_it_computes_the_same_from_its_cache(runtime: Runtime, tokenizer: Tokenizer) -> None:
    tokens = tokenizer.encode(TEXTS[0])
    assert runtime.info.context_length == 256 and runtime.info.vocab_size == tokenizer.vocab_size
    whole = runtime.extend(tokens, all_logits=True)
    runtime.rewind(3)
    np.testing.assert_allclose(runtime.extend(tokens[3:])[-1], whole[-1], atol=0.02)
    assert len({int(row.argmax()) for row in whole}) > 1
    runtime.close()


def test_it_completes(llama_gguf: Path) -> None:
    with open_session(llama_gguf, threads=1) as session:
        suggestion = session.complete("def f(x):\n    return")
    assert suggestion.tokens > 0 and suggestion.runtime == "llama_cpp"


def test_a_file_that_is_no_text_model_is_refused(llama_gguf: Path, tmp_path: Path) -> None:
    raw = llama_gguf.read_bytes()
    other = tmp_path / "other.gguf"
    other.write_bytes(raw.replace(b"llama.context_length", b"llama.context_lengtX"))
    with pytest.raises(InvalidFile, match="not a model that writes text"):
        open_runtime(find_model(other).artifact())
    other.write_bytes(raw.replace(b"token_embd.weight", b"token_embX.weight"))
    with pytest.raises(InvalidFile, match="not a model that writes text"):
        open_runtime(find_model(other).artifact())
    other.write_bytes(raw.replace(b"ffn_gate", b"ffn_gatX"))
    with pytest.raises(InvalidFile, match=r"llama\.cpp does not load it"):
        open_runtime(find_model(other).artifact())
