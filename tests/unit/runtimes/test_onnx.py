from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from edge_phi import runtimes
from edge_phi.errors import Cancelled, EdgePhiError, InvalidCall, InvalidFile
from edge_phi.runtimes import open_runtime
from edge_phi.runtimes.onnx import OnnxRuntime
from edge_phi.store import Artifact

TOKENS = np.random.default_rng(1).integers(0, 380, 300).tolist()
QUANTS = ["float32", "float16", "int8", "int4"]


@pytest.fixture(scope="module", params=QUANTS)
def loaded(request: pytest.FixtureRequest, tiny_onnx: Callable[[str], Artifact]) -> Iterator[OnnxRuntime]:
    runtime = OnnxRuntime(tiny_onnx(request.param), threads=1)
    yield runtime
    runtime.close()


@pytest.fixture
def runtime(loaded: OnnxRuntime) -> OnnxRuntime:
    loaded.rewind(0)
    return loaded


@pytest.fixture(params=QUANTS)
def copy(request: pytest.FixtureRequest, tiny_onnx: Callable[[str], Artifact], tmp_path: Path) -> Artifact:
    """An artifact that may be damaged."""
    artifact = tiny_onnx(request.param)
    folder = shutil.copytree(artifact.path, tmp_path / artifact.path.name)
    return dataclasses.replace(artifact, path=folder, folder=folder)


def single_token_tolerance(runtime: OnnxRuntime) -> float:
    """Of logits that spread over about 1.6, when tokens come one by one.

    A product with one row adds up in another order. In blocks that turns the rounding of a few activations to int8.
    """
    return 1e-5 if runtime.info.quant in ("float32", "float16") else 0.15


def test_info_says_what_is_loaded(tiny_onnx: Callable[[str], Artifact], runtime: OnnxRuntime) -> None:
    artifact = tiny_onnx(runtime.info.quant)
    info = runtime.info
    assert (info.engine, info.vocab_size, info.context_length, info.threads) == ("onnx", 380, 512, 1)
    assert info.file_bytes == artifact.file_bytes > 1_000_000
    opened = open_runtime(artifact)
    assert isinstance(opened, OnnxRuntime)
    assert opened.info.threads >= 1
    opened.close()
    opened.close()
    with pytest.raises(InvalidCall, match="closed"):
        opened.extend([1])
    with pytest.raises(InvalidCall, match="0 threads"):
        open_runtime(artifact, threads=0)


def test_any_chunking_gives_the_same_logits(runtime: OnnxRuntime) -> None:
    at_once = runtime.extend(TOKENS, all_logits=True)
    assert at_once.shape == (len(TOKENS), 380)
    assert at_once.dtype == np.float32
    assert runtime.length == len(TOKENS)
    for size in (2, 3, 100, 1):
        runtime.rewind(200)
        parts = [runtime.extend(TOKENS[i : i + size], all_logits=True) for i in range(200, 300, size)]
        tolerance = single_token_tolerance(runtime) if size == 1 or 100 % size else 1e-5
        np.testing.assert_allclose(np.concatenate(parts), at_once[200:], atol=tolerance)
    runtime.rewind(0)
    np.testing.assert_allclose(runtime.extend(TOKENS), at_once[-1:], atol=1e-5)


def test_only_new_positions_of_the_cache_are_written(runtime: OnnxRuntime) -> None:
    """Past and present are one buffer: were the cache copied at each call, its other positions would change too."""
    runtime.extend(TOKENS[:10])
    for array in runtime._cache:
        array[:, :, 10:] = 77
    old = [array.copy() for array in runtime._cache]
    runtime.extend(TOKENS[10:20])
    for array, before in zip(runtime._cache, old, strict=True):
        np.testing.assert_array_equal(array[:, :, :10], before[:, :, :10])
        assert (array[:, :, 10:20] != 77).all() and (array[:, :, 20:] == 77).all()


def test_results_stay_as_they_were_returned(runtime: OnnxRuntime) -> None:
    first = runtime.extend(TOKENS[:5])
    kept = first.copy()
    runtime.extend(TOKENS[5:9])
    np.testing.assert_array_equal(first, kept)


class Machine(RuleBasedStateMachine):
    """Extending and rewinding at will, beside the list of tokens the cache should hold."""

    runtime: OnnxRuntime
    fresh: OnnxRuntime

    def __init__(self) -> None:
        super().__init__()
        self.runtime.rewind(0)
        self.tokens: list[int] = []
        self.logits: np.ndarray | None = None

    @rule(tokens=st.lists(st.integers(0, 379), min_size=1, max_size=150), all_logits=st.booleans())
    def extend(self, tokens: list[int], all_logits: bool) -> None:
        if len(self.tokens) + len(tokens) > 512:
            with pytest.raises(InvalidCall, match="context of 512"):
                self.runtime.extend(tokens)
            return
        logits = self.runtime.extend(tokens, all_logits=all_logits)
        assert logits.shape == (len(tokens) if all_logits else 1, 380)
        self.tokens += tokens
        self.logits = logits[-1]

    @rule(keep=st.floats(0, 1))
    def rewind(self, keep: float) -> None:
        length = int(keep * len(self.tokens))
        self.runtime.rewind(length)
        del self.tokens[length:]
        self.logits = None

    @invariant()
    def same_as_fresh(self) -> None:
        assert self.runtime.length == len(self.tokens)
        if self.logits is not None:
            self.fresh.rewind(0)
            expected = self.fresh.extend(self.tokens)[0]
            np.testing.assert_allclose(self.logits, expected, atol=single_token_tolerance(self.runtime))


@pytest.mark.parametrize("quant", QUANTS)
def test_extending_and_rewinding_at_will(tiny_onnx: Callable[[str], Artifact], quant: str) -> None:
    Machine.runtime, Machine.fresh = (OnnxRuntime(tiny_onnx(quant), threads=1) for _ in range(2))
    run_state_machine_as_test(Machine, settings=settings(max_examples=15, stateful_step_count=12, deadline=None))


def test_a_set_event_cancels_before_anything_is_computed(runtime: OnnxRuntime) -> None:
    runtime.extend(TOKENS[:10])
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        runtime.extend(TOKENS, cancel=cancel)
    assert runtime.length == 10
    expected = runtime.extend(TOKENS[10:20])
    runtime.rewind(0)
    np.testing.assert_allclose(runtime.extend(TOKENS[:20]), expected, atol=1e-5)


@pytest.mark.parametrize("count", [1, 290])
def test_cancelling_stops_the_work_itself(
    tiny_onnx: Callable[[str], Artifact], monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """The event is set once a chunk, or a token of a large model, is under way, and its own run is what ends."""
    monkeypatch.setattr(runtimes, "_SLOW_BYTES", 0)
    runtime = OnnxRuntime(tiny_onnx("float32"), threads=1)
    runtime.extend(TOKENS[:10])
    cancel, finished = threading.Event(), []
    session = runtime._session

    class Slowed:
        def run_with_iobinding(self, binding: object, options: object) -> None:
            cancel.set()
            for _ in range(10_000):
                if options.terminate:  # type: ignore[attr-defined]
                    break
                threading.Event().wait(0.001)
            session.run_with_iobinding(binding, options)
            finished.append(True)

    monkeypatch.setattr(runtime, "_session", Slowed())
    with pytest.raises(Cancelled):
        runtime.extend(TOKENS[10 : 10 + count], cancel=cancel)
    assert not finished
    assert runtime.length == 10
    monkeypatch.setattr(runtime, "_session", session)
    after = runtime.extend(TOKENS[10:11])
    runtime.rewind(0)
    np.testing.assert_allclose(after, runtime.extend(TOKENS[:11]), atol=1e-5)


@pytest.mark.parametrize("tokens", [[], [380], [-1], [0] * 513])
def test_calls_that_cannot_be_right_are_refused(runtime: OnnxRuntime, tokens: list[int]) -> None:
    with pytest.raises(InvalidCall):
        runtime.extend(tokens)
    with pytest.raises(InvalidCall):
        runtime.rewind(1)
    assert runtime.length == 0


def test_the_context_can_be_filled(runtime: OnnxRuntime) -> None:
    assert np.isfinite(runtime.extend([7] * 512)).all()
    with pytest.raises(InvalidCall, match="context of 512"):
        runtime.extend([7])


def test_a_missing_or_short_file_is_named(copy: Artifact) -> None:
    path = copy.graph
    weights = path.with_name("model.safetensors" if copy.quant == "float32" else f"{path.name}_data")
    raw = weights.read_bytes()
    weights.write_bytes(raw[:-100])
    with pytest.raises(InvalidFile, match=weights.name):
        OnnxRuntime(copy)
    weights.unlink()
    with pytest.raises(InvalidFile, match=weights.name):
        OnnxRuntime(copy)
    weights.write_bytes(raw)
    graph = path.read_bytes()
    for damaged in (b"", graph[: len(graph) // 2], b"not a graph"):
        path.write_bytes(damaged)
        with pytest.raises(InvalidFile, match=path.name):
            OnnxRuntime(copy)
    path.unlink()
    with pytest.raises(InvalidCall, match=r"model\.onnx"):
        OnnxRuntime(copy)
    shutil.rmtree(copy.path)
    with pytest.raises(InvalidCall, match="no such folder"):
        OnnxRuntime(copy)


def test_weights_that_moved_are_not_taken_for_others(tiny_onnx: Callable[[str], Artifact], tmp_path: Path) -> None:
    """The same tensors saved again behind a longer header: the graph's offsets now point at other bytes."""
    folder = shutil.copytree(tiny_onnx("float32").path, tmp_path / "moved")
    raw = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    longer = raw[8 : 8 + length] + b" " * 64
    (folder / "model.safetensors").write_bytes(len(longer).to_bytes(8, "little") + longer + raw[8 + length :])
    with pytest.raises(InvalidFile, match="other weights"):
        OnnxRuntime(Artifact("moved", "onnx", "float32", folder, folder))


@pytest.mark.parametrize(
    "change", [{"num_attention_heads": 8}, {"num_hidden_layers": 1}, {"num_hidden_layers": 3}, {"vocab_size": 400}]
)
def test_a_graph_of_another_geometry_is_refused(
    tiny_onnx: Callable[[str], Artifact], tmp_path: Path, change: dict[str, int]
) -> None:
    folder = shutil.copytree(tiny_onnx("int4").path, tmp_path / "changed")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change, "num_key_value_heads": None}))
    with pytest.raises(InvalidFile, match=r"do not fit config\.json"):
        OnnxRuntime(Artifact("changed", "onnx", "int4", folder, folder))


def test_a_context_longer_than_the_graphs_fails_in_one_line(
    tiny_onnx: Callable[[str], Artifact], tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_onnx("int4").path, tmp_path / "longer")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 4096}))
    runtime = OnnxRuntime(Artifact("longer", "onnx", "int4", folder, folder), threads=1)
    with pytest.raises(EdgePhiError, match="ONNX Runtime failed") as caught:
        runtime.extend([7] * 600)
    assert "\n" not in str(caught.value)
    assert runtime.length == 0
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 2**24}))
    resource = pytest.importorskip("resource", reason="this system cannot limit a process's memory")
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2**35, limits[1]))
    try:
        with pytest.raises(EdgePhiError, match="no memory for a context of 16777216 tokens"):
            OnnxRuntime(Artifact("longer", "onnx", "int4", folder, folder), threads=1)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


LOAD_AND_RUN = """
import sys
from pathlib import Path
from edge_phi.runtimes.onnx import OnnxRuntime
from edge_phi.store import Artifact
folder = Path(sys.argv[1])
OnnxRuntime(Artifact("tiny-phi", "onnx", "int4", folder, folder)).extend([1, 2, 3])
for name in ("torch", "transformers", "onnx"):
    assert name not in sys.modules, name
"""


def test_it_says_nothing_and_leaves_nothing_behind(tiny_onnx: Callable[[str], Artifact], tmp_path: Path) -> None:
    """ONNX Runtime's reports to its makers begin with a device id in the home folder, except where CI is set."""
    keep = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    environment = {**keep, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-c", LOAD_AND_RUN, str(tiny_onnx("int4").path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
