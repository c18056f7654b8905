"""One engine in a process of its own: the memory it is charged with is its own, and if it dies, it dies alone.

The job goes to the child's stdin and its measurement comes from the child's stdout, each one JSON object.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import EdgePhiError, MissingExtra
from ..runtimes import open_runtime
from ..store import Artifact
from . import process
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


@dataclass(frozen=True)
class Measurement:
    """What one process found: one round of one form of a model."""

    load_ms: float  # engine's import included: what a command that completes once has to wait
    threads: int
    base_rss_bytes: int | None  # the interpreter with numpy, before the engine was imported
    peak_rss_bytes: int | None  # all of the process
    timings: tuple[PromptTiming, ...]  # one a prompt


def measure(job: Job, *, command: Sequence[str] = _COMMAND) -> Measurement:
    """Do a job in a child process.

    Raises:
        MissingExtra: the engine is not installed.
        EdgePhiError: the child failed or died; says how.
    """
    answer = process.run(command, stdin=json.dumps(_as_json(job)))
    try:
        found = json.loads(answer)
        if "error" in found:
            raise (MissingExtra if found["missing_extra"] else EdgePhiError)(found["error"])
        timings = tuple(
            PromptTiming(**(timing | {"itl_ms": tuple(timing["itl_ms"]), "tokens": tuple(timing["tokens"])}))
            for timing in found["timings"]
        )
        return Measurement(**(found | {"timings": timings}))
    except (ValueError, KeyError, TypeError) as error:
        raise EdgePhiError(f"its process gave no measurement ({error})") from error


def main() -> None:
    """The child: read a job from stdin, write its measurement to stdout."""
    # The parent's affair; and an engine deep in native code would not see Python's own handler.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Engines print to stdout as they please: what they print goes to stderr, the answer to where stdout was.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answer:
        os.dup2(2, 1)
        base = resident_bytes()
        job = _from_json(json.load(sys.stdin))
        try:
            found = asdict(_measure_here(job, base))
        except EdgePhiError as error:
            found = {"error": str(error), "missing_extra": isinstance(error, MissingExtra)}
        json.dump(found, answer)


def _measure_here(job: Job, base_rss_bytes: int | None) -> Measurement:
    start = time.perf_counter_ns()
    runtime = open_runtime(job.artifact, threads=job.threads)
    load_ms = (time.perf_counter_ns() - start) / 1e6
    try:
        time_prompt(runtime, min(job.prompts, key=len), _WARM_UP_TOKENS)
        timings = tuple(time_prompt(runtime, prompt, job.new_tokens) for prompt in job.prompts)
        return Measurement(load_ms, runtime.info.threads, base_rss_bytes, peak_resident_bytes(), timings)
    finally:
        runtime.close()


def _as_json(job: Job) -> dict[str, Any]:
    artifact = asdict(job.artifact)
    artifact |= {name: os.fspath(artifact[name]) for name in ("path", "folder")}
    return asdict(job) | {"artifact": artifact}


def _from_json(job: dict[str, Any]) -> Job:
    artifact = job["artifact"]
    artifact |= {name: Path(artifact[name]) for name in ("path", "folder")}
    prompts = tuple(tuple(prompt) for prompt in job["prompts"])
    return Job(Artifact(**artifact), prompts, job["new_tokens"], job["threads"])
