"""What was read is kept on disk, and whatever lies there is doubted."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import numpy as np
import pytest
from conftest import SAMPLE_TEXT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_phi.completion import session as sessions
from edge_phi.completion import snapshots
from edge_phi.completion.decode import DecodeSettings
from edge_phi.completion.session import Session
from edge_phi.completion.snapshots import SnapshotFolder, snapshot_key
from edge_phi.errors import InvalidFile
from edge_phi.runtimes import Snapshots, open_runtime
from edge_phi.store import Artifact
from edge_phi.tokenizer import load_tokenizer

KEY = snapshot_key(("model", 5))
TOKENS = list(range(200))


@pytest.fixture
def folder(tmp_path: Path) -> SnapshotFolder:
    return SnapshotFolder(KEY, tmp_path / "snapshots")


def test_the_longest_beginning_is_found_and_read_as_it_was_saved(folder: SnapshotFolder, tmp_path: Path) -> None:
    assert folder.find(TOKENS, 0) is None
    assert folder.save(TOKENS[:100], b"short") and folder.save([*TOKENS[:150], 7], b"long")
    found = SnapshotFolder(KEY, tmp_path / "snapshots").find(TOKENS, 10)
    assert found is not None and found.tokens == (*TOKENS[:150], 7)
    assert folder.read(found) == b"long"
    assert folder.find(TOKENS, 150) is None
    assert SnapshotFolder(snapshot_key(("other", 5)), tmp_path / "snapshots").find(TOKENS, 0) is None


def test_nobody_else_can_look_into_it(folder: SnapshotFolder, tmp_path: Path) -> None:
    folder.save(TOKENS, b"state")
    assert stat.S_IMODE((tmp_path / "snapshots").stat().st_mode) == 0o700


def test_those_used_longest_ago_go_first(
    folder: SnapshotFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "MAX_BYTES", 4000)
    for number in range(3):
        assert folder.save([number] * 100, bytes(1000))
        found = folder.find([number] * 100, 0)
        assert found is not None
        os.utime(found.path, (number, number))
    oldest = folder.find([0] * 100, 0)
    assert oldest is None, "three do not fit"
    second = folder.find([1] * 100, 0)
    assert second is not None
    folder.read(second)  # used just now
    assert folder.save([3] * 100, bytes(1000))
    assert folder.find([1] * 100, 0) is not None and folder.find([2] * 100, 0) is None
    assert not folder.save([4] * 100, bytes(3000)), "one alone may not take most of the room"


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_file_is_never_believed(tmp_path: Path, data: st.DataObject) -> None:
    folder = SnapshotFolder(KEY, tmp_path / "changed")
    folder.save(TOKENS, b"the state" * 20)
    (path,) = (tmp_path / "changed").iterdir()
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    kind = data.draw(st.sampled_from(["flip", "cut", "more", "other"]))
    if kind == "flip":
        changed = whole[:place] + bytes([whole[place] ^ (1 << data.draw(st.integers(0, 7)))]) + whole[place + 1 :]
    else:
        changed = {"cut": whole[:place], "more": whole + b"x", "other": data.draw(st.binary(max_size=300))}[kind]
    path.write_bytes(changed)
    found = SnapshotFolder(KEY, tmp_path / "changed").find(TOKENS, 0)
    if found is not None:
        with pytest.raises(InvalidFile):
            folder.read(found)
        assert not path.exists()
    path.unlink(missing_ok=True)


@pytest.fixture(params=["onnx:float32", "onnx:int4", "gguf:f32", "gguf:q4_0"])
def artifact(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Artifact:
    kind, _, quant = request.param.partition(":")
    if kind == "gguf":
        pytest.importorskip("llama_cpp", reason="llama.cpp, of the extra 'gguf', is not installed")
        monkeypatch.setenv("EDGE_PHI_GGUF_ENGINE", "llama_cpp")
    made: Artifact = request.getfixturevalue(f"tiny_{kind}")(quant)
    return made


def test_an_engine_goes_on_from_its_snapshot_as_if_nothing_had_happened(artifact: Artifact) -> None:
    tokens = [int(token) for token in np.random.default_rng(0).integers(0, 380, 60)]
    runtime = open_runtime(artifact, threads=1)
    assert isinstance(runtime, Snapshots)
    runtime.extend(tokens[:40])
    state = runtime.snapshot()
    expected = runtime.extend(tokens[40:], all_logits=True)
    runtime.rewind(3)
    runtime.extend(tokens[::-1])
    runtime.restore(state, 40)
    assert runtime.length == 40
    assert np.array_equal(runtime.extend(tokens[40:], all_logits=True), expected)
    runtime.rewind(20)  # and back into it
    assert np.allclose(runtime.extend(tokens[20:], all_logits=True)[20:], expected, atol=2e-2)
    other = open_runtime(artifact, threads=1)
    other.restore(state, 40)
    assert np.array_equal(other.extend(tokens[40:], all_logits=True), expected)


def test_an_engine_refuses_what_is_no_snapshot_and_can_be_used_on(artifact: Artifact) -> None:
    runtime = open_runtime(artifact, threads=1)
    assert isinstance(runtime, Snapshots)
    expected = runtime.extend([1, 2, 3, 4])
    state = runtime.snapshot()
    for wrong, length in (
        (state[:-1], 4), (state + b"x", 4), (b"", 4), (state, 3), (state, 5), (state, 0), (b"\xff" * len(state), 4),
        (bytes(1000), 4),
    ):  # fmt: skip
        if wrong == b"\xff" * len(state) and artifact.format == "onnx":
            continue  # numbers are numbers: what protects them is the file's own hash
        with pytest.raises(InvalidFile):
            runtime.restore(wrong, length)
        assert runtime.length == 0
        assert np.array_equal(runtime.extend([1, 2, 3, 4]), expected)


def test_a_file_opened_again_is_not_read_again(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_WORTH_KEEPING", 32)
    tokenizer, settings_ = load_tokenizer(artifact.folder), DecodeSettings(max_tokens=8)
    keep = SnapshotFolder(KEY, tmp_path)
    opened: list[Session] = []

    def session(folder: SnapshotFolder | None) -> Session:
        opened.append(Session(open_runtime(artifact, threads=1), tokenizer, model="m", load_ms=0, snapshots=folder))
        return opened[-1]

    before = SAMPLE_TEXT[:240]
    yesterday = session(keep)
    first = yesterday.complete(before, settings=settings_)
    yesterday.use_idle_time(threading.Event())
    yesterday.use_idle_time(threading.Event())
    assert len(list(tmp_path.iterdir())) == 1, "once is enough"
    today = session(keep)
    again = today.complete(before, settings=settings_)
    assert (first.timing.cached_tokens, again.timing.cached_tokens) == (0, again.timing.prompt_tokens - 1)
    assert again.text == first.text
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    damaged = session(SnapshotFolder(KEY, tmp_path)).complete(before, settings=settings_)
    assert (damaged.text, damaged.timing.cached_tokens) == (first.text, 0)
    assert not path.exists()
    for one in opened:
        one.close()
