from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from conftest import SAMPLE_TEXT
from scripted import LearnedRuntime

from edge_phi.completion import curve as curves
from edge_phi.completion import measured
from edge_phi.completion.decode import DecodeSettings, Step
from edge_phi.completion.prefix import common_prefix
from edge_phi.completion.session import Session, open_session
from edge_phi.errors import EdgePhiError, InvalidCall
from edge_phi.store import Artifact
from edge_phi.tokenizer import Tokenizer, load_tokenizer

CODE = SAMPLE_TEXT.lstrip()
LONG = DecodeSettings(max_tokens=200)
Opener = Callable[[str], tuple[Session, LearnedRuntime]]


@pytest.fixture(scope="module")
def tokenizer(tiny_checkpoint: Path) -> Tokenizer:
    return load_tokenizer(tiny_checkpoint)


@pytest.fixture
def learned(tokenizer: Tokenizer) -> Opener:
    def make(document: str) -> tuple[Session, LearnedRuntime]:
        runtime = LearnedRuntime(tokenizer, document)
        return Session(runtime, tokenizer, model="learned", load_ms=5), runtime

    return make


def test_completes_to_the_end_of_the_function(learned: Opener) -> None:
    session, _ = learned(CODE)
    start = CODE.index("total =")
    steps: list[Step] = []
    suggestion = session.complete(CODE[:start], settings=LONG, on_step=steps.append)
    assert CODE[start:].startswith(suggestion.text)
    assert suggestion.text.endswith("return means")
    assert suggestion.finish == "stop"
    assert "".join(step.text for step in steps) == suggestion.text
    assert (suggestion.model, suggestion.runtime, suggestion.quant) == ("learned", "scripted", "float32")


def test_one_line_before_code_and_without_repeating_it(learned: Opener) -> None:
    session, _ = learned(CODE)
    cursor = CODE.index("values[:width])")
    assert session.complete(CODE[:cursor], ")\n", settings=LONG).text == "values[:width]"


def test_only_what_is_new_is_read(learned: Opener, tokenizer: Tokenizer) -> None:
    session, runtime = learned(CODE)
    cursor = CODE.index("total +=")
    first = session.complete(CODE[:cursor], settings=LONG)
    assert first.timing.cached_tokens == 0

    # The user types what was suggested: of the prompt only the last word is new.
    runtime.extended.clear()
    typed = session.complete(CODE[: cursor + len("total += right")], settings=LONG)
    assert typed.text == first.text.removeprefix("total += right")
    assert typed.timing.cached_tokens == typed.timing.prompt_tokens - 1
    assert len(runtime.extended[0]) == 1

    # The user types something else, further up: what is before it stays.
    other = session.complete(CODE[: CODE.index("means =")] + "xyz", settings=LONG)
    assert 0 < other.timing.cached_tokens < typed.timing.cached_tokens
    assert session.complete(CODE[:cursor], settings=LONG).text == first.text


def test_the_same_again_reads_one_token(learned: Opener) -> None:
    session, runtime = learned(CODE)
    first = session.complete(CODE[:100], settings=LONG)
    runtime.extended.clear()
    again = session.complete(CODE[:100], settings=LONG)
    assert again.text == first.text
    assert len(runtime.extended[0]) == 1


def test_nothing_before_is_a_new_document(learned: Opener) -> None:
    session, _ = learned("import os\n")
    suggestion = session.complete("")
    assert (suggestion.text, suggestion.finish) == ("import os", "end")


def test_cancelled_keeps_what_was_settled_and_the_session(learned: Opener) -> None:
    session, _ = learned(CODE)
    cancel = threading.Event()
    shown: list[str] = []

    def cancel_after_three(step: Step) -> None:
        shown.append(step.text)
        if len(shown) == 3:
            cancel.set()

    cursor = CODE.index("total +=")
    suggestion = session.complete(CODE[:cursor], settings=LONG, cancel=cancel, on_step=cancel_after_three)
    assert (suggestion.finish, suggestion.tokens) == ("cancelled", 3)
    assert suggestion.text == "".join(shown)
    cancel.clear()
    assert session.complete(CODE[:cursor], settings=LONG, cancel=cancel).finish == "stop"


def test_cancelled_before_the_first_token(learned: Opener) -> None:
    session, _ = learned(CODE)
    cancel = threading.Event()
    cancel.set()
    suggestion = session.complete(CODE[:50], cancel=cancel)
    assert (suggestion.text, suggestion.tokens, suggestion.finish) == ("", 0, "cancelled")
    assert suggestion.timing.ttft_ms is None
    assert suggestion.timing.decode_tokens_per_s is None


def test_a_failure_leaves_no_false_cache(tokenizer: Tokenizer) -> None:
    class Failing(LearnedRuntime):
        calls = 0

        def extend(
            self, tokens: Sequence[int], *, all_logits: bool = False, cancel: threading.Event | None = None
        ) -> npt.NDArray[np.float32]:
            logits = super().extend(tokens, cancel=cancel)
            self.calls += 1
            if self.calls == 4:
                raise EdgePhiError("the engine failed")
            return logits

    session = Session(Failing(tokenizer, CODE), tokenizer, model="failing", load_ms=0)
    with pytest.raises(EdgePhiError, match="engine failed"):
        session.complete(CODE[:100], settings=LONG)
    after = session.complete(CODE[:100], settings=LONG)
    assert after.timing.cached_tokens == 0
    assert CODE[100:].startswith(after.text)
    assert after.text


def test_timing(learned: Opener) -> None:
    session, _ = learned(CODE)
    timing = session.complete(CODE[:100], settings=LONG).timing
    assert timing.load_ms >= 5
    assert timing.ttft_ms is not None
    assert 0 < timing.ttft_ms <= timing.total_ms
    assert timing.decode_tokens_per_s is not None
    assert timing.decode_tokens_per_s > 0


def test_first_token_is_one_that_adds_something(learned: Opener) -> None:
    session, _ = learned("def moving")
    # All that is decoded is what was typed, and the end.
    suggestion = session.complete("def moving")
    assert (suggestion.text, suggestion.finish) == ("", "end")
    assert suggestion.timing.ttft_ms is not None  # the end itself


def test_idle_time_measures_the_engine_once_and_keeps_what_was_read(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured.platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path))

    class Measured(LearnedRuntime):
        def extend(
            self, tokens: Sequence[int], *, all_logits: bool = False, cancel: threading.Event | None = None
        ) -> npt.NDArray[np.float32]:
            if not all_logits:
                return super().extend(tokens, cancel=cancel)
            return np.concatenate([super(Measured, self).extend([token], cancel=cancel) for token in tokens])

    machine = ("learned",)
    session = Session(Measured(tokenizer, CODE), tokenizer, model="learned", load_ms=0, machine=machine)
    key = curves.curve_key(machine, session.info)
    cursor = CODE.index("total +=")
    first = session.complete(CODE[:cursor], settings=LONG)
    never, at_once = threading.Event(), threading.Event()
    at_once.set()
    session.use_idle_time(at_once)
    assert curves.stored_curve(key) is None
    session.use_idle_time(never)
    assert curves.stored_curve(key) is not None
    again = session.complete(CODE[:cursor], settings=LONG)
    assert (again.text, again.timing.cached_tokens) == (first.text, again.timing.prompt_tokens - 1)


def test_a_draft_model_is_opened_used_and_closed_with_the_session(
    tiny_onnx: Callable[[str], Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured.platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path))
    model = tiny_onnx("float32").path
    with open_session(model, threads=1) as alone:
        expected = alone.complete(CODE[:60], settings=LONG)
    session = open_session(model, threads=1, draft=tiny_onnx("int4").path)
    speculation = session._speculation
    assert speculation is not None and speculation._model is not None
    drafter = speculation._model
    drafter.token_ms = drafter._read_ms = 1e-6
    assert session.complete(CODE[:60], settings=LONG).text == expected.text
    assert drafter._runtime.length > 10 and drafter._runtime.info.quant == "int4"
    session.close()
    with pytest.raises(InvalidCall, match="closed"):
        drafter._runtime.extend([1])


def test_a_model_of_other_tokens_drafts_for_nobody(tiny_onnx: Callable[[str], Artifact]) -> None:
    with pytest.raises(InvalidCall, match="phi-1-nano: has other tokens"):
        open_session(tiny_onnx("float32").path, threads=1, draft="phi-1-nano")


def test_an_engine_that_remembers_is_asked_what_it_has(tokenizer: Tokenizer) -> None:
    class Remembering(LearnedRuntime):
        """Keeps every sequence it ever had."""

        def __init__(self) -> None:
            super().__init__(tokenizer, CODE)
            self.past: list[list[int]] = []

        def rewind(self, length: int) -> None:
            self.past.append(list(self.cache))
            super().rewind(length)

        def reuse(self, tokens: Sequence[int]) -> int:
            self.past.append(list(self.cache))
            self.cache = max((list(tokens[: common_prefix(one, tokens)]) for one in self.past), key=len)
            return self.length

    session = Session(Remembering(), tokenizer, model="remembering", load_ms=0)
    cursor = CODE.index("total +=")
    first = session.complete(CODE[:cursor], settings=LONG)
    session.complete("import os\n", settings=LONG)  # another file
    again = session.complete(CODE[:cursor], settings=LONG)
    assert (again.text, again.timing.cached_tokens) == (first.text, again.timing.prompt_tokens - 1)
