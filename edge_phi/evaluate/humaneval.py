"""HumanEval: 164 functions to write after their docstrings (Chen et al. 2021, arXiv 2107.03374)."""

from __future__ import annotations

import ast
import gzip
import json
from pathlib import Path
from typing import Any

from .data import HUMANEVAL, read_data
from .problem import Benchmark, Problem
from .stop_rules import BODY_STRUCTURE, HUMANEVAL_STOPS


def load_humaneval(*, data: Path | None = None, offline: bool = False) -> Benchmark:
    """The 164 problems of `HumanEval.jsonl.gz`.

    Raises:
        EdgePhiError: as `read_data`.
    """
    rows = json_lines(gzip.decompress(read_data(HUMANEVAL, data=data, offline=offline)))
    problems = tuple(_problem(row) for row in rows)
    return Benchmark("humaneval", problems, HUMANEVAL_STOPS, BODY_STRUCTURE, ((HUMANEVAL.name, HUMANEVAL.sha256),))


def json_lines(raw: bytes) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file that was checked against its hash."""
    return [json.loads(line) for line in raw.splitlines() if line.strip()]


def other_functions(prompt: str, entry_point: str) -> str:
    """The imports and whole functions that a prompt gives along with the one it asks for; tests may call them."""
    kept = [
        node
        for node in ast.parse(prompt + "    pass\n").body
        if not (isinstance(node, ast.FunctionDef) and node.name == entry_point)
    ]
    return "\n".join(ast.unparse(node) for node in kept)


def _problem(row: dict[str, Any]) -> Problem:
    return Problem(
        task_id=row["task_id"],
        prompt=row["prompt"],
        entry_point=row["entry_point"],
        canonical_solution=row["canonical_solution"],
        tests=f"{row['test']}\n\ncheck({row['entry_point']})\n",
        names=(row["entry_point"],),
        helpers=other_functions(row["prompt"], row["entry_point"]),
    )
