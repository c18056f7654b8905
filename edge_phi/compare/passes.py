"""pass@1 of every form on a benchmark, paired with full precision's problem by problem."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from ..completion.decode import DecodeSettings
from ..cores import usable_cores
from ..errors import EdgePhiError, InvalidCall
from ..evaluate.benchmarks import BENCHMARKS, BenchmarkName, load_benchmark
from ..evaluate.compare import compare
from ..evaluate.journal import settings_sha256
from ..evaluate.model_run import ModelWriter, model_settings, run_name
from ..evaluate.problem import Benchmark, Problem
from ..evaluate.prompts import PromptForm
from ..evaluate.run import Plan, run
from ..evaluate.sandbox import Sandbox
from ..measure.bench import published
from ..measure.figures import NotMeasured
from ..measure.progress import Progress
from ..store import Artifact
from .forms import Passes

_PROMPT: PromptForm = "stripped"
_SETTINGS = DecodeSettings(max_tokens=512)  # greedy; as `edge-phi eval` writes by default
_REQUEST = re.compile(r"(?P<name>[a-z-]+)(?::(?P<limit>[1-9]\d{0,4}))?")


@dataclass(frozen=True)
class Evaluation:
    """A benchmark to run, and where its programs are checked."""

    benchmark: Benchmark
    problems: tuple[Problem, ...]
    sandbox: Sandbox


def parse_request(text: str) -> tuple[BenchmarkName, int | None]:
    """A benchmark and how many of its problems, as in "humaneval" or "humaneval:20".

    Raises:
        InvalidCall: `text` is something else.
    """
    match = _REQUEST.fullmatch(text)
    name = next((name for name in get_args(BenchmarkName) if match and name == match["name"]), None)
    if match is None or name is None:
        raise InvalidCall(
            f"--eval is {text[:40]!r}: give {', '.join(BENCHMARKS)}, or the first of one, as humaneval:20"
        )
    return name, int(match["limit"]) if match["limit"] else None


def open_evaluation(request: str, sandbox: Sandbox, *, data: Path | None, offline: bool) -> Evaluation:
    """What `parse_request` reads, loaded; `data` and `offline` as in `evaluate.data.read_data`.

    Raises:
        InvalidCall: no such benchmark, or its file is not on this machine and must not be downloaded.
        InvalidFile: its file is not the published one.
        EdgePhiError: its file cannot be downloaded.
    """
    name, limit = parse_request(request)
    benchmark = load_benchmark(name, data=data, offline=offline)
    return Evaluation(benchmark, benchmark.problems[:limit], sandbox)


def passes_of(
    artifacts: Sequence[Artifact],
    baseline: Artifact | None,
    evaluation: Evaluation,
    progress: Progress,
    *,
    folder: Path,
    machine: Mapping[str, Any],
    threads: int,
    fresh: bool,
) -> tuple[dict[str, Passes], list[NotMeasured]]:
    """Run the benchmark with each form, greedily, going on with what is in `folder`; and the forms that failed.

    Args:
        artifacts: the forms.
        baseline: full precision, one of them.
        evaluation: what to run.
        progress: who is told.
        folder: where runs are kept.
        machine: what else than the form and the settings may decide what is written.
        threads: computing threads.
        fresh: forget runs that are there.
    """
    places: dict[str, Path] = {}
    found: dict[str, Passes] = {}
    failed: list[NotMeasured] = []
    for artifact in artifacts:
        try:
            places[artifact.name], found[artifact.name] = _run(
                artifact, evaluation, progress, folder, machine, threads, fresh
            )
        except EdgePhiError as error:
            failed.append(NotMeasured(artifact.name, f"{evaluation.benchmark.name}: {published(artifact, error)}"))
            progress.note(f"{artifact.name}: {failed[-1].reason}")
    if baseline is not None and baseline.name in places:
        for name, place in places.items():
            flips = compare(places[baseline.name], place)
            found[name] = replace(found[name], gained=flips.only_second, lost=flips.only_first, p_value=flips.p_value)
    return found, failed


def _run(
    artifact: Artifact,
    evaluation: Evaluation,
    progress: Progress,
    folder: Path,
    machine: Mapping[str, Any],
    threads: int,
    fresh: bool,
) -> tuple[Path, Passes]:
    benchmark, stops = evaluation.benchmark, evaluation.benchmark.published_stops
    settings = model_settings(artifact, benchmark, _SETTINGS, prompt=_PROMPT, stops=stops, threads=threads, batch=1)
    identity = settings_sha256({**settings, "machine": machine, "problems": len(evaluation.problems)})
    place = folder / benchmark.name / f"{run_name(artifact, _SETTINGS, _PROMPT, stops)}-{identity[:16]}"
    if fresh:
        shutil.rmtree(place, ignore_errors=True)
    plan = Plan(
        name=f"{benchmark.name} {artifact.name}",
        benchmark=benchmark,
        problems=evaluation.problems,
        prompt=_PROMPT,
        samples=1,
        settings=settings,
        folder=place,
    )
    writer = ModelWriter(artifact, _SETTINGS, threads=threads)
    try:
        result = run(plan, lambda asks: writer.write(asks, stops), evaluation.sandbox, progress, workers=usable_cores())
    finally:
        writer.close()
    estimate = result.score.pass_at_k.get(1)
    if estimate is None:
        raise EdgePhiError(f"{benchmark.name} {artifact.name}: not one problem could be judged: see 'edge-phi doctor'")
    bound = result.score.bound  # none or all solved, where resampling finds no spread
    return place, Passes(
        benchmark=benchmark.name,
        problems=result.score.problems,
        solved=result.score.solved,
        pass_at_1=estimate.value,
        low=estimate.low if bound is None or not result.score.solved else 1 - bound,
        high=estimate.high if bound is None or result.score.solved else bound,
        gained=None,
        lost=None,
        p_value=None,
        left_out=(*result.errors, *result.missing),
    )
