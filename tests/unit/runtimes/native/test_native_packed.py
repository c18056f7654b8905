"""Packed weights: kept, found again, thrown away."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from native_engine import TOKENS
from random_gguf import write_random_gguf

from edge_phi.gguf_header import read_gguf_header
from edge_phi.runtimes.native import NativeRuntime, weights
from edge_phi.store import Artifact


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
        NativeRuntime(artifact, threads=1, kv="int8").close()  # of the same weights
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
