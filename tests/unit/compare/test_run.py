"""The comparison over scripted measurements: what is asked, what is kept, what goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_phi.compare.cache import Cache
from edge_phi.compare.forms import Comparison
from edge_phi.compare.run import CompareSettings, run_comparison
from edge_phi.errors import EdgePhiError
from edge_phi.measure.bench import BenchSettings
from edge_phi.measure.fidelity import Fidelity
from edge_phi.measure.held_out import Windows
from edge_phi.measure.timing import PromptTiming
from edge_phi.measure.worker import Job, Measurement
from edge_phi.store import Artifact, Model, find_model

SETTINGS = CompareSettings(BenchSettings(rounds=3, new_tokens=4))


class Told:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.finishes: list[str] = []

    def note(self, line: str) -> None:
        self.notes.append(line)

    def working(self, what: str, done: int, total: int) -> None:
        assert done <= total

    def finished(self, line: str) -> None:
        self.finishes.append(line)


class Engines:
    """Scripted measurements that are counted, and may be interrupted before one of them."""

    def __init__(self, *, interrupted_at: int | None = None, broken: str | None = None) -> None:
        self.interrupted_at, self.broken = interrupted_at, broken
        self.jobs: list[Job] = []
        self.fidelities: list[str] = []

    def measure(self, job: Job) -> Measurement:
        if len(self.jobs) == self.interrupted_at:
            raise KeyboardInterrupt
        self.jobs.append(job)
        slow = 10.0 if job.artifact.quant == "float32" else 5.0
        timings = tuple(PromptTiming(len(prompt), 8 * slow, (slow,) * 3, (1, 2, 3, 4)) for prompt in job.prompts)
        waits = tuple(None if place == 0 else slow * place for place, _ in enumerate(job.cursors))
        return Measurement(20.0, job.artifact.engine, job.threads, 30, 100, timings, waits)

    def fidelity(self, artifact: Artifact, baseline: Artifact, windows: Windows, threads: int) -> Fidelity:
        if artifact.quant == self.broken:
            raise EdgePhiError(f"{artifact.path.parent}/{artifact.path.name}: killed by SIGSEGV")
        self.fidelities.append(f"{artifact.name} {baseline.name}")
        return Fidelity(71.0, 70.0, 0.01, 0.05, 0.95, windows.size - len(windows))


@pytest.fixture
def model(tmp_path: Path, tiny_checkpoint: Path) -> Model:
    """The tiny checkpoint with files that only have the names of its other forms."""
    folder = tmp_path / "model"
    (folder / "onnx-int4").mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (folder / name).symlink_to(tiny_checkpoint / name)
    for name in ("model.onnx", "onnx-int4/model.onnx", "tiny.q4_0.gguf"):
        (folder / name).write_bytes(name.encode())
    return find_model(folder)


@pytest.fixture
def compare(model: Model, tmp_path: Path) -> Callable[..., Comparison]:
    text = tmp_path / "short.txt"  # held-out text takes a second to encode
    text.write_text("def moving_average(values, width):\n    total = sum(values[:width])\n" * 200)

    def run(
        engines: Engines, *, told: Told | None = None, fresh: bool = False, settings: CompareSettings = SETTINGS
    ) -> Comparison:
        return run_comparison(
            find_model(model.folder),
            told or Told(),
            Cache(tmp_path / "cache", fresh=fresh),
            replace(settings, text=settings.text or text),
            measure=engines.measure,
            fidelity=engines.fidelity,
        )

    return run


def test_every_form_gets_all_its_figures(compare: Callable[..., Comparison]) -> None:
    engines, told = Engines(), Told()
    found = compare(engines, told=told)
    assert found.bench.baseline == "torch:float32" and found.text is not None
    forms = {form.name: form for form in found.forms}
    assert list(forms) == ["torch:float32", "onnx:float32", "onnx:int4", "gguf:q4_0"]
    assert len(engines.jobs) == 12 and len({job.cursors for job in engines.jobs}) == 1
    line = forms["onnx:int4"].first_line
    cursors = len(engines.jobs[0].cursors)
    assert line is not None and (line.cursors, line.suggested) == (cursors, cursors - 1)
    assert line.p50_ms == pytest.approx(5.0 * cursors / 2)  # of 5, 10, 15 ...
    assert engines.fidelities == [f"{name} torch:float32" for name in list(forms)[1:]]
    full = forms["torch:float32"].fidelity  # not measured against itself
    assert full == Fidelity(70.0, 70.0, 0.0, 0.0, 1.0, found.text.windows * (found.text.tokens - 1))
    assert told.finishes[-1] == "gguf:q4_0: KL 0.01, top-1 95.0%"


def test_an_interrupted_comparison_goes_on_where_it_was(compare: Callable[..., Comparison]) -> None:
    first = Engines(interrupted_at=7)
    with pytest.raises(KeyboardInterrupt):
        compare(first)
    second, told = Engines(), Told()
    found = compare(second, told=told)
    assert len(second.jobs) == 12 - 7 and len(second.fidelities) == 3
    # Seven were done in order, form after form and round after round: the eighth is the last form of round 2.
    assert [job.artifact.name for job in second.jobs][:2] == ["gguf:q4_0", "torch:float32"]
    assert any(note.startswith("7 results were there") for note in told.notes)
    third = Engines()
    again = compare(third)
    assert not third.jobs and not third.fidelities and again.forms == found.forms


def test_what_has_changed_is_measured_again(compare: Callable[..., Comparison], model: Model, tmp_path: Path) -> None:
    compare(Engines())
    (model.folder / "tiny.q4_0.gguf").write_bytes(b"other weights")
    changed = Engines()
    compare(changed)
    assert [job.artifact.name for job in changed.jobs] == ["gguf:q4_0"] * 3
    assert changed.fidelities == ["gguf:q4_0 torch:float32"]

    text = tmp_path / "own.txt"
    text.write_text("def moving_average(values, width):\n" * 200)
    other_text = Engines()
    compare(other_text, settings=replace(SETTINGS, text=text))
    assert not other_text.jobs and len(other_text.fidelities) == 3

    more = Engines()
    compare(more, settings=CompareSettings(BenchSettings(rounds=4, new_tokens=4)))
    assert len(more.jobs) == 4 and not more.fidelities  # the fourth round alone

    fresh = Engines()
    compare(fresh, fresh=True)
    assert len(fresh.jobs) == 12 and len(fresh.fidelities) == 3


def test_another_engine_version_is_measured_again(
    compare: Callable[..., Comparison], monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(Engines())
    monkeypatch.setattr(
        "edge_phi.compare.run.engine_version", lambda engine: f"{engine} 99" if engine == "onnx" else "1"
    )
    compare(Engines())  # all are others now
    monkeypatch.setattr(
        "edge_phi.compare.run.engine_version", lambda engine: f"{engine} 98" if engine == "onnx" else "1"
    )
    found = Engines()
    compare(found)
    assert {job.artifact.name for job in found.jobs} == {"onnx:float32", "onnx:int4"}
    assert [name.split()[0] for name in found.fidelities] == ["onnx:float32", "onnx:int4"]


def test_a_form_that_fails_keeps_what_it_has(compare: Callable[..., Comparison], model: Model) -> None:
    found = compare(Engines(broken="q4_0"))
    [form] = [form for form in found.forms if form.name == "gguf:q4_0"]
    assert form.fidelity is None and form.first_line is not None
    assert [(one.name, one.reason) for one in found.failed] == [
        ("gguf:q4_0", "fidelity: tiny.q4_0.gguf: killed by SIGSEGV")
    ]
    tried_again = Engines()
    assert not compare(tried_again).failed and tried_again.fidelities == ["gguf:q4_0 torch:float32"]


def test_a_busy_machine_is_remembered_with_its_times(
    compare: Callable[..., Comparison], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (99.0, 99.0, 99.0), raising=False)
    compare(Engines())
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0), raising=False)
    assert all(form.busy for form in compare(Engines()).forms)
    assert not any(form.busy for form in compare(Engines(), fresh=True).forms)
