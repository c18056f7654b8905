from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_phi.errors import InvalidFile
from edge_phi.evaluate.score import result
from edge_phi.evaluate.similar import Similar, read_similar

REPORT = {"humaneval": {"tau": 0.8, "similar": ["HumanEval/1", "HumanEval/3"]}, "mbpp": {"tau": None, "similar": []}}


@pytest.fixture(params=["file", "lineage"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "file":
        (tmp_path / "decontamination.json").write_text(json.dumps(REPORT))
    else:
        (tmp_path / "lineage.json").write_text(json.dumps({"data": {"sources": [], "decontamination": REPORT}}))
    return tmp_path


def test_a_report_is_read(folder: Path) -> None:
    assert read_similar(folder, "humaneval") == Similar(0.8, frozenset({"HumanEval/1", "HumanEval/3"}))
    assert read_similar(folder, "humaneval-plus") == read_similar(folder, "humaneval")
    assert read_similar(folder, "mbpp-sanitized") == Similar(None, frozenset())
    assert read_similar(folder, "everyday") is None


def test_without_a_report_nothing_is_claimed(tmp_path: Path) -> None:
    assert read_similar(tmp_path, "humaneval") is None
    (tmp_path / "lineage.json").write_text('{"data": {"sources": []}}')
    assert read_similar(tmp_path, "humaneval") is None
    (tmp_path / "decontamination.json").write_text(json.dumps({"mbpp": REPORT["mbpp"]}))
    assert read_similar(tmp_path, "humaneval") is None


@pytest.mark.parametrize(
    "text",
    ["[", "[]", '{"humaneval": 3}', '{"humaneval": {}}', '{"humaneval": {"similar": [3]}}',
     '{"humaneval": {"similar": [], "tau": "x"}}', '{"humaneval": {"similar": [], "tau": NaN}}', "[" * 100_000],
)  # fmt: skip
def test_a_damaged_report_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "decontamination.json").write_text(text)
    with pytest.raises(InvalidFile):
        read_similar(tmp_path, "humaneval")


def test_both_halves_are_scored() -> None:
    ids = [f"HumanEval/{number}" for number in range(4)]
    samples = [{"task_id": task_id, "completion": "x"} for task_id in ids]
    outcomes = [("pass", 0.1), ("pass", 0.1), ("fail", 0.1), ("fail", 0.1)]
    similar = Similar(0.9, frozenset({"HumanEval/1", "HumanEval/3"}))
    found = result({}, ids, samples, outcomes, ks=[1], similar=similar)
    assert found.similar is not None and found.other is not None
    assert [part.problems for part in (found.score, found.similar, found.other)] == [4, 2, 2]
    assert [part.pass_at_k[1].value for part in (found.score, found.similar, found.other)] == [0.5, 0.5, 0.5]
    assert found.tau == 0.9
