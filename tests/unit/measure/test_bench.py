from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_phi.errors import EdgePhiError, MissingExtra
from edge_phi.measure.bench import BenchSettings, run_bench
from edge_phi.measure.timing import PromptTiming
from edge_phi.measure.worker import Job, Measurement
from edge_phi.store import Model, find_model

SETTINGS = BenchSettings(rounds=3, new_tokens=4)


class Told:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps: list[tuple[str, int, int]] = []
        self.finishes: list[str] = []

    def note(self, line: str) -> None:
        self.notes.append(line)

    def working(self, what: str, done: int, total: int) -> None:
        self.steps.append((what, done, total))

    def finished(self, line: str) -> None:
        self.finishes.append(line)


@pytest.fixture
def model(tmp_path: Path, tiny_checkpoint: Path) -> Model:
    """The tiny checkpoint with files that only have the names of its other forms."""
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).symlink_to(tiny_checkpoint / name)
    (tmp_path / "onnx-int4").mkdir()
    for name in ("model.onnx", "onnx-int4/model.onnx", "tiny.q4_0.gguf", "tiny.iq2_m.gguf"):
        (tmp_path / name).write_bytes(bytes(100))
    return find_model(tmp_path)


def scripted(jobs: list[Job], **refusals: EdgePhiError) -> Callable[[Job], Measurement]:
    """Int4 decodes twice as fast as the others and goes astray at its third token."""

    def measure(job: Job) -> Measurement:
        jobs.append(job)
        kind = job.artifact.name.replace(":", "_")
        if kind in refusals and len([one for one in jobs if one.artifact == job.artifact]) > 1:
            raise refusals[kind]
        itl, tokens = (5.0, (1, 2, 9, 9)) if job.artifact.quant == "int4" else (10.0, (1, 2, 3, 4))
        timings = tuple(PromptTiming(len(prompt), 50.0, (itl,) * 3, tokens) for prompt in job.prompts)
        return Measurement(20.0, job.artifact.engine, job.threads, 30, 100, timings)

    return measure


def test_rounds_are_interleaved_and_the_work_is_the_same_for_all(model: Model) -> None:
    jobs: list[Job] = []
    run_bench(model, Told(), SETTINGS, measure=scripted(jobs))
    order = ["torch:float32", "onnx:float32", "onnx:int4", "gguf:q4_0", "gguf:iq2_m"]
    assert [job.artifact.name for job in jobs] == order * 3
    assert len({(job.prompts, job.new_tokens, job.threads) for job in jobs}) == 1
    # The tiny model has a context of 512 and hardly any merges: the long prompts are cut to leave room.
    lengths = [len(prompt) for prompt in jobs[0].prompts]
    assert lengths == sorted(lengths) and lengths[0] < lengths[-1] == 508


def test_the_report_compares_with_pytorch(model: Model) -> None:
    told = Told()
    report = run_bench(model, told, SETTINGS, measure=scripted([]))
    assert report.baseline == "torch:float32"
    figures = {one.name: one for one in report.artifacts}
    int4, onnx = figures["onnx:int4"], figures["onnx:float32"]
    assert int4.ratios is not None and int4.ratios.decode_tokens_per_s == 2.0
    assert [one.first_difference for one in int4.agreement or ()] == [2] * 4
    assert [one.agreeing_fraction for one in onnx.agreement or ()] == [1.0] * 4
    assert report.ttft_prompt.name == "module"
    assert len(told.finishes) == 5 and told.finishes[2].startswith("onnx:int4: TTFT 50.0 ms, 200.0 tokens/s")
    assert told.steps[0] == ("round 1 of 3: torch:float32", 0, 15) and told.steps[-1][1:] == (14, 15)


def test_without_pytorch_the_baseline_is_onnx_and_the_gap_is_named(model: Model) -> None:
    jobs: list[Job] = []
    works = scripted(jobs)

    def measure(job: Job) -> Measurement:
        if job.artifact.engine == "torch":
            raise MissingExtra("install edge-phi[train]")
        return works(job)

    report = run_bench(model, Told(), SETTINGS, measure=measure)
    assert report.baseline == "onnx:float32"
    assert [(one.name, one.reason) for one in report.skipped] == [("torch:float32", "install edge-phi[train]")]
    assert not report.failed


def test_a_form_that_dies_leaves_and_the_others_go_on(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0), raising=False)
    jobs, told = list[Job](), Told()
    died = EdgePhiError(f"{model.folder}/tiny.q4_0.gguf: killed by SIGSEGV")
    report = run_bench(model, told, SETTINGS, measure=scripted(jobs, gguf_q4_0=died))
    # It fails in the second round and is not tried in the third; the report names no folder of this machine.
    assert [job.artifact.name for job in jobs].count("gguf:q4_0") == 2
    assert [(one.name, one.reason) for one in report.failed] == [("gguf:q4_0", "tiny.q4_0.gguf: killed by SIGSEGV")]
    assert "gguf:q4_0" not in {one.name for one in report.artifacts} and len(report.artifacts) == 4
    assert told.notes == ["gguf:q4_0: tiny.q4_0.gguf: killed by SIGSEGV"]
    assert told.steps[-1][1:] == (14, 15)


def test_when_nothing_can_be_measured_the_work_failed(model: Model) -> None:
    def measure(job: Job) -> Measurement:
        raise EdgePhiError("no")

    with pytest.raises(EdgePhiError, match="not one of its forms"):
        run_bench(model, Told(), SETTINGS, measure=measure)


def test_a_context_without_room_is_refused(model: Model) -> None:
    with pytest.raises(EdgePhiError, match=re.escape("no room for a prompt and 512 new tokens")):
        run_bench(model, Told(), BenchSettings(new_tokens=512), measure=scripted([]))
