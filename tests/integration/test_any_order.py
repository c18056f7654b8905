"""Whatever happened to a session before, it writes what a cold engine writes token by token.

Speculation, reuse of what was read, snapshots, cancelling and other numbers of threads, in any order, on every engine.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import SAMPLE_TEXT
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from edge_phi.completion import session as sessions
from edge_phi.completion.curve import measure_curve
from edge_phi.completion.decode import DecodeSettings, Step
from edge_phi.completion.session import Session
from edge_phi.completion.snapshots import SnapshotFolder, snapshot_key
from edge_phi.completion.speculate import LONGEST_DRAFT, AppendCurve, DraftModel, Speculation
from edge_phi.runtimes import AdjustsThreads, Runtime, open_runtime
from edge_phi.store import Artifact
from edge_phi.tokenizer import Tokenizer, load_tokenizer

SHORT = DecodeSettings(max_tokens=12)
EXAMPLES = {"llama_cpp": 5, "torch": 3}  # the slower ones have fewer
ENGINES = ("native", "onnx:float32", "onnx:int4", "llama_cpp", "torch")


class Cold:
    """What is to be written: by an engine of its own, emptied before each text, one token at a time."""

    def __init__(self, open_: Callable[[int], Runtime], tokenizer: Tokenizer, tie: float) -> None:
        self._runtime, self._tie = open_(1), tie
        self._session = Session(_Cold(self._runtime), tokenizer, model="m", load_ms=0)
        self._tokenizer = tokenizer
        self.texts = [text for text in _texts() if self._clear(text)]
        assert len(self.texts) >= 6, "enough texts where no two tokens are as likely as each other"

    def complete(self, before: str) -> tuple[str, list[int]]:
        steps: list[Step] = []
        text = self._session.complete(before, settings=SHORT, on_step=steps.append).text
        return text, [step.token for step in steps]

    def _clear(self, before: str) -> bool:
        """Whether the likeliest token is ahead enough all along."""
        leads: list[float] = []
        _, tokens = self.complete(before)
        prompt = self._session._prompts.build(before, SHORT.max_tokens)
        self._runtime.rewind(0)
        rows = self._runtime.extend([*prompt.tokens, *tokens], all_logits=True)[:, : self._tokenizer.vocab_size]
        rows = rows[len(prompt.tokens) - 1 : -1]
        for index, row in enumerate(rows):
            healed = prompt.healing.choices[index] if index < len(prompt.healing.choices) else None
            among = row if healed is None else row[healed]
            if len(among) > 1:
                second, first = np.partition(among, -2)[-2:]
                leads.append(float(first - second))
        return min(leads) >= self._tie


class _Cold:
    """A runtime that forgets everything before each prompt."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.info, self.extend, self.close = runtime.info, runtime.extend, runtime.close

    @property
    def length(self) -> int:
        return self._runtime.length

    def rewind(self, length: int) -> None:
        self._runtime.rewind(length)

    def reuse(self, tokens: Sequence[int]) -> int:
        self._runtime.rewind(0)
        return 0


def _texts() -> list[str]:
    """Places in one file, in a changed one and in another, some of them near to one another."""
    ends = (60, 61, 64, 90, 150, 151, 200, 240, 300)
    changed = SAMPLE_TEXT[:50] + "# so\n" + SAMPLE_TEXT[50:]
    again = SAMPLE_TEXT[:120] + SAMPLE_TEXT[40:120]  # repeats itself, for the lookup
    other = "import os\n\n\n" + SAMPLE_TEXT[100:260]
    return [text[:end] for text in (SAMPLE_TEXT, changed, again, other) for end in ends if end <= len(text)]


def machine(open_: Callable[[int], Runtime], tokenizer: Tokenizer, cold: Cold, tie: float, drafter: Runtime) -> type:
    class AnyOrder(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.folder = tempfile.TemporaryDirectory()
            self.session: Session | None = None

        @initialize(threads=st.integers(1, 2))
        def open(self, threads: int) -> None:
            self._open(threads)

        @rule(place=st.integers(0, 1000))
        def complete(self, place: int) -> None:
            before = cold.texts[place % len(cold.texts)]
            steps: list[Step] = []
            text = self.session.complete(before, settings=SHORT, on_step=steps.append).text
            assert (text, [step.token for step in steps]) == cold.complete(before)

        @rule(place=st.integers(0, 1000), after=st.integers(0, 6))
        def cancel_after_a_few_tokens(self, place: int, after: int) -> None:
            before, cancel, steps = cold.texts[place % len(cold.texts)], threading.Event(), []
            if not after:
                cancel.set()

            def on_step(step: Step) -> None:
                steps.append(step.token)
                if len(steps) == after:
                    cancel.set()

            self.session.complete(before, settings=SHORT, cancel=cancel, on_step=on_step)
            assert steps == cold.complete(before)[1][: len(steps)]

        @rule(place=st.integers(0, 1000), milliseconds=st.floats(0, 8))
        def cancel_at_any_moment(self, place: int, milliseconds: float) -> None:
            before, cancel, steps = cold.texts[place % len(cold.texts)], threading.Event(), []
            timer = threading.Timer(milliseconds / 1e3, cancel.set)
            timer.start()
            self.session.complete(before, settings=SHORT, cancel=cancel, on_step=lambda step: steps.append(step.token))
            timer.cancel()
            assert steps == cold.complete(before)[1][: len(steps)]

        @rule(on=st.booleans(), dear=st.floats(0, 1), drafted=st.booleans())
        def speculate(self, on: bool, dear: float, drafted: bool) -> None:
            curve = AppendCurve(tuple(1 + dear * tokens for tokens in range(LONGEST_DRAFT + 1)), tie)
            drafter.rewind(0)
            model = DraftModel(drafter, AppendCurve((0.01, 0.01), 0), tokenizer.vocab_size) if drafted else None
            self.session._speculation = Speculation(curve, model) if on else None

        @rule(threads=st.integers(1, 2))
        def compute_with_other_threads(self, threads: int) -> None:
            if isinstance(self.session._runtime, AdjustsThreads):
                self.session._runtime.use_threads(threads)
                self.session._threads = threads

        @rule()
        def keep(self) -> None:
            self.session.use_idle_time(threading.Event())

        @rule(threads=st.integers(1, 2))
        def open_again_with_other_threads(self, threads: int) -> None:
            self.teardown_session()
            self._open(threads)

        def _open(self, threads: int) -> None:
            folder = SnapshotFolder(snapshot_key(("m",)), Path(self.folder.name))
            self.session = Session(open_(threads), tokenizer, model="m", load_ms=0, snapshots=folder)

        def teardown_session(self) -> None:
            if self.session is not None:
                self.session._speculation = None  # the draft model's engine is every session's
                self.session.close()

        def teardown(self) -> None:
            self.teardown_session()
            self.folder.cleanup()

    return AnyOrder


@pytest.mark.parametrize("engine", ENGINES)
def test_any_order_writes_what_a_cold_engine_writes(
    engine: str, request: pytest.FixtureRequest, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine == "torch":
        pytest.importorskip("transformers", reason="transformers, of the extra 'train', is not installed")
        artifact = Artifact("tiny-phi", "safetensors", "float32", tiny_checkpoint, tiny_checkpoint)
    elif engine in ("native", "llama_cpp"):
        monkeypatch.setenv("EDGE_PHI_GGUF_ENGINE", engine)
        if engine == "llama_cpp":
            pytest.importorskip("llama_cpp", reason="llama.cpp, of the extra 'gguf', is not installed")
        else:
            from edge_phi.engines import NATIVE_LIBRARY

            if not NATIVE_LIBRARY.is_file():
                pytest.skip("the native engine was not built: there was no compiler when edge-phi was installed")
        artifact = request.getfixturevalue("tiny_gguf")("q4_0" if engine == "native" else "f32")
    else:
        artifact = request.getfixturevalue("tiny_onnx")(engine.partition(":")[2])
    monkeypatch.setattr(sessions, "_WORTH_KEEPING", 16)
    tokenizer = load_tokenizer(tiny_checkpoint)

    def open_(threads: int) -> Runtime:
        runtime = open_runtime(artifact, threads=threads)
        assert runtime.info.engine == engine.partition(":")[0]
        return runtime

    measured = open_(1)
    # Nearer than that two logits may change places when tokens are computed in other portions. The native engine's do
    # not; its texts are taken as they are, for its tie is the least there is.
    tie = 2 * measure_curve(measured).tie
    measured.close()
    cold = Cold(open_, tokenizer, tie)
    run_state_machine_as_test(
        machine(open_, tokenizer, cold, tie, drafter=open_(1)),
        settings=settings(
            max_examples=EXAMPLES.get(engine, 12),
            stateful_step_count=14,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
