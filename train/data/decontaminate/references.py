"""The problems that training data must not hold: HumanEval and MBPP, with the sanitized and the plus variants.

Of MBPP all 974 problems are compared with, not only the 500 of the test split: the sanitized problems and MBPP+ draw
from all of them. A variant's text and solution count as the problem's, under the id of the benchmark.
"""

from __future__ import annotations

import ast
import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_phi.evaluate.data import HUMANEVAL, HUMANEVAL_PLUS, MBPP, MBPP_PLUS, MBPP_SANITIZED, DataFile, read_data
from edge_phi.evaluate.humaneval import json_lines

from .snippets import Snippet, parse, snippets

FILES: tuple[DataFile, ...] = (HUMANEVAL, HUMANEVAL_PLUS, MBPP, MBPP_SANITIZED, MBPP_PLUS)
_TEST_SPLIT = range(11, 511)


@dataclass(frozen=True)
class Reference:
    """One problem.

    Attributes:
        benchmark: "humaneval" or "mbpp".
        task_id: as in "HumanEval/3" or "MBPP/11".
        description: what is asked for, in words; of all variants.
        texts: everything whose words in a row are looked for.
        programs: canonical solutions, whole programs.
        entry_point: the function that is asked for; "" where any function of a program may be it.
    """

    benchmark: str
    task_id: str
    description: str
    texts: tuple[str, ...]
    programs: tuple[str, ...]
    entry_point: str = ""

    @property
    def scored(self) -> bool:
        """Tell whether it is one of HumanEval or of MBPP's test split."""
        return self.benchmark != "mbpp" or int(self.task_id.rpartition("/")[2]) in _TEST_SPLIT


def read_references(folder: Path) -> list[Reference]:
    """All 164 and 974 problems.

    Args:
        folder: holds humaneval/, mbpp/ and evalplus/, or eval/ with them, as published.

    Raises:
        InvalidCall: a file is missing; says how to get it.
        InvalidFile: it is not the published one.
    """
    raw = {file.name: read_data(file, data=folder, offline=True) for file in FILES}
    found: dict[str, list[tuple[str, list[str], str, str]]] = {}
    for file in (HUMANEVAL, HUMANEVAL_PLUS):
        for row in json_lines(gzip.decompress(raw[file.name])):
            program = row["prompt"] + row["canonical_solution"]
            entry = (
                _docstrings(row["prompt"]),
                [row["prompt"], row["canonical_solution"]],
                program,
                row["entry_point"],
            )
            found.setdefault(row["task_id"], []).append(entry)
    for row in json_lines(raw[MBPP.name]):
        found.setdefault(f"MBPP/{row['task_id']}", []).append(_mbpp(row, row["text"]))
    for row in json.loads(raw[MBPP_SANITIZED.name]):
        found.setdefault(f"MBPP/{row['task_id']}", []).append(_mbpp(row, row["prompt"]))
    for row in json_lines(gzip.decompress(raw[MBPP_PLUS.name])):
        program = row["prompt"] + row["canonical_solution"]
        words = _docstrings(row["prompt"])
        entry = (words, [words, row["canonical_solution"]], program, row["entry_point"])
        found.setdefault(f"MBPP/{row['task_id'].rpartition('/')[2]}", []).append(entry)
    return [_joined(task_id, entries) for task_id, entries in found.items()]


def solution_snippets(reference: Reference) -> list[Snippet]:
    """The normal forms that a problem's solutions have: the function asked for, and each program of several parts."""
    result: dict[str, Snippet] = {}
    for program in reference.programs:
        for snippet in snippets(program):
            asked = not reference.entry_point or snippet.name == reference.entry_point
            if snippet.form and (asked or not snippet.name):
                result.setdefault(snippet.form, snippet)
    return list(result.values())


def _mbpp(row: dict[str, Any], text: str) -> tuple[str, list[str], str, str]:
    code = row["code"].replace("\r\n", "\n")
    return text, [text, row["code"]], code, _called(row["test_list"][0], code)


def _joined(task_id: str, entries: list[tuple[str, list[str], str, str]]) -> Reference:
    return Reference(
        benchmark="humaneval" if task_id.startswith("HumanEval") else "mbpp",
        task_id=task_id,
        description="\n".join(dict.fromkeys(words for words, _, _, _ in entries)),
        texts=tuple(dict.fromkeys(text for _, texts, _, _ in entries for text in texts)),
        programs=tuple(dict.fromkeys(program for _, _, program, _ in entries)),
        entry_point=entries[0][3],
    )


def _docstrings(program: str) -> str:
    """The words a prompt describes its task with."""
    tree = parse(program + "    pass\n") or parse(program)
    documented: Iterable[ast.AST] = ast.walk(tree) if tree else ()
    kinds = (ast.FunctionDef, ast.Module)
    return "\n".join(filter(None, (ast.get_docstring(each) for each in documented if isinstance(each, kinds))))


def _called(test: str, code: str) -> str:
    """The function of a solution that its first test calls."""
    defined = {node.name for node in ast.walk(parse(code) or ast.Module([], [])) if isinstance(node, ast.FunctionDef)}
    calls = ast.walk(parse(test) or ast.Module([], []))
    names = (call.func.id for call in calls if isinstance(call, ast.Call) and isinstance(call.func, ast.Name))
    return next((name for name in names if name in defined), "")
