"""MBPP: short tasks in words, each with three asserts (Austin et al. 2021, arXiv 2108.07732).

Two sets are in use: the test split of all 974 tasks, ids 11 to 510, and the 427 tasks that were checked by hand, whose
texts and asserts differ in places ("sanitized").
"""

from __future__ import annotations

import ast
import json
import warnings
from pathlib import Path
from typing import Any, Literal

from .data import MBPP, MBPP_SANITIZED, read_data
from .humaneval import json_lines
from .problem import Benchmark, Problem
from .stop_rules import MBPP_STOPS, PROGRAM_STRUCTURE

Split = Literal["test", "sanitized"]

_TEST_IDS = range(11, 511)


def load_mbpp(split: Split = "test", *, data: Path | None = None, offline: bool = False) -> Benchmark:
    """The 500 problems of the test split, or the 427 sanitized ones.

    Raises:
        EdgePhiError: as `read_data`.
    """
    if split == "sanitized":
        rows = json.loads(read_data(MBPP_SANITIZED, data=data, offline=offline))
        problems = tuple(_problem(row, row["prompt"], "\n".join(row["test_imports"])) for row in rows)
        source = (MBPP_SANITIZED.name, MBPP_SANITIZED.sha256)
        return Benchmark("mbpp-sanitized", problems, MBPP_STOPS, PROGRAM_STRUCTURE, (source,))
    rows = json_lines(read_data(MBPP, data=data, offline=offline))
    problems = tuple(_problem(row, row["text"], "") for row in rows if row["task_id"] in _TEST_IDS)
    return Benchmark("mbpp", problems, MBPP_STOPS, PROGRAM_STRUCTURE, ((MBPP.name, MBPP.sha256),))


def _problem(row: dict[str, Any], text: str, imports: str) -> Problem:
    # Id 367 builds the trees of its tests with a class of the solution, so its setup comes after the code.
    tests = "\n".join([row.get("test_setup_code", ""), *row["test_list"]]).replace("\r\n", "\n").strip() + "\n"
    code = row["code"].replace("\r\n", "\n")
    defined, imported = _top_level(code)
    used = _names(tests)
    names = tuple(name for name in defined if name in used)
    return Problem(
        task_id=f"MBPP/{row['task_id']}",
        prompt=f'"""\n{text}\n{row["test_list"][0]}\n"""\n',
        entry_point=_tested(row["test_list"][0], names),
        canonical_solution=code + "\n",
        tests=tests,
        names=names,
        # A test may count on what the published solution imports.
        helpers="\n".join([imports, *(source for name, source in imported.items() if name in used)]).strip(),
        epilogue=imports,
    )


def _top_level(code: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Functions and classes that a program defines, and the names it imports with the statements that do."""
    defined: list[str] = []
    imported: dict[str, str] = {}
    for node in _parse(code).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            defined.append(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            imported |= {(alias.asname or alias.name).partition(".")[0]: ast.unparse(node) for alias in node.names}
    return tuple(dict.fromkeys(defined)), imported


def _names(source: str) -> set[str]:
    return {node.id for node in ast.walk(_parse(source)) if isinstance(node, ast.Name)}


def _parse(source: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its regular expressions, which are not raw strings
        return ast.parse(source)


def _tested(test: str, names: tuple[str, ...]) -> str:
    """The function of the solution that a test calls first."""
    calls = (node for node in ast.walk(_parse(test)) if isinstance(node, ast.Call))
    return next(call.func.id for call in calls if isinstance(call.func, ast.Name) and call.func.id in names)
