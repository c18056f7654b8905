"""Measure every form of a model, taking what was measured before from the cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import EdgePhiError
from ..evaluate.model_run import files_of
from ..lineage import sha256_of
from ..measure.bench import BenchSettings, Measure, context_length, published, run_bench
from ..measure.fidelity import Fidelity
from ..measure.figures import NotMeasured
from ..measure.first_line import cursors
from ..measure.held_out import Windows, held_out_windows
from ..measure.machine import Machine, engine_version, this_machine
from ..measure.progress import Progress
from ..measure.worker import Job, Measurement, measurement_from_json
from ..measure.worker import measure as measure_in_process
from ..runtimes import open_tokenizer
from ..store import Artifact, Model
from .cache import Cache
from .fidelity_process import fidelity_from_json, fidelity_of
from .forms import Comparison, Form, HeldOut, Passes, first_line_of
from .passes import Evaluation, passes_of

# 6,132 positions. On four sets of as many, phi-1-nano's int4 had a mean KL divergence of 0.0058 to 0.0063.
_WINDOWS = 12
_WINDOW_TOKENS = 512

FidelityOf = Callable[[Artifact, Artifact, Windows, int], Fidelity]


@dataclass(frozen=True)
class CompareSettings:
    """What is measured."""

    bench: BenchSettings = field(default_factory=BenchSettings)
    text: Path | None = None  # for fidelity; held-out text of this machine if None
    evaluation: Evaluation | None = None  # a benchmark to run


def run_comparison(
    model: Model,
    progress: Progress,
    cache: Cache,
    settings: CompareSettings = CompareSettings(),
    *,
    skipped: tuple[NotMeasured, ...] = (),
    measure: Measure = measure_in_process,
    fidelity: FidelityOf = fidelity_of,
) -> Comparison:
    """Speed and memory as `run_bench`, with the time to the first line; then fidelity; then the benchmark.

    Every result goes into the cache as it is found, so that a comparison that was interrupted goes on where it was.

    Args:
        model: whose forms are compared.
        progress: who is told.
        cache: where results are looked for and kept.
        settings: what is measured.
        skipped: forms known beforehand to be missing, for the report.
        measure: times one job in a process of its own.
        fidelity: compares two artifacts in a process of its own.

    Raises:
        EdgePhiError: not one form could be measured, or the disk is full.
        InvalidCall, InvalidFile: the text, the tokenizer or the configuration is missing or damaged.
    """
    windows, text = _windows(model, settings.text)
    timed = _Timed(cache, measure)
    bench = run_bench(model, progress, settings.bench, skipped=skipped, measure=timed)
    artifacts = {artifact.name: artifact for artifact in model.artifacts}
    baseline = artifacts[bench.baseline] if bench.baseline else None
    names = [figures.name for figures in bench.artifacts]
    failed: list[NotMeasured] = []
    faithful: dict[str, Fidelity] = {}
    dates: dict[str, list[str]] = defaultdict(list, timed.dates)
    if baseline is not None:
        others = [name for name in names if name != baseline.name]
        for done, name in enumerate(others):
            progress.working(f"fidelity: {name} against {baseline.name}", done, len(others))
            try:
                faithful[name], date = _fidelity(
                    artifacts[name], baseline, windows, text, bench.machine, cache, fidelity
                )
            except EdgePhiError as error:
                failed.append(NotMeasured(name, f"fidelity: {published(artifacts[name], error)}"))
                progress.note(f"{name}: {failed[-1].reason}")
                continue
            dates[name].append(date)
            progress.finished(f"{name}: KL {faithful[name].kl_mean:.3g}, top-1 {faithful[name].top1:.1%}")
        if faithful:  # what the baseline says of the text is in every comparison with it
            one = next(iter(faithful.values()))
            faithful[baseline.name] = Fidelity(
                one.baseline_perplexity, one.baseline_perplexity, 0.0, 0.0, 1.0, one.positions
            )
    passes: Mapping[str, Passes] = {}
    if settings.evaluation is not None:
        passes, without = passes_of(
            [artifacts[name] for name in names],
            baseline,
            settings.evaluation,
            progress,
            folder=cache.folder / "eval",
            machine=_identity(bench.machine),
            threads=bench.machine.cores,
            fresh=cache.fresh,
        )
        failed += without
    forms = tuple(
        Form(
            figures=figures,
            first_line=first_line_of(timed.first_lines[figures.name]),
            fidelity=faithful.get(figures.name),
            passes=passes.get(figures.name),
            measured=min(dates[figures.name]),
            busy=figures.name in timed.busy,
        )
        for figures in bench.artifacts
    )
    if cache.found:
        progress.note(f"{cache.found} results were there from before; --fresh measures all anew")
    return Comparison(bench, forms, text if faithful else None, tuple(failed))


class _Timed:
    """A `Measure` that times first lines too, and asks the cache first; its calls for a form are its rounds."""

    def __init__(self, cache: Cache, measure: Measure) -> None:
        self._cache, self._measure = cache, measure
        machine = this_machine()
        self._machine, self._busy = _identity(machine), machine.busy
        self._rounds: Counter[Artifact] = Counter()
        self.first_lines: dict[str, list[tuple[float | None, ...]]] = defaultdict(list)
        self.dates: dict[str, list[str]] = defaultdict(list)
        self.busy: set[str] = set()  # forms of which a round was timed while the machine had other things to do

    def __call__(self, job: Job) -> Measurement:
        self._rounds[job.artifact] += 1
        job = replace(job, cursors=cursors())
        key = {
            **_key(job.artifact, self._machine),
            "work": _sha256([job.prompts, job.new_tokens, job.cursors]),
            "threads": job.threads,
            "round": self._rounds[job.artifact],
        }
        kept = self._cache.get("timing", key)
        found = _measurement(kept.result) if kept else None
        if kept is None or found is None:
            found = self._measure(job)
            kept = self._cache.put("timing", key, {"measurement": asdict(found), "busy": self._busy})
        if kept.result["busy"]:
            self.busy.add(job.artifact.name)
        self.first_lines[job.artifact.name].append(found.first_lines_ms)
        self.dates[job.artifact.name].append(kept.measured)
        return found


def _fidelity(
    artifact: Artifact,
    baseline: Artifact,
    windows: Windows,
    text: HeldOut,
    machine: Machine,
    cache: Cache,
    fidelity: FidelityOf,
) -> tuple[Fidelity, str]:
    """The fidelity of a form and when it was measured."""
    identity = _identity(machine)
    key = {
        **_key(artifact, identity),
        "baseline": _key(baseline, identity),
        "text": text.sha256,
        "threads": machine.cores,
    }
    kept = cache.get("fidelity", key)
    if kept is not None:
        with contextlib.suppress(TypeError):  # of a version that measured something else
            return fidelity_from_json(kept.result), kept.measured
    found = fidelity(artifact, baseline, windows, machine.cores)
    return found, cache.put("fidelity", key, asdict(found)).measured


def _windows(model: Model, text: Path | None) -> tuple[Windows, HeldOut]:
    artifact = model.artifacts[0]
    length = min(_WINDOW_TOKENS, context_length(artifact))
    windows = held_out_windows(open_tokenizer(artifact), length, _WINDOWS, text=text)
    source = text.name if text else "modules of the standard library and docstrings of numpy"
    sha256 = hashlib.sha256(windows.astype("<i4").tobytes()).hexdigest()
    return windows, HeldOut(source, sha256, len(windows), length)


def _key(artifact: Artifact, machine: Mapping[str, Any]) -> dict[str, Any]:
    """What decides how a form behaves."""
    return {
        "form": artifact.name,
        "files": {file.name: _hash(file, file.stat().st_mtime_ns, file.stat().st_size) for file in files_of(artifact)},
        "engine": engine_version(artifact.engine),
        "machine": machine,
        "edge_phi": __version__,
    }


@lru_cache(maxsize=256)
def _hash(file: Path, changed_ns: int, size: int) -> str:
    """SHA-256 of a file that is asked for in every round; gigabytes take seconds."""
    return sha256_of(file)


def _identity(machine: Machine) -> dict[str, Any]:
    """The machine without what it was doing; the engine's version goes into a key by itself."""
    return {name: value for name, value in asdict(machine).items() if name not in ("load_average", "engines")}


def _measurement(found: Any) -> Measurement | None:
    try:
        return measurement_from_json(found["measurement"])
    except (ValueError, KeyError, TypeError):
        return None  # of a version that measured something else


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
