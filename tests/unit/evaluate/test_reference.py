from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import Any

import pytest

from edge_phi.errors import EdgePhiError
from edge_phi.evaluate.problem import Benchmark
from edge_phi.evaluate.reference import BASE_S, cpu_seconds_allowed


class Impatient:
    """Gives up when the first of several solutions is done."""

    def __init__(self, patience: int = 99) -> None:
        self.left, self.notes = patience, 0

    def note(self, line: str) -> None:
        self.notes += 1

    def working(self, what: str, done: int, total: int) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt

    def finished(self, line: str) -> None:
        raise AssertionError(line)


def test_each_solution_is_run_once_on_a_machine(benchmark: Benchmark) -> None:
    first, second = Impatient(), Impatient()
    allowed = cpu_seconds_allowed(benchmark, benchmark.problems, first)
    assert allowed.keys() == {"Ours/0", "Ours/1", "Ours/2"}
    assert all(BASE_S <= seconds < BASE_S + 1 for seconds in allowed.values())
    assert cpu_seconds_allowed(benchmark, benchmark.problems, second) == allowed
    assert (first.notes, second.notes) == (1, 0)


def test_a_slow_solution_makes_the_limit_longer(benchmark: Benchmark) -> None:
    slow = (
        "    import time\n    start = time.process_time()\n    while time.process_time() - start < 0.3:\n        pass\n"
    )
    problem = replace(benchmark.problems[0], canonical_solution=f"{slow}    return x\n")
    assert cpu_seconds_allowed(benchmark, [problem], Impatient())["Ours/0"] > BASE_S + 4 * 0.6  # it is called twice


def test_waiting_for_them_can_be_interrupted(benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    children: list[Any] = []

    class Popen(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            children.append(self)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    endless = [replace(problem, canonical_solution="    while True: pass\n") for problem in benchmark.problems]
    with pytest.raises(KeyboardInterrupt):
        cpu_seconds_allowed(benchmark, [benchmark.problems[0], *endless[1:], *endless[1:]], Impatient(1))
    assert children and all(child.returncode is not None for child in children)


def test_one_that_fails_here_is_named(benchmark: Benchmark) -> None:
    wrong = replace(benchmark.problems[1], canonical_solution="    return nothing\n")
    with pytest.raises(EdgePhiError, match=r"Ours/1: its published solution does not pass.*NameError"):
        cpu_seconds_allowed(benchmark, [wrong], Impatient())
