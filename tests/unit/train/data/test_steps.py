"""Records in shards, and steps over them: parallel, resumable, the same bytes whatever happens in between."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shard_transforms import fails, keep_even, lazily

from edge_phi.errors import EdgePhiError, InvalidCall, InvalidFile
from edge_phi.train.data import steps
from edge_phi.train.data.records import Record, read_records, shards_of, write_records
from edge_phi.train.data.steps import Counting, Counts, Step, map_files, part_of, read_manifest, run_step


def record(number: int, text: str = "") -> Record:
    return Record(f"set/{number}", "set", f"{number}.md", "MIT", text or f"text {number}", 2)


def write(folder: Path, shards: int = 4, each: int = 5) -> Path:
    folder.mkdir(exist_ok=True)
    for shard in range(shards):
        records = [record(shard * each + i) for i in range(each)]
        write_records(folder / f"{shard:05}.parquet", records, {}, seen=lambda _: None)
    return folder


def step(**arguments: object) -> Step:
    return Step("keep-even", {"of": 2}, partial(keep_even, **arguments), {"half": pa.int32()})


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file()}


@settings(deadline=None)  # a busy machine is no defect
@given(
    st.lists(
        st.builds(
            Record,
            *[st.text(st.characters(exclude_categories=["Cs"]))] * 5,
            st.integers(0, 2**31 - 1),
            added=st.fixed_dictionaries({"score": st.none() | st.floats(allow_nan=False)}),
        ),
        max_size=8,
    )
)
def test_records_come_back_as_they_were_written(records: list[Record]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        shard = Path(folder) / "00000.parquet"
        write_records(shard, records, {"score": pa.float64()}, seen=lambda _: None)
        assert list(read_records(shard)) == records
        assert [each.added for each in read_records(shard, added=[])] == [{}] * len(records)


def test_a_step_filters_adds_counts_and_leaves_a_manifest(tmp_path: Path) -> None:
    counts = run_step(step(), write(tmp_path / "in"), tmp_path / "out", workers=1, say=lambda _: None)
    assert (counts.records_in, counts.records_out, counts.tokens_out, counts.dropped) == (20, 10, 20, {"odd": 10})
    assert counts.sources == {"set": {"records": 10, "tokens": 20, "licenses": ["MIT"]}}
    kept = [each for shard in shards_of(tmp_path / "out") for each in read_records(shard)]
    assert [each.added["half"] for each in kept] == list(range(10))
    manifest = read_manifest(tmp_path / "out")
    assert manifest["step"] == "keep-even" and manifest["counts"]["records_out"] == 10
    assert list(manifest["shards"]) == [f"0000{i}.parquet" for i in range(4)]


def test_workers_do_not_change_a_byte_and_say_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "in")
    run_step(step(), source, tmp_path / "one", workers=1, say=lambda _: None)
    run_step(step(), source, tmp_path / "two", workers=2, say=lambda _: None)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert capfd.readouterr() == ("", "")


def test_what_a_step_says_meanwhile_is_heard(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "_TELL_EVERY_S", 0.1)

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    run_step(Step("lazily", {}, lazily), write(tmp_path / "in"), tmp_path / "out", workers=2, say=say)
    assert re.search("lazily: [123] of 4 shards", capfd.readouterr().err)


def test_only_what_is_not_done_is_done_again(tmp_path: Path) -> None:
    source, log = write(tmp_path / "in"), tmp_path / "log"
    run_step(step(log=log), source, tmp_path / "out", workers=1, say=lambda _: None)
    whole = contents(tmp_path / "out")
    log.unlink()
    (tmp_path / "out" / "00001.json").unlink()  # killed before the mark
    (tmp_path / "out" / "00002.parquet").write_bytes(b"half a shard")  # a disk that lost it
    run_step(step(log=log), source, tmp_path / "out", workers=1, say=lambda _: None)
    assert sorted(map(int, log.read_text().split())) == list(range(5, 15))
    assert contents(tmp_path / "out") == whole


def test_other_input_or_other_settings_are_done_again(tmp_path: Path) -> None:
    source, log = write(tmp_path / "in"), tmp_path / "log"
    run_step(step(log=log), source, tmp_path / "out", workers=1, say=lambda _: None)
    log.unlink()
    write_records(source / "00003.parquet", [record(16)], {}, seen=lambda _: None)
    (source / "00000.parquet").rename(tmp_path / "away")
    run_step(step(log=log), source, tmp_path / "out", workers=1, say=lambda _: None)
    assert len(shards_of(tmp_path / "out")) == 3  # the fourth is no longer made from anything
    assert read_manifest(tmp_path / "out")["counts"]["records_in"] == 11


_KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, {here!r})
import pyarrow as pa
from shard_transforms import keep_even
from edge_phi.train.data.steps import Step, run_step
def slowly(records, dropped):
    for each in keep_even(records, dropped):
        time.sleep(0.05)
        yield each
slow = Step("keep-even", {{"of": 2}}, slowly, {{"half": pa.int32()}})
run_step(slow, Path({source!r}), Path({out!r}), workers=1, say=print)
"""


def test_killed_and_begun_anew_gives_the_same_bytes(tmp_path: Path) -> None:
    source = write(tmp_path / "in")
    run_step(step(), source, tmp_path / "whole", workers=1, say=lambda _: None)
    out = tmp_path / "out"
    program = _KILLED.format(here=str(Path(__file__).parents[3]), source=str(source), out=str(out))
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL)
    while not (out / "00001.json").exists() and process.poll() is None:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "manifest.json").exists() and (out / "00001.json").exists()
    run_step(step(), source, out, workers=1, say=lambda _: None)
    assert contents(tmp_path / "whole") == {k: v for k, v in contents(out).items() if not k.startswith(".")}


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_task_raises_is_raised(tmp_path: Path, workers: int) -> None:
    with pytest.raises(InvalidFile, match=r"7.md: is hostile"):
        run_step(
            Step("fails", {}, fails), write(tmp_path / "in"), tmp_path / "out", workers=workers, say=lambda _: None
        )
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_bad_shards_and_places_get_one_line(tmp_path: Path) -> None:
    quiet = {"workers": 1, "say": lambda _: None}
    with pytest.raises(InvalidCall, match="holds no shards"):
        run_step(step(), tmp_path / "nothing", tmp_path / "out", **quiet)
    source = write(tmp_path / "in", 1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(InvalidCall, match="choose another folder"):
        run_step(step(), source, tmp_path / "mine", **quiet)
    run_step(Step("other", {}, keep_even), source, tmp_path / "other", **quiet)
    with pytest.raises(InvalidCall, match="holds what step 'other' made"):
        run_step(step(), source, tmp_path / "other", **quiet)
    for damage, line in [
        (b"no parquet at all", "not readable as Parquet"),
        ((source / "00000.parquet").read_bytes()[:-20], "not readable as Parquet"),
    ]:
        (source / "00000.parquet").write_bytes(damage)
        with pytest.raises(InvalidFile, match=line):
            run_step(step(), source, tmp_path / "out", **quiet)
    pq.write_table(pa.table({"id": ["a"], "text": ["b"]}), source / "00000.parquet")
    with pytest.raises(InvalidFile, match="no column 'source'"):
        run_step(step(), source, tmp_path / "out", **quiet)
    pq.write_table(
        pa.table({**{n: ["a"] for n in ["id", "source", "path", "license", "text"]}, "tokens": ["3"]}),
        source / "00000.parquet",
    )
    with pytest.raises(InvalidFile, match="'tokens' is string, not int32"):
        run_step(step(), source, tmp_path / "out", **quiet)


def test_a_damaged_page_is_found_while_it_is_read(tmp_path: Path) -> None:
    shard = tmp_path / "00000.parquet"
    write_records(shard, [record(i, "x" * 50 + str(i * 7919)) for i in range(500)], {}, seen=lambda _: None)
    damaged = bytearray(shard.read_bytes())
    damaged[100:900] = bytes(800)
    shard.write_bytes(damaged)
    with pytest.raises(EdgePhiError, match="damaged"):
        list(read_records(shard))


def test_a_mark_is_no_proof_of_another_settings_work(tmp_path: Path) -> None:
    source = write(tmp_path / "in", 1)
    run_step(step(), source, tmp_path / "out", workers=1, say=lambda _: None)
    key = json.loads((tmp_path / "out" / "00000.json").read_text())["key"]
    changed = Step("keep-even", {"of": 3}, keep_even)
    run_step(changed, source, tmp_path / "out", workers=1, say=lambda _: None)
    assert json.loads((tmp_path / "out" / "00000.json").read_text())["key"] != key


def cut_in_parts(file: Path, target: Path) -> Counts:
    counting = Counting()
    for number, character in enumerate(file.read_text()):
        write_records(part_of(target, number), [record(number, character * 9)], {}, seen=counting.leave)
    return counting.counts


def test_what_is_too_large_for_one_shard_becomes_several(tmp_path: Path) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    for file, text in zip(files, ["xyz", "u"], strict=True):
        file.write_text(text)
    out = tmp_path / "out"
    quiet = {"workers": 1, "say": lambda _: None}
    counts = map_files("cut", {}, files, out, cut_in_parts, **quiet)
    names = ["00000.parquet", "00000_0001.parquet", "00000_0002.parquet", "00001.parquet"]
    assert [shard.name for shard in shards_of(out)] == names == list(read_manifest(out)["shards"])
    assert [each.text[0] for shard in shards_of(out) for each in read_records(shard)] == list("xyzu")
    assert counts.records_out == 4
    whole = contents(out)
    (out / names[2]).unlink()  # no longer what the mark says
    map_files("cut", {}, files, out, cut_in_parts, **quiet)
    assert contents(out) == whole
    files[0].write_text("xy")
    map_files("cut", {}, files[:1], out, cut_in_parts, **quiet)
    assert [shard.name for shard in shards_of(out)] == names[:2]
