from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from conftest import SAMPLE_TEXT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_phi.checkpoint import read_config as read_checkpoint_config
from edge_phi.errors import InvalidFile
from edge_phi.gguf_header import GgufHeader, GgufTensor, read_gguf_header
from edge_phi.gguf_model import read_config, read_tokenizer
from edge_phi.store import Artifact, find_model, load_tokenizer_for
from edge_phi.tokenizer import Tokenizer, load_tokenizer


@pytest.fixture(scope="module")
def header(tiny_gguf: Callable[[str], Artifact]) -> GgufHeader:
    return read_gguf_header(tiny_gguf("f16").path)


@pytest.fixture(scope="module")
def both_tokenizers(tiny_gguf: Callable[[str], Artifact]) -> tuple[Tokenizer, Tokenizer]:
    """The one beside the checkpoint, and the one a lone GGUF file gives."""
    artifact = tiny_gguf("f16")
    (lone,) = find_model(artifact.path).artifacts
    assert not (lone.folder / "tokenizer.json").exists()
    return load_tokenizer(artifact.folder), load_tokenizer_for(lone)


def test_geometry_is_the_checkpoints(header: GgufHeader, tiny_gguf: Callable[[str], Artifact]) -> None:
    ours = read_config(header)
    assert replace(ours, layer_norm_eps=1e-5) == read_checkpoint_config(tiny_gguf("f16").folder)
    assert ours.layer_norm_eps == pytest.approx(1e-5)  # a float32 in the file


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text() | st.sampled_from([SAMPLE_TEXT, "a<|endoftext|>b", "    if x:\r\n\treturn 'ü'  "]))
def test_the_files_own_tokenizer_equals_tokenizer_json(both_tokenizers: tuple[Tokenizer, Tokenizer], text: str) -> None:
    beside, lone = both_tokenizers
    tokens = lone.encode(text)
    assert tokens == beside.encode(text)
    assert lone.decode(tokens) == beside.decode(tokens) == text
    assert lone.end_of_text == beside.end_of_text


def changed(header: GgufHeader, **metadata: Any) -> GgufHeader:
    values = dict(header.metadata)
    for key, value in metadata.items():
        values[key.replace("__", ".")] = value
    return replace(header, metadata={key: value for key, value in values.items() if value is not None})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"general__architecture": "llama"}, "only 'phi2'"),
        ({"general__architecture": None}, "only 'phi2'"),
        ({"split__count": 2}, "split model"),
        ({"phi2__rope.scaling.type": "yarn"}, "variant of Phi"),
        ({"phi2__attention.head_count_kv": 2}, "grouped-query"),
        ({"phi2__attention.head_count": 0}, "head_count"),
        ({"phi2__attention.head_count": 3, "phi2__attention.head_count_kv": 3}, "multiple of"),
        ({"phi2__attention.head_count": (4, 4)}, "head_count"),
        ({"phi2__block_count": 2**24}, "block_count"),
        ({"phi2__block_count": 3}, "blk.2.attn_qkv.weight is missing"),
        ({"phi2__embedding_length": 128}, "its metadata says"),
        ({"phi2__context_length": "512"}, "context_length"),
        ({"phi2__rope.dimension_count": 66}, "rotary"),
        ({"phi2__attention.layer_norm_epsilon": float("nan")}, "layer_norm_epsilon"),
    ],
)
def test_refuses_what_no_engine_should_see(header: GgufHeader, change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidFile, match=words):
        read_config(changed(header, **change))


def test_refuses_tensors_of_whole_numbers(header: GgufHeader) -> None:
    for name, type_ in (("output.weight", "I32"), ("output_norm.bias", "F16")):
        tensor = header.tensors[name]
        wrong = GgufTensor(type_, tensor.shape, tensor.offset, tensor.nbytes)
        with pytest.raises(InvalidFile, match=f"{name} is {type_}"):
            read_config(replace(header, tensors=dict(header.tensors) | {name: wrong}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tokenizer__ggml.model": "llama"}, "tokenizer 'llama/gpt-2'"),
        ({"tokenizer__ggml.pre": "qwen2"}, "tokenizer 'gpt2/qwen2'"),
        ({"tokenizer__ggml.tokens": None}, "ggml.tokens is missing"),
        ({"tokenizer__ggml.tokens": (1, 2)}, "ggml.tokens is missing"),
        ({"tokenizer__ggml.tokens": ("a",) * 380}, "comes twice"),
        ({"tokenizer__ggml.token_type": (1, 1)}, "token_type"),
        ({"tokenizer__ggml.merges": ("a b c",)}, "damaged"),
        ({"tokenizer__ggml.merges": ("no such",)}, "damaged"),
    ],
)
def test_refuses_other_tokenizers_by_name(header: GgufHeader, change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidFile, match=words):
        read_tokenizer(changed(header, **change))
