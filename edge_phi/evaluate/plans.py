"""What a call of `edge-phi eval` asks for, as runs: a model in one prompt form after another, or given completions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import cast

from ..completion.decode import DecodeSettings
from ..errors import InvalidCall
from ..lineage import sha256_of
from ..store import find_model
from .generate import Ask
from .model_run import ModelWriter, model_settings, run_name
from .problem import Benchmark, Problem
from .prompts import PromptForm
from .run import Plan, Record
from .samples import Sample, canonical_samples, read_samples
from .similar import read_similar

_USUAL_KS = (1, 10, 100)

Write = Callable[[Sequence[Ask]], Iterable[Record]]


class Plans:
    """Runs with what writes their completions; a context manager that frees the model."""

    def __init__(self, plans: Sequence[tuple[Plan, Write]], close: Callable[[], None]) -> None:
        self._plans, self._close = plans, close

    def __iter__(self) -> Iterator[tuple[Plan, Write]]:
        return iter(self._plans)

    def __enter__(self) -> Plans:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()


def model_plans(
    benchmark: Benchmark,
    problems: tuple[Problem, ...],
    *,
    model: str,
    quant: str | None,
    settings: DecodeSettings,
    forms: Sequence[str],
    stops: str,
    samples: int,
    ks: tuple[int, ...],
    batch: int,
    must_batch: bool,
    threads: int,
    out: Path,
) -> Plans:
    """A run of a model for each prompt form, in `out`/BENCHMARK/MODEL-FORM-PROMPT.

    Raises:
        InvalidCall: no such model or form, or it cannot write `batch` texts at once and `must_batch`.
        InvalidFile: its decontamination report is damaged.
    """
    found = find_model(model)
    artifact = found.artifact(quant)
    if artifact.format != "safetensors" and not must_batch:
        batch = 1
    writer = ModelWriter(artifact, settings, threads=threads, batch=batch)
    rules = benchmark.published_stops if stops == "published" else benchmark.structure_stops
    similar = read_similar(found.folder, benchmark.name)
    plans: list[tuple[Plan, Write]] = []
    for form in cast(Sequence[PromptForm], forms):
        name = run_name(artifact, settings, form, rules)
        plan = Plan(
            name=f"{benchmark.name} {name}",
            benchmark=benchmark,
            problems=problems,
            prompt=form,
            samples=samples,
            settings=model_settings(
                artifact, benchmark, settings, prompt=form, stops=rules, threads=threads, batch=batch
            ),
            folder=out / benchmark.name / name,
            ks=_checked(ks, samples),
            similar=similar,
        )
        plans.append((plan, lambda asks: writer.write(asks, rules)))
    return Plans(plans, writer.close)


def sample_plan(
    benchmark: Benchmark, problems: tuple[Problem, ...], completions: Path | None, *, ks: tuple[int, ...], out: Path
) -> Plans:
    """A run of the completions in a file, or of the published solutions if there is none.

    Raises:
        InvalidCall: the file cannot be read, or holds nothing of this benchmark.
    """
    settings: dict[str, object] = {"benchmark": benchmark.name, "data": [list(file) for file in benchmark.data]}
    left_out = 0
    if completions is None:
        samples, name = canonical_samples(benchmark), "canonical"
        settings |= {"model": "published solutions"}
    else:
        read = read_samples(completions, benchmark)
        samples, left_out = read.samples, read.unreadable + read.unknown
        digest = sha256_of(completions)
        name = f"{completions.stem}-{digest[:8]}"
        settings |= {"model": completions.name, "files": {completions.name: digest}}
    wanted = {problem.task_id for problem in problems}
    counts = Counter(sample.task_id for sample in samples if sample.task_id in wanted)
    if not counts:
        raise InvalidCall(f"{completions}: has no completion of the first {len(problems)} problems: raise --limit")
    plan = Plan(
        name=f"{benchmark.name} {name}",
        benchmark=benchmark,
        problems=problems,
        prompt="as-given",
        samples=max(counts.values()),
        settings=settings,
        folder=out / benchmark.name / name,
        ks=_checked(ks, min(counts.values())),
        left_out=left_out,
    )
    by_key = {(sample.task_id, sample.sample): sample for sample in samples}

    def write(asks: Sequence[Ask]) -> Iterator[Record]:
        for ask in asks:
            if sample := by_key.get((ask.task_id, ask.sample)):
                yield _record(sample)

    return Plans([(plan, write)], lambda: None)


def _checked(ks: tuple[int, ...], samples: int) -> tuple[int, ...]:
    if ks and max(ks) > samples:
        raise InvalidCall(f"pass@{max(ks)} takes {max(ks)} samples of each problem, not {samples}: set -k or --samples")
    return ks or tuple(k for k in _USUAL_KS if k <= samples)


def _record(sample: Sample) -> Record:
    return {
        "task_id": sample.task_id,
        "sample": sample.sample,
        "program": sample.program,
        "completion": sample.completion,
    }
