"""One engine in a process of its own: the memory it is charged with is its own, and if it dies, it dies alone.

The job goes to the child's stdin and its measurement comes from the child's stdout, each one JSON object.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..completion.session import Session
from ..errors import EdgePhiError
from ..runtimes import open_runtime, open_tokenizer
from ..store import Artifact
from . import process
from .first_line import first_lines_ms
from .memory import peak_resident_bytes, resident_bytes
from .timing import PromptTiming, time_prompt

# Before the clock counts: the engine's first calls allocate buffers and wake threads.
_WARM_UP_TOKENS = 2

_COMMAND = process.python("from edge_phi.measure.worker import main; main()")


@dataclass(frozen=True)
class Job:
    """What one process is to load and to time."""

    artifact: Artifact
    prompts: tuple[tuple[int, ...], ...]
    new_tokens: int
    threads: int
    cursors: tuple[str, ...] = ()  # texts before a cursor, to time the first line at; see `first_line`


@dataclass(frozen=True)
class Measurement:
    """What one process found: one round of one form of a model."""

    load_ms: float  # engine's import included: what a command that completes once has to wait
    engine: str  # that was loaded, which is not always the one that was looked for
    threads: int
    base_rss_bytes: int | None  # the interpreter with numpy, before the engine was imported
    peak_rss_bytes: int | None  # all of the process
    timings: tuple[PromptTiming, ...]  # one a prompt
    first_lines_ms: tuple[float | None, ...] = ()  # one a cursor; None where nothing was suggested


def measure(job: Job, *, command: Sequence[str] = _COMMAND) -> Measurement:
    """Do a job in a child process.

    Raises:
        MissingExtra: the engine is not installed.
        EdgePhiError: the child failed or died; says how.
    """
    found = process.ask(command, _as_json(job))
    try:
        return measurement_from_json(found)
    except (ValueError, KeyError, TypeError) as error:
        raise EdgePhiError(f"its process gave no measurement ({error})") from error


def measurement_from_json(found: dict[str, Any]) -> Measurement:
    """The measurement that `dataclasses.asdict` made `found` of.

    Raises:
        ValueError, KeyError, TypeError: `found` is not of one.
    """
    timings = tuple(
        PromptTiming(**(timing | {"itl_ms": tuple(timing["itl_ms"]), "tokens": tuple(timing["tokens"])}))
        for timing in found["timings"]
    )
    first_lines = tuple(found["first_lines_ms"])
    return Measurement(**(found | {"timings": timings, "first_lines_ms": first_lines}))


def main() -> None:
    """The child: read a job from stdin, write its measurement to stdout."""
    base = resident_bytes()
    process.serve(lambda job: asdict(_measure_here(_from_json(job), base)))


def _measure_here(job: Job, base_rss_bytes: int | None) -> Measurement:
    start = time.perf_counter_ns()
    runtime = open_runtime(job.artifact, threads=job.threads)
    load_ms = (time.perf_counter_ns() - start) / 1e6
    try:
        time_prompt(runtime, min(job.prompts, key=len), _WARM_UP_TOKENS)
        timings = tuple(time_prompt(runtime, prompt, job.new_tokens) for prompt in job.prompts)
        peak = peak_resident_bytes()
        first_lines: tuple[float | None, ...] = ()
        if job.cursors:
            session = Session(runtime, open_tokenizer(job.artifact), model=job.artifact.model, load_ms=load_ms)
            first_lines = first_lines_ms(session, job.cursors)
        info = runtime.info
        return Measurement(load_ms, info.engine, info.threads, base_rss_bytes, peak, timings, first_lines)
    finally:
        runtime.close()


def artifact_as_json(artifact: Artifact) -> dict[str, Any]:
    """An artifact for another process."""
    return asdict(artifact) | {"path": os.fspath(artifact.path), "folder": os.fspath(artifact.folder)}


def artifact_from_json(found: dict[str, Any]) -> Artifact:
    """The artifact that `artifact_as_json` was given."""
    return Artifact(**(found | {name: Path(found[name]) for name in ("path", "folder")}))


def _as_json(job: Job) -> dict[str, Any]:
    return asdict(job) | {"artifact": artifact_as_json(job.artifact)}


def _from_json(job: dict[str, Any]) -> Job:
    prompts = tuple(tuple(prompt) for prompt in job["prompts"])
    artifact = artifact_from_json(job["artifact"])
    return Job(artifact, prompts, job["new_tokens"], job["threads"], tuple(job["cursors"]))
