"""Opening the native engine, its calls and their ends."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from native_engine import TOKENS

from edge_phi import engines
from edge_phi.errors import Cancelled, InvalidCall, InvalidFile, MissingExtra
from edge_phi.runtimes import native, open_runtime
from edge_phi.runtimes.native import NativeRuntime, kernels, library
from edge_phi.store import Artifact


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
    with pytest.raises(InvalidCall, match="there are float16, int8"):
        NativeRuntime(artifact, kv="int4")  # type: ignore[arg-type]


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
