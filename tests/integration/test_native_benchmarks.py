"""What benchmarks/native_speculation.py compares: the same text at the same places, whoever writes it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from native_engine import TOKENS
from random_gguf import write_random_gguf

from edge_phi.completion.speculate import AppendCurve, Speculation
from edge_phi.runtimes.native import NativeRuntime
from edge_phi.store import find_model, load_tokenizer_for

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
BESIDE = ("native", "native_speculation", "keystroke_traces", "revision", "genai")


@pytest.fixture(autouse=True)
def _benchmarks_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    for name in BESIDE:
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_a_place_is_where_a_trace_begins_to_type_and_where_it_looks() -> None:
    import native_speculation
    from keystroke_traces import Trace

    keys = [{"ms": 1, "type": "x"}, {"ms": 1, "look": True}, {"ms": 1, "type": "y"}, {"ms": 1, "delete": 1}]
    events = ({"ms": 1, "move": 2}, *keys, {"ms": 1, "type": "z"}, {"ms": 1, "look": True})
    events = (*events, {"ms": 1, "move": 5}, {"ms": 1, "type": "!"})
    places = native_speculation.places_of(Trace("t", "a\nb", 0, events))
    assert [(place.before, place.after, place.typed) for place in places] == [
        ("a\n", "b", "xz"), ("a\nx", "b", "z"), ("a\nxz", "b", ""), ("a\nxzb", "", "!"),
    ]  # fmt: skip


def test_every_trace_has_a_place_to_write_at() -> None:
    import native_speculation
    from keystroke_traces import read_traces

    traces = read_traces()
    assert len(traces) == 20 and all(native_speculation.places_of(trace) for trace in traces)


def test_a_text_is_written_as_it_was_dictated_in_fewer_passes_where_it_repeats_itself(tmp_path: Path) -> None:
    import native_speculation

    runtime = NativeRuntime(write_random_gguf(tmp_path / "a.q4_0.gguf", width=256, heads=4, inner=256), threads=1)
    tokenizer = load_tokenizer_for(find_model().artifact())
    speculation = {"typed": Speculation(AppendCurve((1.0,) * 9, 1e-4))}
    place, prompt, text = native_speculation.Place("t", "", "", ""), TOKENS[:20], TOKENS[50:60] * 3
    runtime.extend(prompt)
    plain, guessing = (
        native_speculation.Writer(runtime, tokenizer, drafts).write("typed", place, prompt, text)
        for drafts in (None, speculation)
    )
    assert plain.tokens == guessing.tokens == text
    assert plain.calls == len(text) - 1 and guessing.calls < 2 * len(text) // 3
    assert plain.others > len(text) // 2, "which a random model would hardly have written"
    runtime.close()
