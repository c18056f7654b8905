from __future__ import annotations

import ast
import gzip
import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from edge_phi.evaluate.benchmarks import BENCHMARKS, BenchmarkName, load_benchmark
from edge_phi.evaluate.mbpp_inputs import mbpp_inputs
from edge_phi.evaluate.problem import Problem
from edge_phi.evaluate.prompts import prompt_text
from edge_phi.evaluate.sandbox import Examination, Limits, Sandbox

SIZES = MappingProxyType(
    {"humaneval": 164, "mbpp": 500, "mbpp-sanitized": 427, "humaneval-plus": 164, "mbpp-plus": 378, "everyday": 300}
)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_it_is_whole(name: BenchmarkName, evaluation_data: Path) -> None:
    benchmark = load_benchmark(name, data=evaluation_data, offline=True)
    assert len(benchmark.problems) == SIZES[name]
    assert len({problem.task_id for problem in benchmark.problems}) == SIZES[name]
    for problem in benchmark.problems:
        assert problem.entry_point in problem.names
        assert problem.prompt.endswith("\n")
        ast.parse(problem.helpers)
        assert problem.entry_point in problem.tests
        assert problem.entry_point in problem.prompt + problem.canonical_solution
    assert benchmark[benchmark.problems[-1].task_id] is benchmark.problems[-1]


def test_prompts_come_both_ways(evaluation_data: Path) -> None:
    problem = load_benchmark("mbpp", data=evaluation_data)["MBPP/11"]
    as_given, stripped = prompt_text(problem.prompt, "as-given"), prompt_text(problem.prompt, "stripped")
    assert as_given == stripped + "\n"
    assert as_given.startswith('"""\n') and stripped.endswith('\n"""')
    assert stripped.count("assert ") == 1


def test_some_tests_need_more_than_the_solution(evaluation_data: Path) -> None:
    humaneval = load_benchmark("humaneval", data=evaluation_data)
    assert "def poly" in humaneval["HumanEval/32"].helpers
    assert "def find_zero" not in humaneval["HumanEval/32"].helpers
    assert "Node" in load_benchmark("mbpp", data=evaluation_data)["MBPP/367"].names
    sanitized = load_benchmark("mbpp-sanitized", data=evaluation_data)
    assert "import sys" in sanitized["MBPP/596"].helpers
    assert sanitized["MBPP/126"].names == ("sum",)  # which hides the builtin


def test_inputs_get_their_types_back() -> None:
    assert mbpp_inputs(2, [[[1], [2]]]) == [[(1,), (2,)]]
    assert mbpp_inputs(115, [[[[1], []]]]) == [[[{1}, {}]]]
    assert mbpp_inputs(124, [["0", "1j"]]) == [[0.0, 1j]]
    assert mbpp_inputs(252, [["1+2j"]]) == [[1 + 2j]]
    assert mbpp_inputs(278, [[[[1, [2]], 3]]]) == [[((1, [2]), 3)]]
    assert mbpp_inputs(580, [[[1, [2]]]]) == [((1, (2,)),)]
    assert mbpp_inputs(722, [[{"a": [1, 2]}, 3]]) == [[{"a": (1, 2)}, 3]]
    assert mbpp_inputs(3, [[[1]]]) == [[[1]]]


def verdict(sandbox: Sandbox, problem: Problem, program: str) -> str:
    examination = Examination(program, problem.tests, problem.helpers, problem.names)
    return sandbox.check(examination, Limits(seconds=60)).outcome


# Programs of ours: what EvalPlus's comparison lets pass, and what it does not.
READINGS: list[tuple[str, str, str, str]] = [
    # An order that the task leaves open; a type that differs.
    ("mbpp-plus", "MBPP/2", "def similar_elements(a, b):\n    return sorted(set(a) & set(b), reverse=True)", "pass"),
    ("mbpp-plus", "MBPP/2", "def similar_elements(a, b):\n    return sorted(set(a) | set(b))", "fail"),
    # Something or nothing, as an object or a truth value.
    ("mbpp-plus", "MBPP/737", "import re\ndef check_str(s):\n    return re.match('[aeiouAEIOU]', s)", "pass"),
    ("mbpp-plus", "MBPP/737", "import re\ndef check_str(s):\n    return bool(re.match('[aeiouAEIOU]', s))", "pass"),
    ("mbpp-plus", "MBPP/737", "def check_str(s):\n    return 'Valid'", "fail"),
    # Either reading of a pyramid's height.
    (
        "mbpp-plus",
        "MBPP/581",
        "import math\ndef surface_Area(b, h):\n    return round(b * b + 2 * b * math.hypot(b / 2, h))",
        "pass",
    ),
    ("mbpp-plus", "MBPP/581", "def surface_Area(b, h):\n    return b * b + 2 * b * h + 1", "fail"),
    # Any root of a polynomial.
    ("humaneval-plus", "HumanEval/32", "def find_zero(xs):\n    return 12.5", "fail"),
    # Floats up to a millionth, integers exactly.
    ("humaneval-plus", "HumanEval/2", "def truncate_number(x):\n    return x % 1 + 1e-8", "pass"),
    ("humaneval-plus", "HumanEval/2", "def truncate_number(x):\n    return x % 1 + 1e-4", "fail"),
    ("humaneval-plus", "HumanEval/53", "def add(x, y):\n    return x + y + 1e-9", "fail"),
    ("humaneval-plus", "HumanEval/53", "def add(x, y):\n    return x + y", "pass"),
]


def test_five_inputs_are_left_out_and_no_others(plus: dict[str, Any], evaluation_data: Path) -> None:
    folder = evaluation_data / "eval" if (evaluation_data / "eval").is_dir() else evaluation_data
    rows = map(json.loads, gzip.decompress((folder / "evalplus" / "MbppPlus.jsonl.gz").read_bytes()).splitlines())
    left_out = {}
    for row in rows:
        tests = plus["mbpp-plus"]["MBPP/" + row["task_id"].rpartition("/")[2]].tests
        loop = next(node for node in ast.parse(tests).body if isinstance(node, ast.For))
        assert isinstance(loop.iter, ast.List)
        kept = sum(len(part.elts) for part in loop.iter.elts if isinstance(part, (ast.List, ast.Tuple)))
        if kept != len(row["base_input"]) + len(row["plus_input"]):
            left_out[row["task_id"]] = len(row["base_input"]) + len(row["plus_input"]) - kept
    assert left_out == {"Mbpp/255": 5}


@pytest.fixture(scope="module")
def plus(evaluation_data: Path) -> dict[str, Any]:
    names: tuple[BenchmarkName, ...] = ("humaneval-plus", "mbpp-plus")
    return {name: load_benchmark(name, data=evaluation_data) for name in names}


@pytest.mark.parametrize(("name", "task_id", "program", "expected"), READINGS)
def test_results_are_compared_as_evalplus_does(
    plus: dict[str, Any], sandbox: Sandbox, name: str, task_id: str, program: str, expected: str
) -> None:
    assert verdict(sandbox, plus[name][task_id], program) == expected


@pytest.mark.parametrize("name", BENCHMARKS)
def test_published_solutions_pass_and_none_does_not(
    name: BenchmarkName, evaluation_data: Path, sandbox: Sandbox
) -> None:
    benchmark = load_benchmark(name, data=evaluation_data)
    chosen = [benchmark.problems[0], benchmark.problems[len(benchmark.problems) // 2]]
    chosen += [problem for problem in benchmark.problems if problem.task_id in ("MBPP/367", "MBPP/126", "MBPP/596")]
    for problem in chosen:
        assert verdict(sandbox, problem, problem.prompt + problem.canonical_solution) == "pass", problem.task_id
        empty = f"def {problem.entry_point}(*_):\n    return object()\n"
        assert verdict(sandbox, problem, empty) == "fail", problem.task_id
