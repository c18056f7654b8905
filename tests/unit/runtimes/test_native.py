from __future__ import annotations

import math
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_phi import engines
from edge_phi.errors import Cancelled, EdgePhiError, InvalidCall, InvalidFile, MissingExtra
from edge_phi.gguf_header import read_gguf_header
from edge_phi.runtimes import native, open_runtime
from edge_phi.runtimes.llama_cpp import LlamaCppRuntime
from edge_phi.runtimes.native import NativeRuntime, kernels, library, packing, weights
from edge_phi.runtimes.native.pages import Pages
from edge_phi.store import Artifact

gguf = pytest.importorskip("gguf", reason="the gguf package, of the extra 'convert', is not installed")
from random_gguf import q4_0_blocks, write_random_gguf  # noqa: E402

if not engines.NATIVE_LIBRARY.is_file():
    pytest.skip("the native engine was not built: there was no compiler", allow_module_level=True)

TOKENS = np.random.default_rng(1).integers(0, 100, 200).tolist()


# The second: heads of 80 as phi-2's, two of which make whole blocks; rows of the head that fill no whole panel.
@pytest.fixture(
    scope="module", params=[(256, 4, 1024, "Q8_0"), (320, 4, 640, "F16")], ids=["heads of 64", "heads of 80"]
)
def artifact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    width, heads, inner, head = request.param
    path = tmp_path_factory.mktemp("native") / "random.q4_0.gguf"
    return write_random_gguf(path, width=width, heads=heads, inner=inner, head=head)


@pytest.fixture(scope="module")
def loaded(artifact: Artifact) -> Iterator[NativeRuntime]:
    runtime = NativeRuntime(artifact, threads=2)
    yield runtime
    runtime.close()


@pytest.fixture(scope="module")
def at_once(artifact: Artifact) -> npt.NDArray[np.float32]:
    """Logits of all tokens in one call on one thread."""
    runtime = NativeRuntime(artifact, threads=1)
    logits = runtime.extend(TOKENS, all_logits=True)
    runtime.close()
    assert logits.shape == (len(TOKENS), 100)
    return logits


@pytest.fixture
def runtime(loaded: NativeRuntime) -> NativeRuntime:
    loaded.rewind(0)
    return loaded


@dataclass(frozen=True)
class Reference:
    """What a model should compute, in float64 and with the file's own weights."""

    logits: npt.NDArray[np.float64]  # [tokens, words]
    residual: npt.NDArray[np.float64]  # after the last layer, [tokens, width]
    nearest_tie: npt.NDArray[np.float64]  # of a token's activations: how far from the middle of two codes, [tokens]


def reference(path: Path, tokens: list[int]) -> Reference:
    """Activations are rounded to int8 in blocks of 32, keys and values to float16, as specified."""
    tensors = {
        tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float64)
        for tensor in gguf.GGUFReader(path).tensors
    }
    header = read_gguf_header(path)
    heads, rotary = (int(header.metadata[f"phi2.{key}"]) for key in ("attention.head_count", "rope.dimension_count"))
    layers, count = int(header.metadata["phi2.block_count"]), len(tokens)
    nearest_tie = np.full(count, np.inf)

    def rounded(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        blocks = x.reshape(count, -1, 32)
        scale = np.abs(blocks).max(-1, keepdims=True) / 127
        codes = blocks / np.maximum(scale, 1e-30)
        np.minimum(nearest_tie, np.abs(codes % 1 - 0.5).min((1, 2)), out=nearest_tie)
        return (np.rint(codes) * scale).reshape(x.shape)

    def linear(name: str, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return rounded(x) @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]

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
        k, v = (part.astype(np.float16).astype(np.float64) for part in (rotated(k), v))
        scores = np.einsum("ihd,jhd->hij", rotated(q), k) / np.sqrt(q.shape[-1])
        scores[:, np.triu(np.ones((count, count), bool), 1)] = -np.inf
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        attention = np.einsum("hij,jhd->ihd", shares, v).reshape(count, -1)
        up = linear(f"blk.{layer}.ffn_up", normal)
        gelu = up / (1 + np.exp(-2 * np.sqrt(2 / np.pi) * (up + 0.044715 * up**3)))
        x = x + linear(f"blk.{layer}.attn_output", attention) + linear(f"blk.{layer}.ffn_down", gelu)
    return Reference(linear("output", norm("output_norm", x)), x, nearest_tie)


@pytest.mark.parametrize(("width", "inner"), [(256, 1024), (320, 640)])
def test_a_layer_is_exact_where_activations_round_alike(tmp_path: Path, width: int, inner: int) -> None:
    """Rounding can differ only where a token, or one before it, comes within some last bits of the middle."""
    artifact = write_random_gguf(tmp_path / "one.q4_0.gguf", width=width, heads=4, inner=inner, layers=1)
    runtime, random, checked = NativeRuntime(artifact, threads=1), np.random.default_rng(3), 0
    for _ in range(12):
        tokens = random.integers(0, 100, 4)
        x, pages = runtime._weights.embed(tokens), np.zeros(8, np.int32)
        logits = np.empty((4, 100), np.float32)
        given = (x.ctypes.data, 4, 0, pages.ctypes.data, logits.ctypes.data, 4, 1, None)
        assert runtime._library.phi_forward(runtime._engine, *given) == library.OK
        expected = reference(artifact.path, tokens.tolist())  # `x` is now the residual stream after the layer
        error = np.linalg.norm(x - expected.residual, axis=-1) / np.linalg.norm(expected.residual, axis=-1)
        alike = np.minimum.accumulate(expected.nearest_tie) > 3e-5
        assert (error[alike] < 1e-5).all(), error
        checked += int(alike.sum())
    assert checked >= 16
    runtime.close()


def test_logits_are_those_of_a_float64_reference(artifact: Artifact, at_once: npt.NDArray[np.float32]) -> None:
    """To the last bits, until an activation a hair from the middle rounds the other way; a float16 head in 8 bits."""
    expected = reference(artifact.path, TOKENS).logits
    error = np.linalg.norm(at_once - expected, axis=-1) / np.linalg.norm(expected, axis=-1)
    exact = read_gguf_header(artifact.path).tensors["output.weight"].type == "Q8_0"
    assert error[:4].max() < (1e-6 if exact else 0.01)
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


@pytest.mark.parametrize("name", kernels()[1:])
def test_every_instruction_set_gives_the_same_bits(
    artifact: Artifact, at_once: npt.NDArray[np.float32], name: str
) -> None:
    count = len(TOKENS) if name != library.PORTABLE else 20
    runtime = NativeRuntime(artifact, threads=1, kernels=name)
    np.testing.assert_array_equal(runtime.extend(TOKENS[:count], all_logits=True), at_once[:count])
    runtime.close()


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


def test_info_and_the_engine_that_is_opened(
    tiny_gguf: Callable[[str], Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("llama_cpp", reason="llama.cpp, of the extra 'gguf', is not installed")
    monkeypatch.delenv(engines.VARIABLE, raising=False)
    if kernels()[0] == library.PORTABLE:
        pytest.skip("no kernels for this processor: llama.cpp is the faster engine")

    def opened(artifact: Artifact) -> str:
        runtime = open_runtime(artifact, threads=1)
        runtime.close()
        return runtime.info.engine

    artifact = tiny_gguf("q4_0")
    assert (artifact.engine, opened(artifact)) == ("native", "native")
    assert opened(tiny_gguf("q4_k_m")) == "llama_cpp"
    misnamed = Artifact("tiny", "gguf", "q4_0", tmp_path / "misnamed.q4_0.gguf", artifact.folder)
    shutil.copy(tiny_gguf("q4_k_m").path, misnamed.path)
    assert opened(misnamed) == "llama_cpp"
    monkeypatch.setenv(engines.VARIABLE, "llama_cpp")
    assert (artifact.engine, opened(artifact)) == ("llama_cpp", "llama_cpp")
    monkeypatch.setenv(engines.VARIABLE, "native")
    assert opened(tiny_gguf("q8_0")) == "native"
    with pytest.raises(InvalidFile, match="Q4_0 and Q8_0"):
        open_runtime(misnamed)
    monkeypatch.setenv(engines.VARIABLE, "vllm")
    with pytest.raises(InvalidCall, match="vllm"):
        open_runtime(artifact)


def test_without_the_library(
    tiny_gguf: Callable[[str], Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.load_library.cache_clear()
    monkeypatch.setattr(library, "NATIVE_LIBRARY", tmp_path / "engine.so")
    with pytest.raises(MissingExtra, match="was not built"):
        NativeRuntime(tiny_gguf("q4_0"))
    assert native.open_suited(tiny_gguf("q4_0")) is None
    (tmp_path / "engine.so").write_bytes(b"no library")
    with pytest.raises(MissingExtra, match="does not load"):
        NativeRuntime(tiny_gguf("q4_0"))


class JoinedThread(threading.Thread):
    """Has said all it has to say before `start` returns."""

    def start(self) -> None:
        super().start()
        self.join()


class CancelledInsideTheCall(threading.Event):
    """Set for the watcher only: what stops the call is the flag that the engine reads."""

    def wait(self, timeout: float | None = None) -> bool:
        return True


def test_cancel_stops_a_call_and_leaves_the_cache(
    runtime: NativeRuntime, at_once: npt.NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "_SHORT_BYTES", 0)
    runtime.extend(TOKENS[:20])
    with monkeypatch.context() as patch:
        patch.setattr(threading, "Thread", JoinedThread)
        with pytest.raises(Cancelled):
            runtime.extend(TOKENS[:100][::-1], cancel=CancelledInsideTheCall())
    assert runtime.length == 20
    event = threading.Event()
    np.testing.assert_array_equal(runtime.extend(TOKENS[20:60], cancel=event)[0], at_once[59])
    event.set()
    with pytest.raises(Cancelled):
        runtime.extend(TOKENS[60:70], cancel=event)
    assert runtime.length == 60


def test_calls_it_refuses(runtime: NativeRuntime, artifact: Artifact) -> None:
    for tokens in ([], [100], [-1], [0] * 257):
        with pytest.raises(InvalidCall):
            runtime.extend(tokens)
    for length in (-1, 1):
        with pytest.raises(InvalidCall):
            runtime.rewind(length)
    runtime.extend([0] * 256)  # the whole context
    with pytest.raises(InvalidCall, match=r"256 \+ 1 tokens"):
        runtime.extend([0])
    with pytest.raises(InvalidCall, match="0 threads"):
        NativeRuntime(artifact, threads=0)
    with pytest.raises(InvalidCall, match=r"there are .*portable"):
        NativeRuntime(artifact, kernels="mmx")


def test_the_engine_itself_refuses_what_the_runtime_would(runtime: NativeRuntime) -> None:
    """Its C interface is checked without the Python above it."""
    x, logits = np.zeros(320, np.float32), np.empty(300, np.float32)

    def status(count: int, position: int, rows: int, threads: int, page: int = 0) -> int:
        pages = np.full(8, page, np.int32)
        call = (x.ctypes.data, count, position, pages.ctypes.data, logits.ctypes.data, rows, threads, None)
        return int(runtime._library.phi_forward(runtime._engine, *call))

    assert status(1, 0, 1, 1) == library.OK
    for call in (
        (0, 0, 0, 1), (1, -1, 1, 1), (1, 256, 1, 1), (1, 2**31 - 1, 1, 1), (1, 0, 2, 1), (1, 0, 1, 0),
        (1, 0, 1, 1, -1), (1, 0, 1, 1, 2**20),
    ):  # fmt: skip
        assert status(*call) == library.INVALID, call


def test_close_ends_its_threads_and_use_after_it_is_refused(artifact: Artifact) -> None:
    def threads() -> set[str]:
        return {task.name for task in Path("/proc/self/task").iterdir()} if sys.platform == "linux" else set()

    runtime = NativeRuntime(artifact, threads=4)
    before = threads()
    runtime.extend(TOKENS)
    own = threads() - before
    assert sys.platform != "linux" or len(own) == 3
    runtime.close()
    assert not threads() & own
    runtime.close()
    with pytest.raises(InvalidCall, match="closed"):
        runtime.extend([1])
    with pytest.raises(InvalidCall, match="closed"):
        runtime.rewind(0)


def test_sequences_share_what_they_have_in_common(
    runtime: NativeRuntime, at_once: npt.NDArray[np.float32], artifact: Artifact
) -> None:
    """Back from elsewhere, nothing that was computed is computed again: not after an edit, nor in another file."""
    edited = [*TOKENS[:100], *TOKENS[150:190]]
    runtime.extend(TOKENS)
    assert (runtime.reuse(edited), runtime.length) == (100, 100)
    there = runtime.extend(edited[100:])
    assert runtime.reuse(TOKENS[10:]) == 0
    runtime.extend(TOKENS[10:60])
    assert runtime.reuse(TOKENS[:199]) == 199
    np.testing.assert_array_equal(runtime.extend(TOKENS[199:])[0], at_once[199])
    assert runtime.reuse(TOKENS[10:]) == 50
    assert runtime.reuse(edited[:-1]) == len(edited) - 1
    np.testing.assert_array_equal(runtime.extend(edited[-1:]), there)
    alone = NativeRuntime(artifact, threads=1)
    np.testing.assert_array_equal(alone.extend(edited), there)
    alone.close()


def test_only_a_page_is_left_out_for_want_of_room(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one page to spare the sequence that is computed takes those of others, the oldest first; a whole fits."""
    monkeypatch.setattr(native, "_SPARE_BYTES", 0)
    runtime = NativeRuntime(artifact, threads=1)
    for first in range(5):
        runtime.rewind(0)
        runtime.extend([first] * 256)
    assert [runtime.reuse([first] * 256) for first in (0, 3, 4)] == [0, 32, 256]
    runtime.close()


def test_a_snapshot_is_as_good_as_reading_again(
    runtime: NativeRuntime, at_once: npt.NDArray[np.float32], artifact: Artifact
) -> None:
    runtime.extend(TOKENS[:75])
    state = runtime.snapshot()
    other = NativeRuntime(artifact, threads=1)
    other.extend(TOKENS[:40])  # a page of it is known, and one holds only some of what is restored
    other.extend([7, 7, 7])
    other.restore(state, 75)
    assert (other.length, other.snapshot()[: 4 * 75]) == (75, state[: 4 * 75])
    np.testing.assert_array_equal(other.extend(TOKENS[75:90], all_logits=True), at_once[75:90])
    assert other.reuse(TOKENS) == 90
    hostile = np.full(75, 100, np.int32).tobytes() + state[4 * 75 :]
    for damaged, length in ((state[:-1], 75), (state, 74), (state, 0), (b"", 75), (hostile, 75), (state, 300)):
        with pytest.raises(InvalidFile):
            other.restore(damaged, length)
        assert other.length == 0
    other.close()


@settings(max_examples=60)
@given(
    moves=st.lists(
        st.tuples(st.sampled_from(["rewind", "reuse", "extend", "fail"]), st.integers(0, 40), st.integers(0, 3)),
        min_size=1,
        max_size=40,
    )
)
def test_pages_hold_what_a_cache_without_sharing_would(moves: list[tuple[str, int, int]]) -> None:
    """Each page's contents are written down beside it: what the sequence's pages hold is always its own tokens."""
    size, longest = 4, 8
    contents = [[-1] * size for _ in range(longest + 2)]

    def copy(number: int, to: int) -> None:
        contents[to] = list(contents[number])

    pages = Pages(size, longest, 2, copy)
    tokens: list[int] = []
    for move, number, token in moves:
        if move == "rewind":
            del tokens[min(number, len(tokens)) :]
            pages.rewind(len(tokens))
        elif move == "reuse":
            wanted = [*tokens[: number % 20], *[token] * (number % 5)]
            tokens = wanted[: pages.reuse(wanted)]
        else:
            new = [(token + i // 3) % 3 for i in range(number % 9)][: size * longest - len(tokens)]
            pages.reserve(new)
            for i, value in enumerate(new, len(tokens)):
                contents[pages.table[i // size]][i % size] = value
            if move == "extend":
                pages.keep(new)
                tokens += new
            else:
                pages.rewind(len(tokens))
        assert pages.length == len(tokens)
        numbers = pages.table[: -(-len(tokens) // size)].tolist()
        assert len(set(numbers)) == len(numbers)
        assert [value for number in numbers for value in contents[number]][: len(tokens)] == tokens
        if tokens:
            assert pages.reuse(tokens) == len(tokens)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_computes_with_threads_of_its_own(
    runtime: NativeRuntime, at_once: npt.NDArray[np.float32]
) -> None:
    runtime.extend(TOKENS[:50])
    child = os.fork()
    if child == 0:
        same = np.array_equal(runtime.extend(TOKENS[50:60], all_logits=True), at_once[50:60])
        runtime.close()
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(runtime.extend(TOKENS[50:60], all_logits=True), at_once[50:60])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, in which small models are kept too."""
    monkeypatch.setattr(weights, "_CACHED_FROM_BYTES", 0)
    monkeypatch.setattr(weights.platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))
    return tmp_path / "cache" / "native"


def logits_of(artifact: Artifact) -> npt.NDArray[np.float32]:
    runtime = NativeRuntime(artifact, threads=1)
    logits = runtime.extend(TOKENS[:10], all_logits=True)
    runtime.close()
    return logits


def test_the_second_start_maps_what_the_first_has_packed(
    artifact: Artifact, at_once: npt.NDArray[np.float32], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.testing.assert_array_equal(logits_of(artifact), at_once[:10])
    (kept,) = cache.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(weights, "pack", None)
        np.testing.assert_array_equal(logits_of(artifact), at_once[:10])
    for damage in (b"", b"\0" * kept.stat().st_size, kept.read_bytes()[:-1], b"[]".ljust(kept.stat().st_size)):
        kept.write_bytes(damage)
        np.testing.assert_array_equal(logits_of(artifact), at_once[:10])
        assert kept.stat().st_size > len(damage) or damage[:1] not in kept.read_bytes()[:1]


def test_another_file_under_the_same_name_is_packed_anew_and_orphans_go(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "model.q4_0.gguf"
    artifact = write_random_gguf(path, width=256, heads=4, inner=512)
    first = logits_of(artifact)
    stat = path.stat()
    data = bytearray(path.read_bytes())
    header = read_gguf_header(path)
    at = header.tensors["output.bias"].offset
    data[at : at + 4] = np.float32(100).tobytes()
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # the same size and time
    second = logits_of(artifact)
    assert (second[:, 0] > 90).all()
    np.testing.assert_array_equal(second[:, 1:], first[:, 1:])
    path.unlink()
    other = write_random_gguf(tmp_path / "other.q4_0.gguf", width=256, heads=4, inner=512)
    logits_of(other)
    assert [kept.name.split("-")[0] for kept in cache.iterdir()] == ["other.q4_0"]


def test_a_cache_that_cannot_be_written_is_gone_without(
    artifact: Artifact, at_once: npt.NDArray[np.float32], cache: Path
) -> None:
    cache.parent.write_text("a file where the folder would be")
    np.testing.assert_array_equal(logits_of(artifact), at_once[:10])


@settings(max_examples=200)
@given(data=st.data())
def test_no_geometry_is_believed(artifact: Artifact, data: st.DataObject) -> None:
    """Out of bounds is refused before anything is sized by it; what is accepted has a sensible size."""
    geometry = weights.geometry_of(read_gguf_header(artifact.path))
    assert geometry is not None
    for name in data.draw(st.lists(st.sampled_from([name for name, _ in library.Geometry._fields_]), max_size=3)):
        value = data.draw(st.sampled_from([0, -1, 1, 2, 7, 16, 64, 2**16, 2**31 - 1, -(2**31)]))
        setattr(geometry, name, value)
    plan = library.plan_of(geometry)
    assert plan is None or 0 < plan.total < 2**50


def test_files_it_does_not_compute(tiny_gguf: Callable[[str], Artifact], artifact: Artifact, tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="Q4_0 and Q8_0"):
        NativeRuntime(tiny_gguf("f32"))
    path = tmp_path / "cut.q4_0.gguf"
    data = artifact.path.read_bytes()
    for kept in (0, 20, 1000, len(data) // 2, len(data) - 100):
        path.write_bytes(data[:kept])
        with pytest.raises(InvalidFile, match=r"cut\.q4_0\.gguf") as caught:
            NativeRuntime(Artifact("cut", "gguf", "q4_0", path, tmp_path))
        assert "\n" not in str(caught.value)


def test_too_little_memory_is_an_error_of_one_line(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(weights.np, "zeros", no_memory)
    with pytest.raises(EdgePhiError, match="not enough memory"):
        NativeRuntime(artifact)
