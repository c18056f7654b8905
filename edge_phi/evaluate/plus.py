"""HumanEval+ and MBPP+: the same tasks with some eighty times the tests (Liu et al. 2023, arXiv 2305.01210).

EvalPlus publishes inputs, not outputs: what a solution must return is what the canonical solution returns. The tests
made here run that solution beside the one that is judged, input by input, so that nothing has to be kept: a few inputs
lead to megabytes of output. A result is right as EvalPlus 0.3 sees it (`evalplus/eval/__init__.py`): equal, or where
floats are expected equal up to a tolerance, or for some MBPP tasks whose text leaves more than one reading, right in
another reading too (`evalplus/eval/_special_oracle.py`).
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

from .data import HUMANEVAL_PLUS, MBPP_PLUS, read_data
from .humaneval import json_lines
from .mbpp_inputs import mbpp_inputs
from .problem import Benchmark, Problem
from .stop_rules import BODY_STRUCTURE, HUMANEVAL_PLUS_STOPS, MBPP_PLUS_STOPS, PROGRAM_STRUCTURE


def load_humaneval_plus(*, data: Path | None = None, offline: bool = False) -> Benchmark:
    """The 164 problems of HumanEval+ 0.1.10.

    Raises:
        EdgePhiError: as `read_data`.
    """
    rows = json_lines(gzip.decompress(read_data(HUMANEVAL_PLUS, data=data, offline=offline)))
    problems = tuple(
        _problem(row, row["task_id"], [row["base_input"], row["plus_input"]], _humaneval(row)) for row in rows
    )
    source = (HUMANEVAL_PLUS.name, HUMANEVAL_PLUS.sha256)
    return Benchmark("humaneval-plus", problems, HUMANEVAL_PLUS_STOPS, BODY_STRUCTURE, (source,))


def load_mbpp_plus(*, data: Path | None = None, offline: bool = False) -> Benchmark:
    """The 378 problems of MBPP+ 0.2.0.

    Raises:
        EdgePhiError: as `read_data`.
    """
    rows = json_lines(gzip.decompress(read_data(MBPP_PLUS, data=data, offline=offline)))
    problems = []
    for row in rows:
        number = int(row["task_id"].rpartition("/")[2])
        inputs = [mbpp_inputs(number, row["base_input"]), mbpp_inputs(number, row["plus_input"])]
        if number == 255:  # five inputs of 112 lead to 6 to 128 million items: too much to hand to another process
            inputs[1] = [arguments for arguments in inputs[1] if len(arguments[0]) < 4 or arguments[1] < 76]
        problems.append(_problem(row, f"MBPP/{number}", inputs, _mbpp(row["entry_point"])))
    source = (MBPP_PLUS.name, MBPP_PLUS.sha256)
    return Benchmark("mbpp-plus", tuple(problems), MBPP_PLUS_STOPS, PROGRAM_STRUCTURE, (source,))


def _problem(row: dict[str, Any], task_id: str, inputs: list[Any], right: str) -> Problem:
    tests = _TESTS.format(
        reference=row["prompt"] + row["canonical_solution"],
        name=row["entry_point"],
        inputs=inputs,
        atol=row["atol"],
        right=right,
    )
    return Problem(
        task_id=task_id,
        prompt=row["prompt"],
        entry_point=row["entry_point"],
        canonical_solution=row["canonical_solution"],
        tests=tests,
        names=(row["entry_point"],),
    )


# Two sets of inputs, the benchmark's own and EvalPlus's. Once a float was expected, EvalPlus tolerates a difference in
# all that follows of the set.
_TESTS = """\
import copy
import math

inf, nan = math.inf, math.nan
reference = {{}}
exec({reference!r}, reference)


def close(result, expected, atol):
    if isinstance(expected, (list, tuple)):
        return len(result) == len(expected) and all(map(close, result, expected, [atol] * len(expected)))
    return result == expected or abs(result - expected) <= atol + 1e-7 * abs(expected)


def floats(expected):
    sequence = isinstance(expected, (list, tuple)) and expected
    return isinstance(expected, float) or bool(sequence) and all(isinstance(item, float) for item in expected)

{right}

for inputs in {inputs!r}:
    atol = {atol!r}
    for arguments in inputs:
        expected = reference[{name!r}](*copy.deepcopy(arguments))
        result = {name}(*arguments)
        if atol == 0 and floats(expected):
            atol = 1e-6
        if not right(arguments, result, expected, atol):
            assert atol and type(result) is type(expected) and close(result, expected, atol)
"""

_EQUAL = """
def right(arguments, result, expected, atol):
    return result == expected
"""


def _humaneval(row: dict[str, Any]) -> str:
    return _ROOT if row["entry_point"] == "find_zero" else _EQUAL


def _mbpp(entry_point: str) -> str:
    if entry_point in _ORDER_IS_FREE:
        return _SAME_SET
    if entry_point in _SOME_OBJECT:
        return _SOMETHING
    return _READINGS.get(entry_point, _EQUAL)


# HumanEval/32 has as many answers as there are roots.
_ROOT = """
def right(arguments, result, expected, atol):
    polynomial = sum(coefficient * math.pow(result, power) for power, coefficient in enumerate(arguments[0]))
    assert abs(polynomial) <= atol
    return True
"""

# MBPP/2, 7, 111, 140, 232, 249, 579, 769: lists whose order the task leaves open.
_ORDER_IS_FREE = {
    "similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly", "larg_nnum",
    "intersection_array", "find_dissimilar", "Diff",
}  # fmt: skip
_SAME_SET = """
def right(arguments, result, expected, atol):
    return set(result) == set(expected)
"""

# Tasks whose solution may return a match object, or True, where it finds something.
_SOME_OBJECT = {"check_str", "text_match_three", "text_starta_endb"}
_SOMETHING = """
def right(arguments, result, expected, atol):
    return (result if isinstance(result, bool) else result is not None) == (expected is not None)
"""

_READINGS = {
    # MBPP/164: what is equivalent is not said.
    "are_equivalent": """
def right(arguments, result, expected, atol):
    return True
""",
    # MBPP/295: whether a number divides itself, seen at 1.
    "sum_div": """
def right(arguments, result, expected, atol):
    return result == expected or result == 0
""",
    # MBPP/581: the height may be the pyramid's or that of its sides.
    "surface_Area": """
def right(arguments, result, expected, atol):
    base, height = arguments
    other = round(base ** 2 + 2 * base * math.sqrt((base / 2) ** 2 + height ** 2))
    return result == expected or abs(result - other) <= atol
""",
    # MBPP/558: digit by digit, the shorter number filled up with zeros.
    "digit_distance_nums": """
def right(arguments, result, expected, atol):
    first, second = map(str, arguments)
    width = max(len(first), len(second))
    other = sum(abs(int(a) - int(b)) for a, b in zip(first.zfill(width), second.zfill(width)))
    return result == expected or result == other
""",
}
