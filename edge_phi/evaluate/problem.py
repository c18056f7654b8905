"""A problem of a benchmark, and a benchmark: what a model is asked and how its answer is checked."""

from __future__ import annotations

from dataclasses import dataclass

from .stop_rules import StopRules


@dataclass(frozen=True)
class Problem:
    """One task. What checks it is trusted; what a model makes of it is not."""

    task_id: str
    prompt: str  # as published, the newline at its end included
    entry_point: str  # the function that is asked for
    canonical_solution: str  # `prompt + canonical_solution` is a whole program that passes
    tests: str  # trusted source that raises where a solution is wrong
    names: tuple[str, ...]  # what `tests` takes out of the solution, the entry point among them
    helpers: str = ""  # trusted source that `tests` needs
    epilogue: str = ""  # what the published harness leaves in the solution's own namespace after it


@dataclass(frozen=True)
class Benchmark:
    """A set of problems with the prompts and stop rules that its published scores were made with."""

    name: str  # "humaneval", "mbpp", "mbpp-sanitized", "humaneval-plus", "mbpp-plus" or "everyday"
    problems: tuple[Problem, ...]
    published_stops: StopRules
    structure_stops: StopRules
    data: tuple[tuple[str, str], ...]  # the files it was read from: name, SHA-256

    def __getitem__(self, task_id: str) -> Problem:
        """The problem of that name.

        Raises:
            KeyError: there is none.
        """
        return {problem.task_id: problem for problem in self.problems}[task_id]
