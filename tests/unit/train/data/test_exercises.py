"""Exercises: what is yielded was run and holds, what is wrong is dropped, and a seed fixes every byte."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_phi.errors import EdgePhiError, InvalidCall
from edge_phi.train.data.exercises import (
    Exercise,
    Report,
    branches,
    generate,
    normalized,
    numbers,
    stream,
    texts,
    verify,
)
from edge_phi.train.data.exercises.cli import exercises
from edge_phi.train.data.exercises.fragments import fill, negate
from edge_phi.train.data.exercises.numeric import number_preds, row_preds
from edge_phi.train.data.exercises.render import Candidate, Dropped, render
from edge_phi.train.data.exercises.step import choose, write_exercises
from edge_phi.train.data.exercises.stream import FAMILIES
from edge_phi.train.data.exercises.task import Param, Task, show, small_int, word
from edge_phi.train.data.exercises.textual import char_preds, text_preds
from edge_phi.train.data.exercises.verify import check
from edge_phi.train.data.records import read_records, shards_of
from edge_phi.train.data.steps import Counts

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
        assert exercise.text == exercise.prompt + exercise.solution + exercise.tests
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
    assert len({normalized(e.prompt + e.solution) for e in drawn}) == len({e.id for e in drawn}) == 200
    rooms = {
        "items",
        "texts",
        "numbers",
        "classes",
        "pipelines",
        "branches",
        "search",
        "recursion",
        "commands",
        "grids",
    }
    assert {*rooms, "formats"} <= {tag for e in drawn for tag in e.tags}
    assert any("\nassert " in e.tests for e in drawn) and any("\ndef test_" in e.tests for e in drawn)
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


def test_the_command_writes_record_shards_and_says_what_it_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], drawn: list[Exercise]
) -> None:
    exercises(tmp_path / "out", count=30, seed=5)
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path / 'out'}\n"
    assert "30 kept" in printed.err and "dropped: constant" in printed.err
    records = [record for shard in shards_of(tmp_path / "out") for record in read_records(shard)]
    assert [record.text for record in records] == [each.text for each in drawn[:30]]
    for record in records:
        assert record.text == record.added["prompt"] + record.added["solution"] + record.added["tests"]
        assert record.license == "Apache-2.0" and record.tokens > 20 and record.added["examples"]


def test_a_wrong_call_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidCall, match="at least 1"):
        exercises(tmp_path / "out", count=0)
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InvalidCall, match="choose another folder"):
        exercises(tmp_path, count=1)


def test_shards_hold_what_is_generated_whatever_the_workers(tmp_path: Path, drawn: list[Exercise]) -> None:
    for folder, workers in (("one", 1), ("two", 2)):
        counts = write(tmp_path / folder, 200, seed=5, shard=70, workers=workers)
        assert counts.records_out == 200
        assert counts.records_in == 200 + sum(counts.dropped.values())
    shards = shards_of(tmp_path / "one")
    assert [len(list(read_records(shard))) for shard in shards] == [70, 70, 60]
    assert [record.id for shard in shards for record in read_records(shard)] == [each.id for each in drawn]
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


_KILLED = """
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from edge_phi.train.data.exercises.step import write_exercises
write_exercises(Path(sys.argv[1]), 500, seed=9, shard=150, say=print)
"""


def test_killed_and_begun_anew_gives_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path / "whole", 500, seed=9, shard=150)
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-c", _KILLED, str(out)], stdout=subprocess.DEVNULL)
    while not (out / ".draws" / "00000.json").exists() and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert not (out / "manifest.json").exists() and (out / ".draws" / "00000.json").exists()
    drawn_before = (out / ".draws" / "00000.parquet").stat().st_mtime_ns
    said: list[str] = []
    write_exercises(out, 500, seed=9, shard=150, say=said.append)
    assert "exercises: draw: 1 of 2 shards are done already" in said
    assert (out / ".draws" / "00000.parquet").stat().st_mtime_ns == drawn_before
    assert contents(tmp_path / "whole") == contents(out)


def test_a_grammar_at_its_end_says_so_and_leaves_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "FAMILIES", ((texts.two_strings, 1.0),))
    said: list[str] = []
    counts = write_exercises(tmp_path / "out", 300, seed=0, say=said.append)
    assert 10 < counts.records_out < 300
    assert any("the grammar gives" in line for line in said)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=60), st.integers(1, 4))
def test_choosing_keeps_the_first_of_a_tree_and_few_of_a_shape(pairs: list[tuple[int, int]], per_shape: int) -> None:
    pairs = [(tree, tree % 4) for tree, _ in pairs]
    trees: set[int] = set()
    shapes: Counter[int] = Counter()
    expected = []
    for tree, shape in pairs:
        new = tree not in trees and shapes[shape] < per_shape
        expected.append(new)
        trees.add(tree)
        shapes[shape] += new
    kept, _ = choose(np.array([p[0] for p in pairs], np.int64), np.array([p[1] for p in pairs], np.int64), per_shape)
    assert kept.tolist() == expected


@pytest.mark.parametrize("family", [family for family, _ in FAMILIES], ids=lambda f: f"{f.__module__}.{f.__name__}")
def test_every_family_gives_exercises_that_hold(family: Callable[[Random], Task | Candidate]) -> None:
    made = []
    for seed in range(12):
        random = Random(seed)
        try:
            drawn = family(random)
            made.append(render(drawn, random) if isinstance(drawn, Task) else drawn)
        except Dropped:
            continue
    assert len(made) >= 4
    for each in made:
        assert check(each.prompt + each.solution + each.tests, each.examples) == "", each.prompt


def test_another_way_to_check_finds_no_fault_and_no_two_alike(tmp_path: Path, drawn: list[Exercise]) -> None:
    checker = load_checker()
    write(tmp_path / "out", 200, seed=5, shard=100)
    records = list(checker.read(tmp_path / "out"))
    assert len(records) == 200
    try:
        assert checker.failures(records) == {}
    except EdgePhiError as error:
        pytest.skip(str(error))
    texts_ = [record["text"] for record in records]
    assert checker.near_duplicates(texts_) == 0
    assert checker.near_duplicates([*texts_, texts_[7].replace("return", "return ")]) == 1
    assert len({checker.tree_hash(each.prompt + each.solution) for each in drawn}) == 200
    right = {
        "prompt": 'def f(x):\n    """\n    >>> f(1)\n    2\n    """\n',
        "solution": "    return x + 1\n",
        "tests": "",
    }
    wrong = [
        {**right, "examples": [{"call": "f(1)", "output": "2.0"}]},
        {**right, "prompt": right["prompt"].replace("2", "3"), "examples": [{"call": "f(1)", "output": "2"}]},
        {**right, "tests": "\n\nassert f(1) == 1\n", "examples": [{"call": "f(1)", "output": "2"}]},
        {**right, "solution": "    while True:\n        pass\n", "examples": [{"call": "f(1)", "output": "2"}]},
        {**right, "examples": [{"call": "f(1)", "output": "2"}]},
    ]
    found = checker.failures(
        [{**each, "text": each["prompt"] + each["solution"] + each["tests"]} for each in wrong[:3]]
    )
    assert found == {"an example does not hold": 1, "a doctest fails": 1, "raises AssertionError": 1}
    assert checker.failures([{**wrong[4], "text": "".join(wrong[4][k] for k in ("prompt", "solution", "tests"))}]) == {}


def load_checker() -> ModuleType:
    path = Path(__file__).parents[4] / "benchmarks" / "exercises_check.py"
    spec = importlib.util.spec_from_file_location("exercises_check", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(out: Path, count: int, **arguments: int) -> Counts:
    return write_exercises(out, count, **arguments, say=lambda _: None)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "logs" not in path.parts and not path.name.endswith(".part")
    }


def test_the_report_accounts_for_every_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "FAMILIES", ((numbers.steps, 1.0), (branches.thresholds, 1.0)))
    report = Report()
    shapes = {
        stream._CONSTANT.sub("", normalized(e.prompt + e.solution))
        for e in generate(60, seed=8, per_shape=1, report=report)
    }
    assert len(shapes) == report.kept == 60
    assert report.drawn >= report.kept + sum(report.dropped.values())
    assert report.dropped["differs only in constants from too many"] > 0
