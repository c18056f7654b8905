"""Exercises: what is yielded was run and holds, what is wrong is dropped, and a seed fixes every byte."""

from __future__ import annotations

import ast
import gzip
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from edge_phi.errors import InvalidCall
from edge_phi.train.data.exercises import Exercise, Report, exercises, generate, normalized, verify
from edge_phi.train.data.exercises.fragments import fill, negate
from edge_phi.train.data.exercises.numeric import number_preds, row_preds
from edge_phi.train.data.exercises.render import Dropped, render
from edge_phi.train.data.exercises.task import Param, Task, show, small_int, word
from edge_phi.train.data.exercises.textual import char_preds, text_preds

DIGEST = """
import hashlib
from edge_phi.train.data.exercises import generate
print(hashlib.sha256("".join(e.text for e in generate(40, seed=5)).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def drawn() -> list[Exercise]:
    return list(generate(200, seed=5))


def test_an_exercise_is_a_docstring_to_complete_with_a_solution_that_runs(drawn: list[Exercise]) -> None:
    for exercise in drawn:
        assert exercise.text == exercise.prompt + exercise.solution
        assert exercise.prompt.rstrip().endswith(('"""', "'''"))
        assert exercise.solution.startswith("    ") and exercise.solution.endswith("\n")
        scope: dict[str, object] = {}
        exec(exercise.text, scope)
        values = []
        for call, output in exercise.examples:
            try:
                values.append(show(eval(call, scope)))
            except SyntaxError:
                exec(call, scope)
                continue
            assert values[-1] == (output or "None"), exercise.text
        assert len(set(values)) > 1, f"always the same result:\n{exercise.text}"


def test_exercises_are_distinct_and_cover_the_grammar(drawn: list[Exercise]) -> None:
    assert len({normalized(e.text) for e in drawn}) == len({e.id for e in drawn}) == 200
    assert {"items", "texts", "numbers", "classes"} <= {tag for e in drawn for tag in e.tags}
    assert any("for " in e.solution and "append" in e.solution for e in drawn)
    assert any("def " in e.prompt and "->" in e.prompt.split(":\n")[0] for e in drawn)


def test_neither_the_hash_seed_nor_the_number_of_workers_changes_a_byte(drawn: list[Exercise]) -> None:
    expected = hashlib.sha256("".join(e.text for e in drawn[:40]).encode()).hexdigest()
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    done = subprocess.run([sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected
    assert list(generate(40, seed=5, workers=2)) == drawn[:40]
    assert next(generate(1, seed=6)).text != drawn[0].text


def test_the_verifier_finds_what_does_not_hold_and_keeps_the_rest() -> None:
    right = "def f(x):\n    return x + 1\n"
    reasons = verify(
        [
            (right, [("f(1)", "2")]),
            (right, [("f(1)", "3")]),
            (right, [("f(1)", "2.0")]),
            ('def f(x):\n    """\n    >>> f(1)\n    5\n    """\n    return x + 1\n', [("f(1)", "2")]),
            ("def f(x):\n    while True:\n        pass\n", [("f(1)", "2")]),
            ("def f(x):\n    return len([0] * 10**10)\n", [("f(1)", "2")]),
            ("import os\ndef f(x):\n    os._exit(0)\n", [("f(1)", "2")]),
            ("def f(x):\n    return y\n", [("f(1)", "2")]),
            (right, []),
            (right, [("f(1)", "2")]),
        ]
    )
    assert reasons == [
        "",
        *["wrong output"] * 3,
        "ran too long",
        "ran out of memory",
        "verifier was killed",
        "raised NameError",
        "no example",
        "",
    ]


@pytest.mark.parametrize(
    ("bodies", "reason"),
    [
        (("return 3",), "constant"),
        (("return items",), "identity"),
        (("return sum(items)", "return len(items)"), "idioms disagree"),
        (("items.sort()\nreturn items",), "changes its input"),
        (("return items[99]",), "solution raises IndexError"),
    ],
)
def test_a_task_that_teaches_nothing_or_contradicts_itself_is_dropped(bodies: tuple[str, ...], reason: str) -> None:
    param = Param("items", "list[int]", lambda r: [small_int(r) for _ in range(5)], "a list of integers")
    with pytest.raises(Dropped, match=reason):
        render(Task(("f",), (param,), "int", ("return it",), bodies, ()), Random(0))


@pytest.mark.parametrize(
    ("makers", "values"),
    [
        (number_preds, [*range(-40, 130)]),
        (text_preds, ["", "a", "ab", "Level", "OK", "x1", "12", *(word(Random(i)) for i in range(60))]),
        (char_preds, list("abeiouxyzAEXZ 09!_")),
        (row_preds, [[1], [2, 4], [3, -1, 3], [0, 0, 5, 1, 7, 8], [5, 4]]),
    ],
)
def test_a_negated_condition_is_the_opposite_in_code_and_in_english(makers, values) -> None:  # type: ignore[no-untyped-def]
    for seed in range(15):
        for pred in makers(Random(seed)):
            scope = {p.name: p.draw(Random(seed)) for p in pred.params}
            opposite = negate(pred)
            assert opposite.singular != pred.singular and "not" in opposite.singular
            yes, no = (
                eval(f"[bool({fill(p.expr, 'v')}) for v in values]", {**scope, "values": values})
                for p in (pred, opposite)
            )
            assert all(a is not b for a, b in zip(yes, no, strict=True)), (pred.expr, opposite.expr)


def test_names_docstrings_and_annotations_do_not_make_a_tree_new() -> None:
    one = 'def f(a: int) -> int:\n    """One."""\n    total = 0\n    return a + total\n'
    two = 'def g(b):\n    """Another."""\n    s = 0\n    return b + s\n'
    assert normalized(one) == normalized(two)
    assert normalized(one) != normalized(two.replace("s = 0", "s = 2"))
    assert normalized("def f(x):\n    return max(x)\n") != normalized("def f(x):\n    return min(x)\n")


def test_the_command_writes_verified_records_and_says_what_it_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one.gz", "two.gz"):
        exercises(tmp_path / name, count=30, seed=3)
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()
    records = [json.loads(line) for line in gzip.decompress((tmp_path / "one.gz").read_bytes()).splitlines()]
    assert len(records) == 30
    for record in records:
        ast.parse(record["text"])
        assert record["text"].startswith(record["prompt"]) and record["examples"] and record["license"]
    printed = capsys.readouterr()
    assert printed.out == "" and "30 kept" in printed.err and "dropped: constant" in printed.err


def test_a_wrong_call_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidCall, match="no such folder"):
        exercises(tmp_path / "missing" / "out.gz", count=1)
    with pytest.raises(InvalidCall, match="at least 1"):
        exercises(tmp_path / "out.gz", count=0)


def test_the_report_accounts_for_every_candidate() -> None:
    report = Report()
    list(generate(200, seed=8, per_shape=1, report=report))
    assert report.kept == 200
    assert report.drawn >= report.kept + sum(n for r, n in report.dropped.items())
    assert report.dropped["differs only in constants from too many"] > 0
