from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from edge_phi import runtimes
from edge_phi.errors import Cancelled, InvalidCall, InvalidFile, MissingExtra
from edge_phi.runtimes import llama_cpp, open_runtime
from edge_phi.runtimes.llama_cpp import LlamaCppRuntime, load_llama_cpp
from edge_phi.store import Artifact

pytest.importorskip("llama_cpp", reason="llama.cpp, of the extra 'gguf', is not installed")

TOKENS = np.random.default_rng(1).integers(0, 380, 300).tolist()


@pytest.fixture(scope="module", params=["f32", "q4_0"])
def loaded(request: pytest.FixtureRequest, tiny_gguf: Callable[[str], Artifact]) -> Iterator[LlamaCppRuntime]:
    runtime = LlamaCppRuntime(tiny_gguf(request.param), threads=1)
    yield runtime
    runtime.close()


@pytest.fixture
def runtime(loaded: LlamaCppRuntime) -> LlamaCppRuntime:
    loaded.rewind(0)
    return loaded


def tolerance(runtime: LlamaCppRuntime) -> float:
    """Of logits that spread over about 1.6: llama.cpp rounds activations to float16 or int8 on the way."""
    return 0.02 if runtime.info.quant == "f32" else 0.2


def test_info_says_what_is_loaded(
    tiny_gguf: Callable[[str], Artifact], runtime: LlamaCppRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_PHI_GGUF_ENGINE", "llama_cpp")
    artifact = tiny_gguf(runtime.info.quant)
    info = runtime.info
    assert (info.engine, info.vocab_size, info.context_length, info.threads) == ("llama_cpp", 380, 512, 1)
    assert info.file_bytes == artifact.path.stat().st_size
    opened = open_runtime(artifact)
    assert isinstance(opened, LlamaCppRuntime)
    assert opened.info.threads >= 1
    opened.close()


def test_any_chunking_gives_the_same_logits(runtime: LlamaCppRuntime) -> None:
    at_once = runtime.extend(TOKENS, all_logits=True)
    assert at_once.shape == (len(TOKENS), 380)
    assert at_once.dtype == np.float32
    assert runtime.length == len(TOKENS)
    for size in (1, 3, 100):
        runtime.rewind(200)
        parts = [runtime.extend(TOKENS[i : i + size], all_logits=True) for i in range(200, 300, size)]
        np.testing.assert_allclose(np.concatenate(parts), at_once[200:], atol=tolerance(runtime))
    runtime.rewind(0)
    last = runtime.extend(TOKENS)
    assert last.shape == (1, 380)
    np.testing.assert_allclose(last, at_once[-1:], atol=tolerance(runtime))


def test_drafts_are_scored_as_single_tokens_are(runtime: LlamaCppRuntime) -> None:
    """Speculation may change nothing: a few tokens at once and one by one agree far closer than two words differ."""
    runtime.extend(TOKENS[:50])
    together = runtime.extend(TOKENS[50:58], all_logits=True)
    runtime.rewind(50)
    singly = np.concatenate([runtime.extend([token]) for token in TOKENS[50:58]])
    np.testing.assert_allclose(singly, together, atol=0.01)
    assert (singly.argmax(-1) == together.argmax(-1)).all()


def test_a_prompt_longer_than_a_batch(tiny_gguf: Callable[[str], Artifact], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = LlamaCppRuntime(tiny_gguf("f32"), threads=1)
    expected = whole.extend(TOKENS, all_logits=True)
    whole.close()
    monkeypatch.setattr(llama_cpp, "_CHUNK", 64)
    monkeypatch.setattr(llama_cpp, "_ROWS", 7)
    small = LlamaCppRuntime(tiny_gguf("f32"), threads=1)
    np.testing.assert_allclose(small.extend(TOKENS), expected[-1:], atol=0.02)
    small.rewind(0)
    np.testing.assert_allclose(small.extend(TOKENS, all_logits=True), expected, atol=0.02)
    small.close()


def test_after_a_rewind_other_tokens_count_and_the_forgotten_do_not(runtime: LlamaCppRuntime) -> None:
    fresh = runtime.extend(TOKENS[:40] + TOKENS[100:120])
    runtime.rewind(0)
    runtime.extend(TOKENS[:90])
    runtime.rewind(40)
    assert runtime.length == 40
    np.testing.assert_allclose(runtime.extend(TOKENS[100:120]), fresh, atol=tolerance(runtime))
    runtime.rewind(60)  # to where it is: nothing happens
    assert runtime.length == 60


class CancelledInsideTheCall(threading.Event):
    """Set for the watcher only, and not before it had its say: what stops the call is then the abort callback."""

    def wait(self, timeout: float | None = None) -> bool:
        return True

    def is_set(self) -> bool:
        for thread in threading.enumerate():
            if thread.name == "llama.cpp cancel":
                thread.join()
        return False


def test_cancel_stops_a_prefill_inside_a_chunk_and_leaves_the_cache(runtime: LlamaCppRuntime) -> None:
    runtime.extend(TOKENS[:20])
    with pytest.raises(Cancelled):
        runtime.extend(TOKENS[20:], cancel=CancelledInsideTheCall())
    assert runtime.length == 20
    after = runtime.extend(TOKENS[20:30])
    runtime.rewind(0)
    np.testing.assert_allclose(after, runtime.extend(TOKENS[:30]), atol=tolerance(runtime))


def test_a_token_of_a_large_model_is_stopped_too(runtime: LlamaCppRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime.extend(TOKENS[:20])
    expected = runtime.extend(TOKENS[20:21])
    runtime.rewind(20)
    monkeypatch.setattr(runtimes, "_SLOW_BYTES", 0)
    with pytest.raises(Cancelled):
        runtime.extend(TOKENS[20:21], cancel=CancelledInsideTheCall())
    assert runtime.length == 20
    np.testing.assert_array_equal(runtime.extend(TOKENS[20:21]), expected)


def test_a_large_model_that_may_be_cancelled_reads_a_prompt_in_short_steps(
    runtime: LlamaCppRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, counts = runtime._decode, []

    def counted(tokens: Sequence[int], rows: int) -> None:
        counts.append(len(tokens))
        decode(tokens, rows)

    monkeypatch.setattr(runtime, "_decode", counted)
    whole = runtime.extend(TOKENS[:100], cancel=threading.Event())
    runtime.rewind(0)
    monkeypatch.setattr(runtimes, "_STEP_BYTES", 40 * runtime.info.file_bytes)
    parts = runtime.extend(TOKENS[:100], cancel=threading.Event())
    assert counts == [100, 40, 40, 20]
    np.testing.assert_allclose(parts, whole, atol=tolerance(runtime))


def test_an_event_set_before_or_never_set(runtime: LlamaCppRuntime) -> None:
    event = threading.Event()
    runtime.extend(TOKENS[:20], cancel=event)
    event.set()
    for tokens in (TOKENS[20:21], TOKENS[20:40]):
        with pytest.raises(Cancelled):
            runtime.extend(tokens, cancel=event)
    assert runtime.length == 20


def test_calls_it_refuses(runtime: LlamaCppRuntime, tiny_gguf: Callable[[str], Artifact]) -> None:
    for tokens in ([], [380], [-1], [0] * 513):
        with pytest.raises(InvalidCall):
            runtime.extend(tokens)
    for length in (-1, 1):
        with pytest.raises(InvalidCall):
            runtime.rewind(length)
    runtime.extend([0] * 512)  # the whole context
    with pytest.raises(InvalidCall, match="512 \\+ 1 tokens"):
        runtime.extend([0])
    with pytest.raises(InvalidCall, match="0 threads"):
        LlamaCppRuntime(tiny_gguf("f32"), threads=0)


def test_close_twice_and_use_after(tiny_gguf: Callable[[str], Artifact]) -> None:
    runtime = LlamaCppRuntime(tiny_gguf("q4_0"))
    runtime.close()
    runtime.close()
    with pytest.raises(InvalidCall, match="closed"):
        runtime.extend([1])
    with pytest.raises(InvalidCall, match="closed"):
        runtime.rewind(0)


def test_nothing_is_printed(tiny_gguf: Callable[[str], Artifact], capfd: pytest.CaptureFixture[str]) -> None:
    artifact = tiny_gguf("q4_0")
    capfd.readouterr()
    runtime = LlamaCppRuntime(artifact, threads=1)
    runtime.extend(TOKENS)
    runtime.close()
    assert capfd.readouterr() == ("", "")


def damaged(artifact: Artifact, path: Path) -> Artifact:
    return Artifact(artifact.model, "gguf", artifact.quant, path, artifact.folder)


def test_truncated_files(tiny_gguf: Callable[[str], Artifact], tmp_path: Path) -> None:
    artifact = tiny_gguf("q4_0")
    data = artifact.path.read_bytes()
    path = tmp_path / "cut.q4_0.gguf"
    for kept in (0, 3, 20, 100, 5_000, 9_000, len(data) // 2, len(data) - 40):
        path.write_bytes(data[:kept])
        with pytest.raises(InvalidFile, match=r"cut\.q4_0\.gguf") as caught:
            LlamaCppRuntime(damaged(artifact, path))
        assert "\n" not in str(caught.value)


def test_a_folder_or_nothing_in_its_place(tiny_gguf: Callable[[str], Artifact], tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.gguf"):
        with pytest.raises(InvalidCall, match="GGUF file"):
            LlamaCppRuntime(damaged(tiny_gguf("q4_0"), path))


def test_what_llama_cpp_itself_refuses(
    tiny_gguf: Callable[[str], Artifact], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The header is sound and every tensor is there, but llama.cpp wants one less: its words end up in ours."""
    gguf = pytest.importorskip("gguf")
    artifact = tiny_gguf("f32")
    path = tmp_path / "more.f32.gguf"
    shutil.copy(artifact.path, path)
    reader = gguf.GGUFReader(artifact.path)
    writer = gguf.GGUFWriter(path, "phi2")
    for field in reader.fields.values():
        if field.name.startswith(("phi2.", "tokenizer.ggml.model")):
            writer.add_key_value(field.name, field.contents(), field.types[0])
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data)
    writer.add_tensor("blk.0.unheard_of.weight", np.zeros(32, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    capfd.readouterr()
    with pytest.raises(InvalidFile, match="wrong number of tensors"):
        LlamaCppRuntime(damaged(artifact, path))
    assert capfd.readouterr() == ("", "")


def test_without_llama_cpp_the_message_says_what_it_takes(
    tiny_gguf: Callable[[str], Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = tiny_gguf("f32")
    load_llama_cpp.cache_clear()
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(MissingExtra, match=r"edge-phi\[gguf\].*compiler and CMake.*six minutes"):
        LlamaCppRuntime(artifact, threads=1)
