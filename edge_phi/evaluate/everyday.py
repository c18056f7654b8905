"""Everyday: 300 small functions and classes as people write them at work, of our own.

Problems 0 to 149 were written by hand; 150 to 299 are drawn by `benchmarks/everyday_problems.py`, whose specifications
share nothing with the exercises that models are trained on. None is near to a problem of HumanEval or MBPP; which ones
the training data come near to is said by `benchmarks/everyday_overlap.py`.
"""

from __future__ import annotations

import ast
import hashlib
from importlib.resources import files
from typing import Any

from .humaneval import json_lines
from .problem import Benchmark, Problem
from .stop_rules import BODY_STRUCTURE, HUMANEVAL_STOPS

FILE = "everyday.jsonl"
BY_HAND = 150  # the first so many


def load_everyday() -> Benchmark:
    """The 300 problems, which come with the package."""
    raw = files(__package__).joinpath(FILE).read_bytes()
    problems = tuple(_problem(row) for row in json_lines(raw))
    return Benchmark("everyday", problems, HUMANEVAL_STOPS, BODY_STRUCTURE, ((FILE, hashlib.sha256(raw).hexdigest()),))


def description(problem: Problem) -> str:
    """What a problem asks for, in words: its docstring."""
    asked = ast.parse(problem.prompt + problem.canonical_solution).body[-1]
    assert isinstance(asked, (ast.FunctionDef, ast.ClassDef))
    return ast.get_docstring(asked) or ""


def _problem(row: dict[str, Any]) -> Problem:
    return Problem(
        task_id=row["task_id"],
        prompt=row["prompt"],
        entry_point=row["entry_point"],
        canonical_solution=row["canonical_solution"],
        tests=row["test"],
        names=(row["entry_point"],),
    )
