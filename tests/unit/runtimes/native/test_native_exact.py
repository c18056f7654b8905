"""That the native engine computes what its weights say, the same bits whatever way it is asked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_engine import TOKENS, both_caches, gguf
from random_gguf import q4_0_blocks, write_random_gguf

from edge_phi.gguf_header import read_gguf_header
from edge_phi.measure.fidelity import compare_runtimes
from edge_phi.measure.held_out import Windows, held_out_windows
from edge_phi.runtimes.llama_cpp import LlamaCppRuntime
from edge_phi.runtimes.native import NativeRuntime, kernels, library, packing, weights
from edge_phi.store import Artifact, find_model, load_tokenizer_for


@dataclass(frozen=True)
class Reference:
    """What a model should compute, in float64 and with the file's own weights."""

    logits: npt.NDArray[np.float64]  # [tokens, words]
    residual: npt.NDArray[np.float64]  # after the last layer, [tokens, width]
    nearest_tie: npt.NDArray[np.float64]  # of a token's activations: how far from the middle of two codes, [tokens]


def reference(path: Path, tokens: list[int], kv: str) -> Reference:
    """Activations are rounded to int8 in blocks of 32, keys and values to float16 or, head by head, to int8."""
    tensors = {
        tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float64)
        for tensor in gguf.GGUFReader(path).tensors
    }
    header = read_gguf_header(path)
    heads, rotary = (int(header.metadata[f"phi2.{key}"]) for key in ("attention.head_count", "rope.dimension_count"))
    layers, count = int(header.metadata["phi2.block_count"]), len(tokens)
    nearest_tie = np.full(count, np.inf)

    def rounded(blocks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        scale = np.abs(blocks).max(-1, keepdims=True) / 127
        codes = blocks / np.maximum(scale, 1e-30)
        np.minimum(nearest_tie, np.abs(codes % 1 - 0.5).min((1, 2)), out=nearest_tie)
        return np.rint(codes) * scale

    def cached(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return rounded(x) if kv == "int8" else x.astype(np.float16).astype(np.float64)

    def linear(name: str, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return (
            rounded(x.reshape(count, -1, 32)).reshape(x.shape) @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]
        )

    def norm(name: str, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return scaled * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]

    def rotated(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        angle = np.arange(count)[:, None, None] * 10_000.0 ** (-np.arange(0, rotary, 2) / rotary)
        a, b = x[..., : rotary // 2], x[..., rotary // 2 : rotary]
        turned = (a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle))
        return np.concatenate([*turned, x[..., rotary:]], -1)

    x = tensors["token_embd.weight"][tokens]
    for layer in range(layers):
        normal = norm(f"blk.{layer}.attn_norm", x)
        q, k, v = (linear(f"blk.{layer}.attn_qkv", normal).reshape(count, 3, heads, -1)[:, i] for i in range(3))
        k, v = cached(rotated(k)), cached(v)
        scores = np.einsum("ihd,jhd->hij", rotated(q), k) / np.sqrt(q.shape[-1])
        scores[:, np.triu(np.ones((count, count), bool), 1)] = -np.inf
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        attention = np.einsum("hij,jhd->ihd", shares, v).reshape(count, -1)
        up = linear(f"blk.{layer}.ffn_up", normal)
        gelu = up / (1 + np.exp(-2 * np.sqrt(2 / np.pi) * (up + 0.044715 * up**3)))
        x = x + linear(f"blk.{layer}.attn_output", attention) + linear(f"blk.{layer}.ffn_down", gelu)
    return Reference(linear("output", norm("output_norm", x)), x, nearest_tie)


@pytest.mark.parametrize("kv", ["float16", "int8"])
@pytest.mark.parametrize(("width", "inner"), [(256, 1024), (320, 640)])
def test_a_layer_is_exact_where_activations_round_alike(tmp_path: Path, width: int, inner: int, kv: Any) -> None:
    """Rounding can differ only where a token, or one before it, comes within some last bits of the middle."""
    artifact = write_random_gguf(tmp_path / "one.q4_0.gguf", width=width, heads=4, inner=inner, layers=1)
    runtime, random, checked = NativeRuntime(artifact, threads=1, kv=kv), np.random.default_rng(3), 0
    for _ in range(12):
        tokens = random.integers(0, 100, 4)
        x, pages = runtime._weights.embed(tokens), np.zeros(8, np.int32)
        logits = np.empty((4, 100), np.float32)
        given = (x.ctypes.data, 4, 0, pages.ctypes.data, logits.ctypes.data, 4, 1, None)
        assert runtime._library.phi_forward(runtime._engine, *given) == library.OK
        expected = reference(artifact.path, tokens.tolist(), kv)  # `x` is now the residual stream after the layer
        error = np.linalg.norm(x - expected.residual, axis=-1) / np.linalg.norm(expected.residual, axis=-1)
        alike = np.minimum.accumulate(expected.nearest_tie) > 3e-5
        assert (error[alike] < 1e-5).all(), error
        checked += int(alike.sum())
    assert checked >= 16
    runtime.close()


@both_caches
def test_logits_are_those_of_a_float64_reference(artifact: Artifact, at_once: npt.NDArray[np.float32], kv: str) -> None:
    """To the last bits, until an activation a hair from the middle rounds the other way; a float16 head in 8 bits."""
    expected = reference(artifact.path, TOKENS, kv).logits
    error = np.linalg.norm(at_once - expected, axis=-1) / np.linalg.norm(expected, axis=-1)
    exact = read_gguf_header(artifact.path).tensors["output.weight"].type == "Q8_0"
    assert error[:3].max() < (1e-6 if exact else 0.01)
    assert error.max() < 0.02
    assert (at_once.argmax(-1) == expected.argmax(-1)).mean() > 0.97


@pytest.mark.parametrize("type_", ["Q4_0", "Q8_0"])
@pytest.mark.parametrize("name", kernels())
def test_a_product_is_exact_but_for_the_last_bits(name: str, type_: str) -> None:
    """Against float64 for the same int8 activations, for every size of a tile and for several tiles."""
    random = np.random.default_rng(2)
    rows, columns = 48, 4160  # two steps over the columns where there are several tiles
    if type_ == "Q4_0":
        blocks = q4_0_blocks(random, rows, columns, 0.02)
        blocks[0, 2:18], blocks[1, 2:18] = 0, 0xFF  # the largest sums of their signs
    else:
        values = random.integers(-128, 128, (rows, columns // 32, 32)).astype(np.int8)
        values[0], values[1] = -128, 127
        scales = random.uniform(0.01, 0.02, (rows, columns // 32, 1)).astype("<f2")
        blocks = np.concatenate([scales.view(np.uint8), values.view(np.uint8)], -1).reshape(rows, -1)
    matrix = gguf.dequantize(blocks, gguf.GGMLQuantizationType[type_]).astype(np.float64)
    for tokens in (1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 33):
        x = random.normal(0, 1, (tokens, columns)).astype(np.float32)
        x[0] = 1.0  # all activations at the end of their range
        x[:, 64:96] = 0
        y = product(name, blocks, type_, x)
        groups = x.reshape(tokens, -1, 32)
        top = np.abs(groups).max(-1, keepdims=True)
        codes = np.rint(groups * (np.float32(127) / np.maximum(top, np.float32(1e-30))))  # in float32, as the engine
        expected = (codes * (top / np.float32(127)).astype(np.float64)).reshape(tokens, -1) @ matrix.T
        assert np.linalg.norm(y - expected) < 2e-6 * np.linalg.norm(expected)
        if name != kernels()[0]:
            np.testing.assert_array_equal(y, product(kernels()[0], blocks, type_, x))


def product(name: str, blocks: npt.NDArray[np.uint8], type_: str, x: npt.NDArray[np.float32]) -> Any:
    bits, y = 4 if type_ == "Q4_0" else 8, np.empty((len(x), len(blocks)), np.float32)
    shape = (len(blocks) // packing.PANEL_ROWS, x.shape[1] // 64, packing.PAIR_BYTES[bits])
    panels = weights.aligned_memory(math.prod(shape), "panels").reshape(shape)
    packing.pack(type_, blocks, panels, bits)
    status = library.load_library().phi_product(
        name.encode(), panels.ctypes.data, bits, len(blocks), x.shape[1], x.ctypes.data, len(x), y.ctypes.data, 1
    )
    assert status == library.OK
    return y


@both_caches
@pytest.mark.parametrize("name", kernels()[1:])
def test_every_instruction_set_gives_the_same_bits(
    artifact: Artifact, at_once: npt.NDArray[np.float32], kv: Any, name: str
) -> None:
    count = len(TOKENS) if name != library.PORTABLE else 20
    runtime = NativeRuntime(artifact, threads=1, kv=kv, kernels=name)
    np.testing.assert_array_equal(runtime.extend(TOKENS[:count], all_logits=True), at_once[:count])
    runtime.close()


@both_caches
@settings(max_examples=40)
@given(moves=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 70), st.booleans()), min_size=1, max_size=8))
def test_any_chunking_and_rewinding_gives_the_same_bits(
    loaded: NativeRuntime, at_once: npt.NDArray[np.float32], moves: list[tuple[int, int, bool]]
) -> None:
    """Tokens that are then forgotten leave nothing behind, not even in the last bit."""
    loaded.rewind(0)
    for back, count, all_logits in moves:
        loaded.rewind(max(0, loaded.length - back))
        start = loaded.length
        count = min(count, len(TOKENS) - start)
        if count:
            logits = loaded.extend(TOKENS[start : start + count], all_logits=all_logits)
            expected = at_once[start : start + count] if all_logits else at_once[start + count - 1 : start + count]
            np.testing.assert_array_equal(logits, expected)
        if loaded.length < 250:
            loaded.extend([99, 98, 97][: 1 + back % 3])
            loaded.rewind(start + count)


def test_a_prompt_of_several_chunks(artifact: Artifact) -> None:
    """256 tokens are computed at once, and no more fit the context: so the chunk is crossed from the middle."""
    tokens = (TOKENS * 2)[:256]
    one, many = NativeRuntime(artifact, threads=3), NativeRuntime(artifact, threads=1)
    expected = many.extend(tokens[:90], all_logits=True), many.extend(tokens[90:], all_logits=True)
    np.testing.assert_array_equal(one.extend(tokens, all_logits=True), np.concatenate(expected))
    one.close()
    many.close()


@pytest.mark.parametrize("quant", ["q4_0", "q8_0"])
def test_against_llama_cpp_on_the_same_file(tiny_gguf: Callable[[str], Artifact], quant: str) -> None:
    pytest.importorskip("llama_cpp", reason="llama.cpp, of the extra 'gguf', is not installed")
    logits = []
    for engine in (NativeRuntime, LlamaCppRuntime):
        runtime = engine(tiny_gguf(quant), threads=1)
        logits.append(runtime.extend(TOKENS, all_logits=True).astype(np.float64))
        runtime.close()
    ours, theirs = logits
    cosine = (ours * theirs).sum(-1) / np.linalg.norm(ours, axis=-1) / np.linalg.norm(theirs, axis=-1)
    assert cosine.min() > 0.9995
    assert (ours.argmax(-1) == theirs.argmax(-1)).mean() >= 0.97


@pytest.fixture(scope="module")
def nano() -> Artifact:
    return find_model("phi-1-nano").artifact("gguf:q4_0")


@pytest.fixture(scope="module")
def held_out(nano: Artifact) -> Windows:
    return held_out_windows(load_tokenizer_for(nano), 256, 4)


def test_a_trained_model_finds_the_same_tokens_as_in_llama_cpp(nano: Artifact, held_out: Windows) -> None:
    pytest.importorskip("llama_cpp", reason="llama.cpp, of the extra 'gguf', is not installed")
    ours, theirs = NativeRuntime(nano, threads=1), LlamaCppRuntime(nano, threads=1)
    found = compare_runtimes(ours, theirs, held_out)
    assert found.positions == 1020
    assert found.top1 >= 0.97 and found.kl_mean < 0.0005
    ours.close()
    theirs.close()


def test_a_cache_of_int8_costs_little(nano: Artifact, held_out: Windows) -> None:
    """docs/native.md has the figures; here, less than what rounding the activations does."""
    half, whole = NativeRuntime(nano, threads=1, kv="int8"), NativeRuntime(nano, threads=1)
    assert half.cache_bytes_per_token < 0.6 * whole.cache_bytes_per_token
    found = compare_runtimes(half, whole, held_out)
    assert found.top1 >= 0.97 and 0 < found.kl_mean < 0.0002
    half.close()
    whole.close()
