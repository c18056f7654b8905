"""Collecting: what is kept, what is dropped and counted, and that hostile input is one or the other."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from edge_phi.errors import InvalidCall
from edge_phi.train.data.cli import app
from edge_phi.train.data.collect import collect_records, lines, parse_sources, run
from edge_phi.train.data.records import Record, read_records, shards_of
from edge_phi.train.data.steps import Counts, read_manifest

PROSE = "A list keeps its items in the order in which they were added, and may hold the same item more than once.\n"
CODE = f'"""{PROSE}"""\n\n\ndef double(number):\n    return 2 * number\n'


def collected(out: Path, *sources: str, **options: Any) -> tuple[Counts, list[Record]]:
    """Collect, and check what holds for every input: nothing seen is lost, and no id comes twice."""
    counts = collect_records(parse_sources(sources), out, say=lambda _: None, **options)
    records = [record for shard in shards_of(out) for record in read_records(shard)]
    assert counts.records_in == counts.records_out + sum(counts.dropped.values())
    assert counts.records_out == len(records) == len({record.id for record in records})
    assert read_manifest(out)["counts"]["dropped"] == counts.dropped
    return counts, records


def lines_of(path: Path, *values: object) -> Path:
    """JSON lines, bytes as they are."""
    data = b"".join((v if isinstance(v, bytes) else json.dumps(v).encode()) + b"\n" for v in values)
    packing: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zstandard.compress}
    path.write_bytes(packing.get(path.suffix, bytes)(data))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_lines_keep_what_they_say_of_themselves(tmp_path: Path, name: str) -> None:
    file = lines_of(
        tmp_path / name,
        {"text": PROSE, "path": "a.md", "license": "mit", "id": "one"},
        {"content": CODE.replace("\n", "\r\n"), "license": ["Apache-2.0", "BSD"], "lang": "Python", "id": "two"},
        {"text": PROSE, "path": "a.md", "license": "MIT"},  # the same path again is no reason to lose it
        {"text": PROSE, "path": "a.md"},
        {"text": PROSE, "license": "GPL-3.0-only"},
        {"text": None, "license": "MIT"},
        {"text": PROSE, "path": "a\x1b[31m.md", "license": "MIT"},
        {"text": PROSE, "path": "\ud800", "license": "MIT"},
        {"text": PROSE + "\ud800", "license": "MIT"},
        b"",
        b"[1]",
        b"{broken",
        b'{"text": "\xff"}',
        b"[" * 200_000,
    )
    counts, records = collected(tmp_path / "out", f"mine={file}")
    assert [(r.id, r.path, r.license, r.text) for r in records] == [
        (f"mine/{name}#1", "a.md", "MIT", PROSE),
        (f"mine/{name}#2", "two", "Apache-2.0 AND LicenseRef-BSD", CODE),
        (f"mine/{name}#3", "a.md", "MIT", PROSE),
    ]
    assert all(record.source == "mine" and record.tokens > 10 for record in records)
    assert counts.records_in == 13 and counts.dropped == {
        "a line that is not JSON": 2,
        "a line that is not a JSON object": 1,
        "a name that is not printable": 2,
        "holds lone surrogates": 1,
        "licence not allowed: GPL-3.0-only": 1,
        "licence unknown": 1,
        "no text": 1,
        "wrong encoding": 1,
    }


def test_licences_are_allowed_by_the_call(tmp_path: Path) -> None:
    said = ["GPL-3.0-only", "CC-BY-SA-4.0", "CC-BY-NC-4.0", None]
    file = lines_of(tmp_path / "a.jsonl", *[{"text": PROSE, "license": each} for each in said])
    _, records = collected(tmp_path / "out", f"a={file}", licenses=["CC-BY-SA-*", "unknown"])
    assert [record.license for record in records] == ["CC-BY-SA-4.0", "unknown"]
    with pytest.raises(InvalidCall, match="name one licence"):
        collected(tmp_path / "other", f"a={file}", licenses=["MIT OR GPL-3.0-only"])


def test_a_folder_of_files_and_what_else_lies_in_it(tmp_path: Path) -> None:
    folder, outside = tmp_path / "in", tmp_path / "outside.md"
    (folder / "sub" / ".hidden").mkdir(parents=True)
    for name in [
        "a.py",
        "b.md",
        "sub/c.rst",
        "sub/d.txt",
        "sub/.hidden/e.md",
        "bad\nname.md",
        "esc\x1b[2J.md",
        "f.png",
    ]:
        (folder / name).write_text(CODE if name.endswith(".py") else PROSE)
    (folder / os.fsdecode(b"not\xffutf8.md")).write_text(PROSE)
    outside.write_text(PROSE)
    (folder / "link.md").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.md")
    (folder / "latin.md").write_bytes(PROSE.encode() + b"\xe9")
    (folder / "cookie.py").write_bytes(f"# -*- coding: latin-1 -*-\n{CODE}# caf".encode() + b"\xe9\n")
    (folder / "wide.txt").write_bytes(PROSE.encode("utf-16"))
    (folder / "codec.py").write_text(f"# coding: idna\n{CODE}")
    (folder / "nested.jsonl").write_text(json.dumps({"text": PROSE, "license": "MIT"}))
    counts, records = collected(tmp_path / "out", f"mine={folder}", licenses=["unknown"])
    assert [record.id.removeprefix("mine/") for record in records] == [
        "a.py",
        "b.md",
        "cookie.py",
        "nested.jsonl#1",
        "wide.txt",
        "sub/c.rst",
        "sub/d.txt",
    ]
    assert records[2].text.endswith("# café\n") and records[4].text == PROSE
    assert counts.dropped == {
        "a kind of file that is not read": 1,
        "a name that is not printable": 3,
        "a symbolic link": 2,
        "no regular file": 1,
        "wrong encoding": 2,
    }


def test_each_unfit_text_is_counted_under_its_reason(tmp_path: Path) -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA7bq3tZ0Xq9" * 2 + "\n"
    unfit = {
        "under 80 characters": ["x = 1\n", ""],
        "over a million characters": [CODE + "# a\n" * 300_000],
        "holds NUL characters": [CODE + "#\0"],
        "holds control characters": [CODE + "# \x1b[31m", CODE + "# \u202e"],
        "does not parse as Python": [f"def f(:\n{CODE}", CODE + "f(x, " * 150],
        "Python 2": [f'{CODE}print "hello"\n', f"{CODE}try:\n    1\nexcept ValueError, e:\n    pass\n"],
        "too large to parse safely": [CODE + "x = (1\n" + "+ 1\n" * 100_000 + ")"],
        "minified, or lines too long": [
            f"x = '{'a b ' * 300}'\n",
            "".join(f"x = f({'alpha, ' * 20})\n" for _ in range(19)),
        ],
        "few letters": [CODE + "# ---- ==== ++++ ****\n" * 100],
        "mostly literal data": [CODE + "x = [\n" + "    'alpha beta',\n" * 100 + "]\n"],
        "generated by a program": [
            f"# Generated by the protocol buffer compiler.  DO NOT EDIT!\n{CODE}",
            f'"""This file was automatically generated."""\n{CODE}',
        ],
        "holds a secret": [CODE + f'KEY = """{key}"""\n'],
        "licence not allowed": [f"# under the terms of the GNU General Public\n# License\n{CODE}"],
        "licence not allowed: MPL-2.0": [f"# SPDX-License-Identifier: MPL-2.0\n{CODE}"],
    }
    file = lines_of(
        tmp_path / "a.jsonl",
        *[{"text": text, "path": "a.py", "license": "MIT"} for texts in unfit.values() for text in texts],
        {"text": PROSE + "data:image/png;base64," + "iVBORw0KGgo" * 200, "path": "a.md", "license": "MIT"},
    )
    counts, records = collected(tmp_path / "out", f"a={file}")
    assert [record.text for record in records] == []
    expected = {reason: len(texts) for reason, texts in unfit.items()} | {"holds data in base64 or the like": 1}
    assert counts.dropped == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
LINE = st.binary(max_size=60).map(lambda data: data.replace(b"\n", b"")) | st.builds(
    lambda row: json.dumps(row).encode(),
    st.fixed_dictionaries(
        {},
        optional={
            "text": st.sampled_from([PROSE, CODE]) | st.text(min_size=80) | JSON,
            "content": JSON,
            "path": st.sampled_from(["a.py", "b.md"]) | JSON,
            "license": st.sampled_from(["MIT", "GPL-2.0-only", "(MIT OR"]) | JSON,
            "licenses": JSON,
            "lang": JSON,
        },
    ),
)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=st.lists(LINE, max_size=12))
def test_any_line_is_kept_or_counted(tmp_path: Path, found: list[bytes]) -> None:
    file = lines_of(tmp_path / "a.jsonl", *found, {"text": PROSE, "license": "MIT"})
    counts, records = collected(tmp_path / "out", f"a={file}")
    assert counts.records_in == 1 + sum(not line.isspace() for line in found if line)
    assert records[-1].text == PROSE


def test_damage_costs_the_rest_of_its_file_alone(tmp_path: Path) -> None:
    whole = {"text": PROSE, "license": "MIT"}
    many = [{"text": f"{number} {PROSE}" + os.urandom(60).hex(), "license": "MIT"} for number in range(1_500)]
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ["cut.jsonl.gz", "cut.jsonl.zst"]:
        file = lines_of(folder / name, *many)
        file.write_bytes(file.read_bytes()[:-100])
    lines_of(folder / "fine.jsonl.gz", whole)
    (folder / "two.jsonl.gz").write_bytes((folder / "fine.jsonl.gz").read_bytes() * 2)
    (folder / "empty.jsonl.gz").write_bytes(b"")
    (folder / "nogz.jsonl.gz").write_bytes(b'{"text": "not packed"}')
    (folder / "no.parquet").write_bytes(b"PAR1 not a table PAR1")
    counts, records = collected(tmp_path / "out", f"a={folder}")
    assert counts.dropped == {"a damaged table": 1, "a file that is damaged or unreadable": 3}
    assert sum(record.id.startswith("a/cut.jsonl.gz#") for record in records) > 500
    assert sum("/two.jsonl.gz#" in record.id for record in records) == 2


def test_what_unpacks_to_too_much_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_EXPANSION_ALLOWED", 16 << 20)
    packer = zstandard.ZstdCompressor().compressobj()
    line = json.dumps({"text": PROSE, "license": "MIT"}).encode() + b"\n"
    bomb = packer.compress(line) + b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    (tmp_path / "a.jsonl.zst").write_bytes(bomb)
    counts, records = collected(tmp_path / "out", f"a={tmp_path / 'a.jsonl.zst'}")
    assert counts.dropped == {"a file that unpacks to too much": 1} and len(records) == 1


@pytest.mark.parametrize("size", [256 << 20, pytest.param(2 << 30, marks=pytest.mark.slow)])
def test_a_line_of_gigabytes_is_skipped(tmp_path: Path, size: int) -> None:
    resource = pytest.importorskip("resource", reason="peak memory is not told on this system")
    file = tmp_path / "a.jsonl"
    line = json.dumps({"text": PROSE, "license": "MIT"}).encode() + b"\n"
    with file.open("wb") as sparse:
        sparse.write(line)
        sparse.seek(size, os.SEEK_CUR)
        sparse.write(b"\n" + line)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts, records = collected(tmp_path / "out", f"a={file}")
    assert counts.dropped == {"a line over 8 MiB": 1}
    assert [record.id for record in records] == ["a/a.jsonl#1", "a/a.jsonl#3"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 128 << 10  # KiB


def test_tables_as_of_the_stack(tmp_path: Path) -> None:
    table = pa.table(
        {
            "content": pa.array([CODE, None, PROSE, "x", CODE]).dictionary_encode(),
            "max_stars_repo_path": ["a.py", "b.py", "c.md", "d.md", "e.py"],
            "max_stars_repo_licenses": [["MIT", "Apache-2.0"], ["MIT"], ["GPL-2.0-only"], ["MIT"], []],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    counts, records = collected(tmp_path / "out", f"stack={tmp_path / 'a.parquet'}")
    assert [(r.id, r.path, r.license) for r in records] == [("stack/a.parquet#1", "a.py", "Apache-2.0 AND MIT")]
    assert sum(counts.dropped.values()) == 4 and counts.dropped["no text"] == 1

    raw = pa.array([b"\xff" * 100, PROSE.encode()], pa.binary())
    strings = pa.Array.from_buffers(pa.string(), 2, raw.buffers())  # says it is UTF-8, and is not
    pq.write_table(pa.table({"text": strings, "license": ["MIT", "MIT"]}), tmp_path / "b.parquet")
    counts, records = collected(tmp_path / "b", f"b={tmp_path / 'b.parquet'}")
    assert counts.dropped == {"wrong encoding": 1} and len(records) == 1

    for name, columns in [("none", {"code": [CODE]}), ("type", {"text": [1]})]:
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
        counts, _ = collected(tmp_path / name, f"c={tmp_path / name}.parquet")
        assert counts.dropped == {"a table without a column of text": 1}


def test_a_table_that_swells_is_left(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["0" * (100 << 20)]}), tmp_path / "a.parquet", compression="zstd")
    assert (tmp_path / "a.parquet").stat().st_size < 1 << 20
    counts, _ = collected(tmp_path / "out", f"a={tmp_path / 'a.parquet'}")
    assert counts.dropped == {"a table that unpacks to too much": 1}


def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_phi.train.data.collect.inputs.UNIT_BYTES", 600_000)
    monkeypatch.setattr(run, "_SHARD_CHARACTERS", 400_000)


def large_source(folder: Path) -> Path:
    """The same text packed and not, as one folder."""
    folder.mkdir()
    rows = [{"text": f"{number} {PROSE * 10}", "license": "MIT", "path": f"{number}.md"} for number in range(1_500)]
    lines_of(folder / "a.jsonl", *rows)
    lines_of(folder / "b.jsonl.gz", *rows)
    pq.write_table(pa.Table.from_pylist(rows), folder / "c.parquet", row_group_size=150)
    return folder


def test_neither_workers_nor_where_it_lies_change_a_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_units(monkeypatch)
    source = large_source(tmp_path / "in")
    counts, records = collected(tmp_path / "one", f"a={source}")
    assert counts.records_out == 4_500 and len({record.path for record in records}) == 1_500
    numbers = [int(record.id.rpartition("#")[2]) for record in records]
    assert numbers == [*range(1, 1_501)] * 3  # lines and rows keep their numbers across slices
    assert all(f"{number - 1} A list" in record.text for number, record in zip(numbers, records, strict=True))
    names = [shard.name for shard in shards_of(tmp_path / "one")]
    assert len(names) > 6 and any("_" in name for name in names)
    source = source.rename(tmp_path / "elsewhere")
    collected(tmp_path / "two", f"a={source}", workers=2)
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert one == {name: data for name, data in two.items() if not name.startswith("logs")}
    assert not any(str(tmp_path).encode() in data for data in one.values())


_KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
import pytest, test_collect
test_collect.small_units(pytest.MonkeyPatch())
test_collect.collected(Path({out!r}), {source!r})
"""


def test_killed_and_begun_anew_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_units(monkeypatch)
    source = f"a={large_source(tmp_path / 'in')}"
    out = tmp_path / "out"
    program = _KILLED.format(here=str(Path(__file__).parent), source=source, out=str(out))
    process = subprocess.Popen([sys.executable, "-c", program])
    while not (out / "00001.json").exists() and process.poll() is None:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "manifest.json").exists()
    told: list[str] = []
    collect_records(parse_sources([source]), out, say=told.append)
    assert any("are done already" in line for line in told)
    collected(tmp_path / "whole", source)
    assert contents(tmp_path / "whole") == {k: v for k, v in contents(out).items() if not k.startswith(".")}


def test_every_input_is_listed_with_its_hash(tmp_path: Path) -> None:
    import hashlib

    folder = tmp_path / "sets"
    (folder / "one").mkdir(parents=True)
    (folder / "two").mkdir()
    files = [
        lines_of(folder / name / "d.jsonl.gz", {"text": name + PROSE, "license": "MIT"}) for name in ["one", "two"]
    ]
    (folder / "two" / "LICENSE").write_text("about the set, not of it")
    counts, _ = collected(tmp_path / "out", str(folder))
    assert list(counts.sources) == ["one", "two"] and counts.records_in == 2
    units = sorted((tmp_path / "out" / "inputs").iterdir())
    listed = [json.loads(unit.read_bytes())["inputs"][0] for unit in units]
    assert listed == [
        {"name": "d.jsonl.gz", "bytes": file.stat().st_size, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
        for file in files
    ]
    hashes = [hashlib.sha256(unit.read_bytes()).hexdigest() for unit in units]
    assert read_manifest(tmp_path / "out")["input"] == hashes
    lines_of(files[0], {"text": "other" + PROSE, "license": "MIT"})  # collected again, since its hash is another
    assert collected(tmp_path / "out", str(folder))[1][0].text.startswith("other")


def test_a_file_that_changes_under_the_work_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.md").write_text(PROSE)
    listed = run.write_units

    def and_then_change(*arguments: Any, **more: Any) -> list[Path]:
        units = listed(*arguments, **more)
        (tmp_path / "in" / "a.md").write_text(PROSE * 2)
        return units

    monkeypatch.setattr(run, "write_units", and_then_change)
    counts, _ = collected(tmp_path / "out", f"a={tmp_path / 'in'}", licenses=["unknown"])
    assert counts.dropped == {"a file that changed while it was collected": 1}


@pytest.mark.parametrize(
    ("sources", "line"),
    [
        ([], "name at least one source"),
        (["nowhere"], "no such file or folder"),
        (["a=nowhere"], "no such file or folder"),
        (["a="], "no such file or folder"),
        (["a=."], "holds nothing to collect"),
        (["."], "holds no SET"),
        (["a/b=."], "cannot name a source"),
        (["a=.", "a=."], "two sources are called 'a'"),
        (["a=thesis.doc"], "cannot be read as documents"),
    ],
)
def test_wrong_calls_get_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources: list[str], line: str
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    if "doc" in str(sources):
        Path("thesis.doc").write_text("years of work")
    with pytest.raises(InvalidCall, match=line):
        collect_records(parse_sources(sources), tmp_path / "out", say=lambda _: None)


def test_a_place_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    file = lines_of(tmp_path / "a.jsonl", {"text": PROSE, "license": "MIT"})
    with pytest.raises(InvalidCall, match="choose another folder"):
        collect_records(parse_sources([f"a={file}"]), tmp_path / "out", say=lambda _: None)
    assert contents(tmp_path / "out") == {"thesis.txt": b"years of work"}


def test_the_command_prints_counts_and_fails_where_nothing_is_kept(tmp_path: Path) -> None:
    file = lines_of(tmp_path / "a.jsonl", {"text": PROSE, "license": "MIT"}, {"text": "x", "license": "MIT"})
    result = CliRunner().invoke(app, ["collect", str(tmp_path / "out"), f"a={file}"])
    assert result.exit_code == 0 and json.loads(result.stdout)["dropped"] == {"under 80 characters": 1}
    assert "2 seen, 1 kept" in result.stderr and "1 dropped: under 80 characters" in result.stderr
    lines_of(file, {"text": PROSE})
    result = CliRunner().invoke(app, ["collect", str(tmp_path / "out"), f"a={file}"])
    assert "nothing was fit to keep" in str(result.exception)
