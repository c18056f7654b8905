from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_phi.errors import EdgePhiError, InvalidCall
from edge_phi.evaluate.compare import compare, lines
from edge_phi.evaluate.generate import Ask
from edge_phi.evaluate.plans import sample_plan
from edge_phi.evaluate.problem import Benchmark
from edge_phi.evaluate.report import notes, table_cells
from edge_phi.evaluate.run import Plan, run
from edge_phi.evaluate.sandbox import Sandbox, Verdict
from edge_phi.evaluate.score import Result


class Notes:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)

    def working(self, what: str, done: int, total: int) -> None:
        assert done <= total

    def finished(self, line: str) -> None:
        self.lines.append(line)


class Writer:
    """A model whose texts are known."""

    def __init__(self, texts: dict[str, str], *, fails_after: int = 99) -> None:
        self.texts, self.fails_after = texts, fails_after
        self.asked: list[Ask] = []

    def __call__(self, asks: Sequence[Ask]) -> Iterator[dict[str, Any]]:
        for number, ask in enumerate(asks):
            if number == self.fails_after:
                raise EdgePhiError("the model fails")
            self.asked.append(ask)
            text = self.texts[ask.task_id]
            yield {"task_id": ask.task_id, "sample": ask.sample, "completion": text, "finish": "end", "tokens": 3}


class Flaky:
    """A sandbox that breaks down over some programs."""

    def __init__(self, sandbox: Sandbox, *, breaks_on: str) -> None:
        self._sandbox, self._breaks_on = sandbox, breaks_on
        self.checked: list[str] = []

    def check(self, examination: Any, limits: Any) -> Verdict:
        self.checked.append(examination.solution)
        if self._breaks_on in examination.solution:
            return Verdict("infrastructure_error", "the worker died", 0.1)
        return self._sandbox.check(examination, limits)


def plan(benchmark: Benchmark, folder: Path, **changes: Any) -> Plan:
    settings = {"benchmark": benchmark.name, "data": "d", "model": "m", "prompt": "stripped", "max_tokens": 9}
    basis = Plan("ours", benchmark, benchmark.problems, "stripped", 1, settings, folder)
    return replace(basis, **changes)


TEXTS = {"Ours/0": "\n    return x", "Ours/1": "\n    return x + 2", "Ours/2": "\n    while True:\n        pass"}


def test_every_outcome_is_counted(benchmark: Benchmark, sandbox: Sandbox, out: Path) -> None:
    notes_ = Notes()
    found = run(plan(benchmark, out), Writer(TEXTS), sandbox, notes_, workers=2)
    assert found.outcomes == {"pass": 1, "fail": 1, "timeout": 1, "infrastructure_error": 0}
    assert found.score.pass_at_k[1].value == pytest.approx(1 / 3)
    assert found.sound and found.tokens == 9
    assert notes_.lines[-1] == "ours: 3 of 3 written, 3 judged, 33.3% pass"
    assert json.loads((out / "report.json").read_text())["outcomes"] == dict(found.outcomes)


def test_a_run_that_was_stopped_goes_on(benchmark: Benchmark, sandbox: Sandbox, out: Path) -> None:
    texts = TEXTS | {"Ours/2": ""}
    first = Writer(texts, fails_after=2)
    with pytest.raises(EdgePhiError, match="the model fails"):
        run(plan(benchmark, out), first, sandbox, Notes(), workers=1)
    with (out / "completions.jsonl").open("ab") as file:
        file.write(b'{"task_id": "Ours/2", "sam')  # as a kill leaves it
    counted, second, told = Flaky(sandbox, breaks_on="nothing"), Writer(texts), Notes()
    found = run(plan(benchmark, out), second, counted, told, workers=1)  # type: ignore[arg-type]
    assert [ask.task_id for ask in second.asked] == ["Ours/2"]
    assert found.dropped == 1 and any("1 damaged lines" in line for line in told.lines)
    assert found.empty == 1 and found.outcomes["fail"] == 2

    third, again = Writer(texts), Flaky(sandbox, breaks_on="nothing")
    assert run(plan(benchmark, out), third, again, Notes(), workers=1).outcomes == found.outcomes  # type: ignore[arg-type]
    assert not third.asked and not again.checked


def test_other_settings_are_refused(benchmark: Benchmark, sandbox: Sandbox, out: Path) -> None:
    run(plan(benchmark, out), Writer(TEXTS | {"Ours/2": ""}), sandbox, Notes(), workers=1)
    other = plan(benchmark, out)
    other = replace(other, settings={**other.settings, "max_tokens": 10})
    with pytest.raises(InvalidCall, match="was made with max_tokens 9, not 10"):
        run(other, Writer(TEXTS), sandbox, Notes(), workers=1)


def test_more_samples_are_added_to_those_there(benchmark: Benchmark, sandbox: Sandbox, out: Path) -> None:
    texts = TEXTS | {"Ours/2": "\n    return x + 2"}
    run(plan(benchmark, out, samples=1), Writer(texts), sandbox, Notes(), workers=1)
    writer = Writer(texts)
    found = run(plan(benchmark, out, samples=3, ks=(1, 2)), writer, sandbox, Notes(), workers=1)
    assert sorted((ask.task_id, ask.sample) for ask in writer.asked) == [
        (f"Ours/{number}", sample) for number in range(3) for sample in (1, 2)
    ]
    assert {k: round(estimate.value, 3) for k, estimate in found.score.pass_at_k.items()} == {1: 0.667, 2: 0.667}


def test_an_infrastructure_error_is_no_fail_and_is_tried_again(
    benchmark: Benchmark, sandbox: Sandbox, out: Path
) -> None:
    texts = {task_id: "\n    return x + 1  # odd" if task_id == "Ours/1" else "\n    return x" for task_id in TEXTS}
    broken = Flaky(sandbox, breaks_on="odd")
    found = run(plan(benchmark, out), Writer(texts), broken, Notes(), workers=1)  # type: ignore[arg-type]
    assert found.errors == ["Ours/1"] and not found.sound
    assert found.score.problems == 2 and found.outcomes["infrastructure_error"] == 1
    assert any(line.startswith("NOT JUDGED: 1 problems") and "Ours/1" in line for line in notes(found))
    mended = Flaky(sandbox, breaks_on="nothing")
    found = run(plan(benchmark, out), Writer({}), mended, Notes(), workers=1)  # type: ignore[arg-type]
    assert len(mended.checked) == 1 and "odd" in mended.checked[0]
    assert found.sound and found.score.solved == 2


def test_verdicts_of_another_harness_are_found_anew(
    benchmark: Benchmark, sandbox: Sandbox, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = TEXTS | {"Ours/2": ""}
    run(plan(benchmark, out), Writer(texts), sandbox, Notes(), workers=1)
    monkeypatch.setattr("edge_phi.evaluate.run.HARNESS", 0)
    counted = Flaky(sandbox, breaks_on="nothing")
    run(plan(benchmark, out), Writer({}), counted, Notes(), workers=1)  # type: ignore[arg-type]
    assert len(counted.checked) == 3


def test_a_published_solution_that_fails_here_stops_everything(
    benchmark: Benchmark, sandbox: Sandbox, out: Path
) -> None:
    wrong = replace(benchmark.problems[1], canonical_solution="    return x\n")
    other = replace(benchmark, problems=(benchmark.problems[0], wrong))
    with pytest.raises(EdgePhiError, match="Ours/1: its published solution does not pass"):
        run(plan(other, out), Writer(TEXTS), sandbox, Notes(), workers=1)


HOSTILE = [
    '{"task_id": "Ours/0", "completion": "%s"}' % ("    x = 1\\n" * 10**6),
    '{"task_id": "Ours/1", "completion": "    return x + 1\\u0000\\n"}',
    '{"task_id": "Ours/2", "completion": "    return x + 2 # \\ud800\\n"}',
    '{"task_id": "Ours/9", "completion": ""}',
    '{"task_id": 3, "completion": ""}',
    '{"task_id": "Ours/0"}',
    "\x00\x01",
    "[1]",
    "",
    '{"task_id": "Ours/0", "completion": "    return x\\n"}',
    '{"task_id": "Ours/0", "comple',
]


def judge_file(lines_: Iterable[str], benchmark: Benchmark, sandbox: Sandbox, folder: Path) -> Result:
    path = folder / "given.jsonl"
    path.write_text("\n".join(lines_), encoding="utf-8", newline="\n")
    with sample_plan(benchmark, benchmark.problems, path, ks=(1,), out=folder / "out") as plans:
        [(of_file, write)] = plans
        return run(of_file, write, sandbox, Notes(), workers=2)


def test_hostile_completions_are_judged_and_counted(benchmark: Benchmark, sandbox: Sandbox, tmp_path: Path) -> None:
    found = judge_file(HOSTILE, benchmark, sandbox, tmp_path)
    assert found.dropped == 6  # five of no use, one about another problem
    assert found.errors == []
    assert found.outcomes["pass"] == 1
    assert sum(found.outcomes.values()) == 4


def test_several_completions_of_a_problem_are_its_samples(
    benchmark: Benchmark, sandbox: Sandbox, tmp_path: Path
) -> None:
    line = '{"task_id": "Ours/%d", "completion": "    return %s\\n"}'
    lines_ = [line % (number, "x" if sample else f"x + {number}") for number in range(3) for sample in range(10)]
    path = tmp_path / "given.jsonl"
    path.write_text("\n".join(lines_))
    with sample_plan(benchmark, benchmark.problems, path, ks=(), out=tmp_path / "out") as plans:
        [(of_file, write)] = plans
        found = run(of_file, write, sandbox, Notes(), workers=2)
    assert {k: round(estimate.value, 6) for k, estimate in found.score.pass_at_k.items()} == {1: 0.4, 10: 1.0}


def test_what_has_no_completion_is_said(benchmark: Benchmark, sandbox: Sandbox, tmp_path: Path) -> None:
    lines_ = ['{"task_id": "OURS/1", "solution": "def add_1(x): return x + 1"}']
    found = judge_file(lines_, benchmark, sandbox, tmp_path)
    assert found.missing == ["Ours/0", "Ours/2"] and not found.sound
    assert (found.score.problems, found.score.solved) == (1, 1)
    with pytest.raises(InvalidCall, match=r"holds no completion of a problem of humaneval \(1 lines are unreadable"):
        judge_file(["{}"], benchmark, sandbox, tmp_path)
    with pytest.raises(InvalidCall, match="No such file"):
        sample_plan(benchmark, benchmark.problems, tmp_path / "none", ks=(1,), out=tmp_path)


def test_two_runs_are_compared_problem_by_problem(benchmark: Benchmark, sandbox: Sandbox, out: Path) -> None:
    good, bad = "\n    return x + int(__name__ == '') + ", "\n    return None #"
    for name, solved in (("a", "01"), ("b", "12")):
        texts = {f"Ours/{number}": (good if str(number) in solved else bad) + str(number) for number in range(3)}
        run(plan(benchmark, out / name), Writer(texts), sandbox, Notes(), workers=1)
    found = compare(out / "a", out / "b")
    assert (found.both, found.only_first, found.only_second, found.neither) == (1, ["Ours/0"], ["Ours/2"], 0)
    assert found.p_value == 1.0 and found.problems == 3
    assert any("only by a: 1  Ours/0" in line for line in lines(found))
    assert json.loads(found.to_json())["only_second"] == ["Ours/2"]

    run(plan(benchmark, out / "many", samples=2), Writer(TEXTS | {"Ours/2": ""}), sandbox, Notes(), workers=1)
    with pytest.raises(InvalidCall, match="several samples"):
        compare(out / "a", out / "many")
    other = plan(benchmark, out / "other")
    run(replace(other, settings={**other.settings, "data": "e"}), Writer(texts), sandbox, Notes(), workers=1)
    with pytest.raises(InvalidCall, match="runs of different problems"):
        compare(out / "a", out / "other")
    with pytest.raises(InvalidCall, match="give the folder of a run"):
        compare(out / "a", out / "none")


def test_the_table_has_a_row_a_result_and_the_interval(benchmark: Benchmark, sandbox: Sandbox, out: Path) -> None:
    found = run(plan(benchmark, out), Writer(TEXTS | {"Ours/2": ""}), sandbox, Notes(), workers=1)
    header, row = table_cells([found])
    cells = dict(zip(header, row, strict=True))
    assert cells["pass@1 %, 95 %"] == "33.3 [0.0, 100.0]"
    assert (cells["pass"], cells["fail"], cells["infrastructure error"]) == ("1", "2", "0")
