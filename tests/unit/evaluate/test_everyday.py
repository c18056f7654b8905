from __future__ import annotations

import ast
import doctest
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from edge_phi.evaluate.everyday import BY_HAND, description, load_everyday
from edge_phi.evaluate.problem import Problem
from edge_phi.evaluate.sandbox import Examination, Limits, Sandbox

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
PROBLEMS = load_everyday().problems


def outcome(sandbox: Sandbox, problem: Problem, completion: str) -> str:
    examination = Examination(problem.prompt + completion, problem.tests, problem.helpers, problem.names)
    return sandbox.check(examination, Limits(seconds=60)).outcome


def changed(problem: Problem) -> str:
    """The solution with a mistake: whatever it returns is wrapped."""
    tree = ast.parse(problem.prompt + problem.canonical_solution)
    returns = [node for node in ast.walk(tree) if isinstance(node, ast.Return) and node.value]
    for node in returns:
        assert node.value
        node.value = ast.Tuple([ast.Constant("wrong"), node.value], ast.Load())
    return ast.unparse(ast.fix_missing_locations(tree))


def test_each_solution_passes_and_nothing_else_does(sandbox: Sandbox) -> None:
    """All solutions pass; an empty answer never does, and the answer that is wrong in every case never does."""
    for problem in PROBLEMS:
        assert outcome(sandbox, problem, problem.canonical_solution) == "pass", problem.task_id
    for problem in PROBLEMS[::3]:
        assert outcome(sandbox, problem, "    pass\n") == "fail", problem.task_id
        program = Examination(changed(problem), problem.tests, problem.helpers, problem.names)
        assert sandbox.check(program, Limits(seconds=60)).outcome == "fail", problem.task_id


def test_one_branch_less_is_noticed(sandbox: Sandbox) -> None:
    """Tests reach the clauses: a drawn problem's solution in which one condition never holds fails."""
    tried = 0
    for problem in PROBLEMS[BY_HAND::7]:
        tree = ast.parse(problem.prompt + problem.canonical_solution)
        conditions = [node for node in ast.walk(tree) if isinstance(node, ast.If)]
        for condition in conditions:
            test, condition.test = condition.test, ast.Constant(False)
            program = Examination(ast.unparse(tree), problem.tests, problem.helpers, problem.names)
            condition.test = test
            tried += 1
            assert sandbox.check(program, Limits(seconds=60)).outcome == "fail", problem.task_id
    assert tried > 20


def test_docstrings_say_what_happens() -> None:
    """Every example holds; texts and names are all different."""
    for problem in PROBLEMS:
        space: dict[str, object] = {}
        exec(problem.prompt + problem.canonical_solution, space)
        test = doctest.DocTestParser().get_doctest(description(problem), space, problem.entry_point, None, 0)
        assert test.examples, problem.task_id
        runner = doctest.DocTestRunner(verbose=False)
        runner.run(test, out=lambda _: None)
        assert not runner.failures, problem.task_id
    for each in ("task_id", "prompt", "entry_point"):
        assert len({getattr(problem, each) for problem in PROBLEMS}) == len(PROBLEMS)


def test_the_second_half_is_what_the_seed_gives() -> None:
    script = runpy.run_path(str(BENCHMARKS / "everyday_problems.py"))
    rows = script["problems"]()
    assert [row["prompt"] for row in rows] == [problem.prompt for problem in PROBLEMS[BY_HAND:]]
    assert [row["test"] for row in rows] == [problem.tests for problem in PROBLEMS[BY_HAND:]]
    assert script["problems"](seed=21, count=10) != rows[:10]


def test_none_is_near_to_another_benchmark(evaluation_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow", reason="the comparison is part of the extra 'train'")
    script = runpy.run_path(str(BENCHMARKS / "everyday_overlap.py"))
    assert script["near_to_benchmarks"](evaluation_data) == []


def test_it_finds_what_training_data_have_seen(tmp_path: Path) -> None:
    """A problem of the set planted among other documents is named in the report, and no other one."""
    pytest.importorskip("pyarrow", reason="the comparison is part of the extra 'train'")
    from edge_phi.train.data.records import Record, write_records

    planted = PROBLEMS[40]
    disguised = planted.canonical_solution.replace("shifted", "letters").replace("char", "symbol")
    texts = [
        "def total(prices):\n    return sum(prices)\n",
        f"def hide(message, key):\n{disguised}",
        "The quick brown fox jumps over the lazy dog.\n",
    ]
    records = [Record(str(at), "x", f"{at}.py", "MIT", text, 0) for at, text in enumerate(texts)]
    write_records(tmp_path / "00000.parquet", records, {}, seen=lambda _: None)
    command = [sys.executable, str(BENCHMARKS / "everyday_overlap.py"), "--shards", str(tmp_path), "--report"]
    report = tmp_path / "decontamination.json"
    subprocess.run([*command, str(report)], check=True, capture_output=True, env=os.environ)
    assert json.loads(report.read_text()) == {"everyday": {"tau": 0.8, "similar": [planted.task_id]}}
