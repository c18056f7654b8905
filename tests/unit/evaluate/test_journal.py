from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_phi.errors import InvalidCall, InvalidFile
from edge_phi.evaluate.journal import Journal, read_journal

SETTINGS = {"model": "m", "seed": 3, "pair": (1, 2)}


def journal_with(path: Path, count: int) -> Path:
    with Journal(path, SETTINGS) as journal:
        for number in range(count):
            journal.append({"number": number, "text": "a\nb\ud800\x00é"})
    return path


def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    path = journal_with(tmp_path / "new" / "j.jsonl", 2)
    with Journal(path, SETTINGS) as journal:
        assert [record["number"] for record in journal.records] == [0, 1]
        assert journal.records[0]["text"] == "a\nb\ud800\x00é"
        journal.append({"number": 2})
    read, records = read_journal(path)
    assert read == {"model": "m", "seed": 3, "pair": [1, 2]}
    assert [record["number"] for record in records] == [0, 1, 2]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 400))
def test_a_file_cut_anywhere_goes_on(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "j.jsonl"
    path.unlink(missing_ok=True)
    whole = journal_with(path, 3).read_bytes()
    path.write_bytes(whole[: min(cut, len(whole))])
    with Journal(path, SETTINGS) as journal:
        numbers = [record["number"] for record in journal.records]
        assert numbers == list(range(len(numbers)))
        assert journal.dropped == (whole[:cut].rpartition(b"\n")[2] != b"" and cut < len(whole))
        journal.append({"number": 9})
    with Journal(path, SETTINGS) as journal:
        assert [record["number"] for record in journal.records] == [*numbers, 9]
        assert not journal.dropped


def test_a_damaged_line_is_left_out_and_counted(tmp_path: Path) -> None:
    path = journal_with(tmp_path / "j.jsonl", 3)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = b'{"number": 1, \xff\x00\n'
    path.write_bytes(b"".join(lines) + b"[1, 2]\n")
    with Journal(path, SETTINGS) as journal:
        assert [record["number"] for record in journal.records] == [0, 2]
        assert journal.dropped == 2


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    path = journal_with(tmp_path / "j.jsonl", 1)
    before = path.read_bytes()
    with pytest.raises(InvalidCall, match="was made with seed 3, not 4"):
        Journal(path, {**SETTINGS, "seed": 4})
    with pytest.raises(InvalidCall, match="was made with more null, not 1"):
        Journal(path, {**SETTINGS, "more": 1})
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "first", [b"{}\n", b"no\n", b'{"settings": {"model": "m"}, "sha256": "0"}\n', b"\x00" * 99 + b"\n"]
)
def test_another_file_is_not_written_over(tmp_path: Path, first: bytes) -> None:
    path = tmp_path / "j.jsonl"
    path.write_bytes(first)
    with pytest.raises(InvalidFile):
        Journal(path, SETTINGS)
    assert path.read_bytes() == first


@pytest.mark.skipif(sys.platform == "win32", reason="Windows locks files otherwise")
def test_two_processes_do_not_write_one_run(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.jsonl", SETTINGS), pytest.raises(InvalidCall, match="another process"):
        Journal(tmp_path / "j.jsonl", SETTINGS)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_kill_loses_no_record_that_was_written(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from edge_phi.evaluate.journal import Journal\n"
        f"journal = Journal(Path(sys.argv[1]), {SETTINGS!r})\n"
        "for number in range(10**9):\n"
        "    journal.append({'number': number, 'text': 'x' * 5000}); print(number, flush=True)\n"
    )
    path = tmp_path / "j.jsonl"
    child = subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    seen = [int(child.stdout.readline()) for _ in range(20)][-1]
    os.kill(child.pid, signal.SIGKILL)
    seen = max([seen, *map(int, child.stdout.read().split("\n")[:-1])])
    child.wait()
    with Journal(path, SETTINGS) as journal:
        assert [record["number"] for record in journal.records][: seen + 1] == list(range(seen + 1))
        assert len(journal.records) <= seen + 2
        assert journal.dropped <= 1
    assert all(json.loads(line) for line in path.read_bytes().splitlines())
