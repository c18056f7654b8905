"""What the native engine does not compute: damaged and hostile files, other processors, too little memory."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_engine import TOKENS

from edge_phi.errors import EdgePhiError, InvalidFile
from edge_phi.gguf_header import read_gguf_header
from edge_phi.runtimes import native
from edge_phi.runtimes.native import NativeRuntime, library, weights
from edge_phi.store import Artifact


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


def test_another_architecture(artifact: Artifact, tmp_path: Path) -> None:
    """Its name and its keys, of the same length."""
    path = tmp_path / "other.q4_0.gguf"
    path.write_bytes(artifact.path.read_bytes().replace(b"phi2", b"gpt2"))
    other = Artifact("other", "gguf", "q4_0", path, tmp_path)
    assert native.open_suited(other) is None
    with pytest.raises(InvalidFile, match="gpt2"):
        NativeRuntime(other)


@settings(max_examples=100)
@given(
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from([0, 1, 127, 128, 255]), st.integers(1, 8)),
        min_size=1,
        max_size=4,
    )
)
def test_a_damaged_file_is_computed_or_refused(
    artifact: Artifact, tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, int, int]]
) -> None:
    """Runs of bytes anywhere in the header, among them lengths, counts and offsets."""
    data = bytearray(artifact.path.read_bytes())
    end = min(tensor.offset for tensor in read_gguf_header(artifact.path).tensors.values())
    for place, value, count in changes:
        at = int(place * end)
        data[at : at + count] = bytes([value]) * count
    path = tmp_path_factory.getbasetemp() / "damaged.q4_0.gguf"
    path.write_bytes(data)
    try:
        runtime = NativeRuntime(Artifact("damaged", "gguf", "q4_0", path, path.parent), threads=1)
    except EdgePhiError as error:
        assert "\n" not in str(error)
        return
    assert runtime.extend([0]).shape == (1, runtime.info.vocab_size)
    runtime.close()


@pytest.mark.parametrize("llama_cpp", [True, False])
def test_a_processor_without_kernels_of_its_own(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch, llama_cpp: bool
) -> None:
    """llama.cpp is faster there; without it the kernels for any processor are better than nothing."""
    monkeypatch.setattr(native, "kernels", lambda: (library.PORTABLE,))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object() if llama_cpp else None)
    runtime = native.open_suited(artifact, threads=1)
    assert (runtime is None) == llama_cpp
    if runtime is not None:
        runtime.close()


def test_too_little_memory_is_an_error_of_one_line(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(weights.np, "zeros", no_memory)
    with pytest.raises(EdgePhiError, match="not enough memory"):
        NativeRuntime(artifact)


def test_too_little_memory_while_packing(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(weights, "pack", no_memory)
    with pytest.raises(EdgePhiError, match="not enough memory to pack"):
        NativeRuntime(artifact)


def test_too_little_memory_for_a_call_leaves_the_cache(
    runtime: NativeRuntime, at_once: npt.NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.extend(TOKENS[:40])
    with monkeypatch.context() as patch:
        patch.setattr(runtime, "_library", SimpleNamespace(phi_forward=lambda *_: library.NO_MEMORY))
        with pytest.raises(EdgePhiError, match="not enough memory for 2 threads"):
            runtime.extend(TOKENS[40:50])
    assert runtime.length == 40
    np.testing.assert_array_equal(runtime.extend(TOKENS[40:50]), at_once[49:50])
