"""Speculation changes what is computed at once, never what is written."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_phi.completion import curve as curves
from edge_phi.completion import measured
from edge_phi.completion.decode import DecodeSettings, decode
from edge_phi.completion.speculate import LONGEST_DRAFT, AppendCurve, DraftModel, Lookup, Speculation
from edge_phi.errors import Cancelled
from edge_phi.runtimes import RuntimeInfo
from edge_phi.tokenizer import Tokenizer, load_tokenizer

FREE = AppendCurve((1.0,) * (LONGEST_DRAFT + 1), 0.0)  # more tokens cost no more than one
CHEAP = AppendCurve((0.01,) * (LONGEST_DRAFT + 1), 0.0)
DEAR = AppendCurve(tuple(float(10 * tokens) for tokens in range(1, LONGEST_DRAFT + 2)), 0.0)


class CyclicRuntime:
    """A model whose next token depends on the last two, among a few tokens: it soon repeats itself, with variations.

    Tokens computed along with others get logits that differ by up to `noise`.
    """

    def __init__(self, vocabulary: int, seed: int, noise: float = 0.0) -> None:
        self.info = RuntimeInfo("cyclic", "float32", 0, vocabulary, 96, 1)
        self.cache: list[int] = []
        self.calls: list[int] = []
        self._table = np.random.default_rng(seed).normal(size=(7, 7, 12)).astype(np.float32).round(1)
        self._random, self._noise = np.random.default_rng(seed), noise

    @property
    def length(self) -> int:
        return len(self.cache)

    def extend(
        self, tokens: Sequence[int], *, all_logits: bool = False, cancel: threading.Event | None = None
    ) -> npt.NDArray[np.float32]:
        assert len(self.cache) + len(tokens) <= self.info.context_length
        self.calls.append(len(tokens))
        rows = np.full((len(tokens), self.info.vocab_size), -9, np.float32)
        for row, token in zip(rows, tokens, strict=True):
            self.cache.append(token)
            before = self.cache[-2] if len(self.cache) > 1 else 0
            row[100:112] = self._table[before % 7, token % 7]
            row[100:112] += 3 * (np.arange(12) == len(self.cache) % 5)
        if len(tokens) > 1:
            rows += self._random.uniform(-self._noise, self._noise, rows.shape).astype(np.float32)
        return rows if all_logits else rows[-1:]

    def rewind(self, length: int) -> None:
        assert 0 <= length <= len(self.cache)
        del self.cache[length:]

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def tokenizer(tiny_checkpoint: Path) -> Tokenizer:
    return load_tokenizer(tiny_checkpoint)


def written(runtime: CyclicRuntime, tokenizer: Tokenizer, prompt: list[int], most: int, **options: object) -> object:
    decoding = decode(runtime, prompt, tokenizer, DecodeSettings(max_tokens=most), **options)  # type: ignore[arg-type]
    steps = []
    while True:
        try:
            step = next(decoding)
        except StopIteration as ended:
            return steps, ended.value, runtime.cache
        steps.append((step.token, step.text))


@given(
    seed=st.integers(0, 10_000),
    prompt=st.lists(st.integers(100, 111), min_size=1, max_size=40),
    most=st.integers(1, 70),
    costs=st.lists(st.floats(0.1, 10), min_size=2, max_size=LONGEST_DRAFT + 1),
    noise=st.sampled_from([0.0, 0.04]),
    draft=st.sampled_from([None, "same", "other"]),
)
@settings(max_examples=200, deadline=None)
def test_the_same_tokens_text_end_and_cache_as_without(
    tokenizer: Tokenizer, seed: int, prompt: list[int], most: int, costs: list[float], noise: float, draft: str | None
) -> None:
    plain = written(CyclicRuntime(tokenizer.vocab_size, seed), tokenizer, prompt, most)
    drafter = CyclicRuntime(tokenizer.vocab_size, seed + (draft == "other"), noise)
    model = None if draft is None else DraftModel(drafter, CHEAP, tokenizer.vocab_size)
    speculation = Speculation(AppendCurve(tuple(costs), 2.5 * noise), model)
    for _ in range(2):  # the second time it knows how often its guesses held
        runtime = CyclicRuntime(tokenizer.vocab_size, seed, noise)
        runtime.extend(prompt[:-1]) if prompt[:-1] else None
        speculation.begin(prompt)
        runtime_prompt = prompt[-1:]
        assert written(runtime, tokenizer, runtime_prompt, most, speculation=speculation) == plain


def test_where_more_tokens_are_free_fewer_calls_are_made(tokenizer: Tokenizer) -> None:
    prompt = [100, 101, 102]
    plain = CyclicRuntime(tokenizer.vocab_size, 3)
    written(plain, tokenizer, prompt, 80)
    calls = {}
    for name, curve in (("free", FREE), ("dear", DEAR)):
        runtime, speculation = CyclicRuntime(tokenizer.vocab_size, 3), Speculation(curve)
        speculation.begin(prompt)
        written(runtime, tokenizer, prompt, 80, speculation=speculation)
        calls[name] = len(runtime.calls)
    assert calls["dear"] == len(plain.calls) == 80
    assert calls["free"] < 60


def test_sampling_is_left_alone(tokenizer: Tokenizer) -> None:
    runtime, speculation = CyclicRuntime(tokenizer.vocab_size, 3), Speculation(FREE)
    speculation.begin([100])
    list(decode(runtime, [100], tokenizer, DecodeSettings(temperature=1, max_tokens=60), speculation=speculation))
    assert runtime.calls == [1] * 60


def test_a_repetition_penalty_gives_the_same_text_with_speculation(tokenizer: Tokenizer) -> None:
    settings = DecodeSettings(max_tokens=60, repetition_penalty=1.3)
    texts = []
    for speculation in (None, Speculation(FREE)):
        runtime = CyclicRuntime(tokenizer.vocab_size, 3)
        if speculation is not None:
            speculation.begin([100])
        texts.append([step.token for step in decode(runtime, [100], tokenizer, settings, speculation=speculation)])
    assert texts[0] == texts[1]
    plain = [step.token for step in decode(CyclicRuntime(tokenizer.vocab_size, 3), [100], tokenizer)]
    assert texts[0] != plain


def test_the_latest_of_the_longest_matches_is_taken_for_each_token() -> None:
    lookup = Lookup([1, 2, 3, 4, 9, 2, 3, 5, 5, 2, 3])
    assert lookup.find(3) == [(5, 2), (5, 3), (2, 4)]
    lookup = Lookup([7, 2, 3, 4, 9, 2, 3, 5, 7, 2, 3])
    assert lookup.find(2) == [(4, 3), (9, 4)]
    assert Lookup([1, 2, 3]).find(4) == []
    assert Lookup([]).find(4) == []
    assert Lookup([5, 5, 5]).find(4) == [(5, 2)] * 4, "past the end of what was read"


@given(texts=st.lists(st.lists(st.integers(0, 3), max_size=30), min_size=1, max_size=5), kept=st.integers(0, 30))
def test_going_over_to_another_text_leaves_nothing_of_the_one_before(texts: list[list[int]], kept: int) -> None:
    moved = Lookup(())
    for text in texts:
        text = [*moved._tokens[:kept], *text]  # as from key to key, with a beginning in common
        moved.begin(text)
        fresh = Lookup(text)
        assert moved.find(8) == fresh.find(8)
        assert (moved._tokens, moved._after) == (fresh._tokens, fresh._after)


def test_drafts_stop_where_they_fail_and_begin_again_where_they_hold() -> None:
    curve = AppendCurve(tuple(1.0 + 0.3 * tokens for tokens in range(LONGEST_DRAFT + 1)), 0.0)
    speculation = Speculation(curve)
    pattern = [1, 2, 3, 4, 5, 6, 7, 8]
    speculation.begin([*pattern, *pattern])
    assert speculation.draft(8), "at first it tries"
    for _ in range(40):
        speculation.draft(8)
        speculation.push([99])
        speculation.begin([*pattern, *pattern])
    assert speculation.draft(8) == []
    for _ in range(40):
        speculation.push([1])
        speculation.begin([*pattern, *pattern])
        speculation.draft(8)
    assert len(speculation.draft(8)) > 3
    assert speculation.draft(2) == [1, 2]


class Wrong(CyclicRuntime):
    """What the other holds to be least probable."""

    def extend(
        self, tokens: Sequence[int], *, all_logits: bool = False, cancel: threading.Event | None = None
    ) -> npt.NDArray[np.float32]:
        rows = super().extend(tokens, all_logits=all_logits)
        rows[:, 100:112] *= -1
        return rows


def drafting(
    tokenizer: Tokenizer, kind: type[CyclicRuntime], curve: AppendCurve, own: AppendCurve, texts: int
) -> tuple[CyclicRuntime, CyclicRuntime]:
    """The runtimes of a model and of a draft model after some texts, of which the lookup guesses nothing."""
    runtime, drafter = CyclicRuntime(tokenizer.vocab_size, 3), kind(tokenizer.vocab_size, 3)
    speculation = Speculation(curve, DraftModel(drafter, own, tokenizer.vocab_size))
    speculation._lookup.find = lambda limit: []  # type: ignore[method-assign]
    for first in range(texts):
        prompt = [100 + first % 12, 100 + first // 12 % 12, 105]
        runtime.rewind(0)
        speculation.begin(prompt)
        assert written(runtime, tokenizer, prompt, 40, speculation=speculation) == written(
            CyclicRuntime(tokenizer.vocab_size, 3), tokenizer, prompt, 40
        )
    return runtime, drafter


STEEP = AppendCurve(tuple(1.0 + 0.1 * tokens for tokens in range(LONGEST_DRAFT + 1)), 0.0)


def test_a_draft_model_that_agrees_saves_calls(tokenizer: Tokenizer) -> None:
    runtime, _ = drafting(tokenizer, CyclicRuntime, STEEP, CHEAP, texts=3)
    assert len(runtime.calls) < 40, "of 3 times 40"


def test_a_draft_model_that_loses_is_switched_off_and_tried_again_now_and_then(tokenizer: Tokenizer) -> None:
    own = AppendCurve((0.1,) * 9, 0.0)
    _, drafter = drafting(tokenizer, Wrong, STEEP, own, texts=1)
    first = len(drafter.calls)
    assert first > 10
    runtime, drafter = drafting(tokenizer, Wrong, STEEP, own, texts=60)
    assert first < len(drafter.calls) < 6 * first
    assert max(runtime.calls[-1000:]) > 1, "tried again"
    assert sum(count > 1 for count in runtime.calls[-1000:]) < 50, "now and then"


@pytest.mark.parametrize(
    "own", [AppendCurve((2.0,) * 9, 0.0), AppendCurve(tuple(0.01 + 500.0 * tokens for tokens in range(9)), 0.0)]
)
def test_a_draft_model_that_takes_too_long_is_never_asked(tokenizer: Tokenizer, own: AppendCurve) -> None:
    _, drafter = drafting(tokenizer, CyclicRuntime, STEEP, own, texts=2)
    assert drafter.calls == []


def test_a_draft_model_reads_nothing_twice_and_writes_within_its_context(tokenizer: Tokenizer) -> None:
    drafter = CyclicRuntime(tokenizer.vocab_size, 3)
    model = DraftModel(drafter, CHEAP, tokenizer.vocab_size)
    assert model.room() == 0
    model.begin([100] * 50)
    first = model.write(3)
    assert drafter.calls == [50, 1, 1]
    model.push(first[0])
    model.push(99)
    assert model.reading_ms() == 0.0, "one token at least is read, which is what writing one takes"
    model.write(1)
    assert drafter.calls == [50, 1, 1, 1]
    model.begin([100] * 95)
    assert (model.room(), len(model.write(1)), len(drafter.cache)) == (1, 1, 95)
    model.begin([100] * 200)
    assert model.room() == 0


def test_cancelling_reaches_a_draft_model(tokenizer: Tokenizer) -> None:
    class Slow(CyclicRuntime):
        def extend(
            self, tokens: Sequence[int], *, all_logits: bool = False, cancel: threading.Event | None = None
        ) -> npt.NDArray[np.float32]:
            if cancel is not None:
                cancel.set()
                raise Cancelled("cancelled")
            return super().extend(tokens, all_logits=all_logits)

    runtime, cancel = CyclicRuntime(tokenizer.vocab_size, 3), threading.Event()
    speculation = Speculation(FREE, DraftModel(Slow(tokenizer.vocab_size, 3), CHEAP, tokenizer.vocab_size))
    speculation.begin([100])
    steps, finish, cache = written(runtime, tokenizer, [100], 20, speculation=speculation, cancel=cancel)
    assert (len(steps), finish, cache) == (1, "cancelled", [100])


def test_a_curve_is_kept_for_what_it_was_measured_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured.platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path))
    curve = AppendCurve(tuple(float(ms) for ms in range(1, LONGEST_DRAFT + 2)), 0.25)
    key = ("model", 5, "onnx")
    assert curves.stored_curve(key) is None
    curves.store_curve(key, curve)
    assert curves.stored_curve(key) == curve
    assert curves.stored_curve(("model", 6, "onnx")) is None
    (path,) = tmp_path.rglob("*.json")
    for damage in ("", "[]", '{"ms": [1, 2], "tie": 0}', '{"ms": [' + "1e999," * 8 + '1], "tie": 0}', "[" * 50_000):
        path.write_text(damage)
        assert curves.stored_curve(key) is None


@pytest.mark.parametrize("before", [0, 2, 60, 96])
def test_a_curve_is_measured_on_a_cache_that_is_left_as_it_was(tokenizer: Tokenizer, before: int) -> None:
    runtime = CyclicRuntime(tokenizer.vocab_size, 0, noise=0.01)
    prompt = [100 + place % 12 for place in range(before)]
    if prompt:
        runtime.extend(prompt)
    curve = curves.measure_curve(runtime)
    room = runtime.info.context_length - LONGEST_DRAFT - 1
    assert runtime.cache == prompt[:room]
    assert len(curve.ms) == LONGEST_DRAFT + 1 and min(curve.ms) > 0
    assert 0.01 < curve.tie < 0.08


def test_a_key_stops_the_measuring_and_what_was_read_stays(tokenizer: Tokenizer) -> None:
    class Cancelling(CyclicRuntime):
        def extend(
            self, tokens: Sequence[int], *, all_logits: bool = False, cancel: threading.Event | None = None
        ) -> npt.NDArray[np.float32]:
            if cancel is not None:
                if len(self.calls) == 9:
                    cancel.set()
                if cancel.is_set():
                    raise Cancelled("cancelled")
            return super().extend(tokens, all_logits=all_logits)

    runtime, cancel = Cancelling(tokenizer.vocab_size, 0), threading.Event()
    runtime.extend([100, 101])
    with pytest.raises(Cancelled):
        curves.measure_curve(runtime, cancel)
    assert runtime.cache == [100, 101]
