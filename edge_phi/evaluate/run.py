"""A run: completions written or read, checked, counted, and kept in a folder from which it can go on.

completions.jsonl    settings, then a line a sample: what the model wrote, whole ("raw") and cut ("completion")
verdicts.jsonl       how they were checked, then a line a verdict
report.json          the result
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..atomic import write_bytes
from ..measure.progress import Progress
from .check import HARNESS, MEMORY_BYTES, Checker, program_sha256
from .generate import Ask
from .journal import Journal, read_journal
from .problem import Benchmark, Problem
from .prompts import PromptForm, prompt_text
from .reference import BASE_S, FACTOR, cpu_seconds_allowed
from .sandbox import Outcome, Sandbox, Verdict
from .score import OUTCOMES, Result, result
from .similar import Similar

COMPLETIONS, VERDICTS, REPORT = "completions.jsonl", "verdicts.jsonl", "report.json"

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """What is to be judged, and how it is counted."""

    name: str  # for people
    benchmark: Benchmark
    problems: tuple[Problem, ...]  # of the benchmark's, those to be judged
    prompt: PromptForm
    samples: int  # of each problem
    settings: Mapping[str, Any]  # all that decides what is written
    folder: Path
    ks: tuple[int, ...] = (1,)
    similar: Similar | None = None
    left_out: int = 0  # lines of a file of completions that were of no use


def run(
    plan: Plan,
    write: Callable[[Sequence[Ask]], Iterable[Record]],
    sandbox: Sandbox,
    progress: Progress,
    *,
    workers: int,
) -> Result:
    """Have written what is not there yet, check what was not checked yet, and report.

    Args:
        plan: what to do.
        write: gives a record for each of some asks, in any order: task_id, sample, completion, and what else is known.
        sandbox: where programs are checked, `workers` at a time.
        progress: told how far it is, with the score so far.
        workers: how many programs are checked at a time.

    Raises:
        InvalidCall: the folder holds a run with other settings.
        EdgePhiError: the model fails, the disk is full, or a published solution does not pass here.
    """
    asks = [
        Ask(problem.task_id, sample, prompt_text(problem.prompt, plan.prompt))
        for problem in plan.problems
        for sample in range(plan.samples)
    ]
    numbers = {(ask.task_id, ask.sample): number for number, ask in enumerate(asks)}
    problems = {problem.task_id: problem for problem in plan.problems}
    cpu_seconds = cpu_seconds_allowed(plan.benchmark, plan.problems, progress)
    scoring = {
        "harness": HARNESS,
        "data": [list(file) for file in plan.benchmark.data],
        "python": platform.python_version(),
        "memory_bytes": MEMORY_BYTES,
        "cpu_seconds": f"{BASE_S} + {FACTOR} x the published solution",
    }
    _forget_other_scoring(plan.folder / VERDICTS, scoring)
    with (
        Journal(plan.folder / COMPLETIONS, plan.settings) as completions,
        Journal(plan.folder / VERDICTS, scoring) as verdicts,
    ):
        dropped = completions.dropped
        if dropped:
            progress.note(f"{completions.path}: {dropped} damaged lines are left out and written anew")
        written: dict[int, Record] = {}
        outcomes: dict[int, tuple[Outcome, float]] = {}
        programs: dict[int, str] = {}
        tally = _Tally(plan, len(asks), progress)

        def judged(number: int, verdict: Verdict) -> None:
            outcomes[number] = (verdict.outcome, verdict.seconds)
            verdicts.append(
                {
                    "task_id": asks[number].task_id,
                    "sample": asks[number].sample,
                    "program": program_sha256(programs.pop(number)),
                    "outcome": verdict.outcome,
                    "detail": verdict.detail,
                    "seconds": round(verdict.seconds, 3),
                }
            )
            tally.judged(verdict.outcome)

        checker = Checker(sandbox, workers, judged)
        known = _known(verdicts.records)

        def take(record: Record) -> None:
            number = numbers.get((record.get("task_id", ""), record.get("sample", -1)))
            if number is None or number in written or not isinstance(record.get("completion"), str):
                return  # a problem or a sample that this run does not want, or a line of no use
            written[number] = record
            tally.written()
            program = program_of(record, asks[number].prompt)
            verdict = known.get((program_sha256(program), asks[number].task_id))
            if verdict is None:
                programs[number] = program
                checker.add(number, problems[asks[number].task_id], program, cpu_seconds[asks[number].task_id])
            else:
                outcomes[number] = verdict
                tally.judged(verdict[0])

        try:
            for there in completions.records:
                take(there)
            for record in write([ask for number, ask in enumerate(asks) if number not in written]):
                completions.append(record)
                take(record)
            checker.finish()
        finally:
            checker.close()

    numbered = sorted(written)
    found = result(
        plan.settings,
        [problem.task_id for problem in plan.problems],
        [written[number] for number in numbered],
        [outcomes[number] for number in numbered],
        ks=plan.ks,
        similar=plan.similar,
        dropped=dropped + plan.left_out,
    )
    write_bytes(plan.folder / REPORT, (json.dumps(found.to_json(), indent=2) + "\n").encode())
    progress.finished(tally.line())
    return found


def program_of(record: Record, prompt: str) -> str:
    """The program a record stands for: its own, or `prompt` and the completion."""
    program = record.get("program")
    return program if isinstance(program, str) else prompt + str(record["completion"])


def last_verdicts(records: Iterable[Record]) -> dict[tuple[str, int], Outcome]:
    """The outcome of each sample by its task and number, where there are several the last."""
    return {
        (record["task_id"], record["sample"]): record["outcome"]
        for record in records
        if isinstance(record.get("task_id"), str)
        and isinstance(record.get("sample"), int)
        and record.get("outcome") in OUTCOMES
    }


class _Tally:
    """Tells how far a run is; where there is no terminal, at every tenth of it."""

    def __init__(self, plan: Plan, total: int, progress: Progress) -> None:
        self._name, self._total, self._progress = plan.name, total, progress
        self._written = self._judged = self._passed = self._errors = 0

    def written(self) -> None:
        """One more text is there."""
        self._written += 1
        self._show()

    def judged(self, outcome: Outcome) -> None:
        """One more text has a verdict."""
        self._judged += 1
        self._passed += outcome == "pass"
        self._errors += outcome == "infrastructure_error"
        self._show()
        if self._judged < self._total and self._judged * 10 // self._total > (self._judged - 1) * 10 // self._total:
            self._progress.finished(self.line())

    def line(self) -> str:
        """Where the run is, with the score so far."""
        said = f"{self._name}: {self._written} of {self._total} written, {self._judged - self._errors} judged"
        if self._judged > self._errors:
            said += f", {self._passed / (self._judged - self._errors):.1%} pass"
        return said + (f", {self._errors} INFRASTRUCTURE ERRORS" if self._errors else "")

    def _show(self) -> None:
        self._progress.working(self.line(), self._judged, self._total)


def _known(records: Iterable[Record]) -> dict[tuple[str, str], tuple[Outcome, float]]:
    """Verdicts by program and task; an infrastructure error is none, and is tried again."""
    return {
        (record["program"], record["task_id"]): (record["outcome"], record["seconds"])
        for record in records
        if record.get("outcome") in ("pass", "fail", "timeout") and {"program", "task_id", "seconds"} <= record.keys()
    }


def _forget_other_scoring(path: Path, scoring: dict[str, Any]) -> None:
    """Verdicts of another harness, another Python or other tests are found anew."""
    if path.is_file() and path.stat().st_size and read_journal(path)[0] != scoring:
        path.unlink()
