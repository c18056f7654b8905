"""Exact copies and near-duplicates: found beside the true similarity and datasketch, the first of them kept."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_phi.cli import main
from edge_phi.errors import InvalidCall, InvalidFile
from edge_phi.train.data.deduplicate import deduplicate, pairs
from edge_phi.train.data.deduplicate.shingles import shingles
from edge_phi.train.data.deduplicate.sketches import keys_of, similarity, sketch
from edge_phi.train.data.records import Record, read_records, shards_of, write_records
from edge_phi.train.data.steps import Counts

WORD = re.compile(rb"[A-Za-z0-9_\x80-\xff]+")


def true_shingles(text: str) -> set[tuple[bytes, ...]]:
    words = WORD.findall(text.encode())
    return {tuple(words[i : i + 5]) for i in range(max(1, len(words) - 4))} if words else set()


def true_similarity(left: str, right: str) -> float:
    one, two = true_shingles(left), true_shingles(right)
    return len(one & two) / max(1, len(one | two))


def write(folder: Path, texts: Sequence[str], *, shard: int = 50, sources: Sequence[str] = ("set",)) -> Path:
    """Documents in order, cut into shards; the sources follow one another in equal parts."""
    folder.mkdir()
    records = [
        Record(f"d/{i}", sources[i * len(sources) // len(texts)], f"{i}", "MIT", text, len(text) // 4)
        for i, text in enumerate(texts)
    ]
    for start in range(0, len(records), shard):
        target = folder / f"{start // shard:05}.parquet"
        write_records(target, records[start : start + shard], {}, seen=lambda _: None)
    return folder


def run(source: Path, out: Path, *, threshold: float = 0.8, workers: int = 1) -> Counts:
    return deduplicate(source, out, threshold=threshold, workers=workers, say=lambda _: None)


def kept(out: Path) -> list[int]:
    return [int(record.path) for shard in shards_of(out) for record in read_records(shard)]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.suffix != ".part" and "logs" not in file.parts
    }


def prose(draw: random.Random, words: int) -> list[str]:
    return [f"w{draw.randrange(3000)}" for _ in range(words)]


def changed(draw: random.Random, words: Sequence[str], similar: float) -> list[str]:
    """A copy in which a run of words is another: k of them are in k + 4 runs of five."""
    count = max(1, round((len(words) - 4) * (1 - similar) / (1 + similar)) - 4)
    start = draw.randrange(len(words) - count)
    return [*words[:start], *(f"new{draw.randrange(10**6)}" for _ in range(count)), *words[start + count :]]


@pytest.fixture(scope="module", autouse=True)
def no_power_is_lost() -> Iterator[None]:
    """Nothing here needs bytes to have reached the disk, which takes most of the time of so many small files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="module")
def planted() -> list[str]:
    """600 documents and then a changed copy of each, at similarities from 0.5 to 0.95."""
    draw = random.Random(5)
    first = [prose(draw, draw.choice((60, 120, 300))) for _ in range(600)]
    copies = [changed(draw, words, 0.5 + 0.45 * i / 600) for i, words in enumerate(first)]
    return [" ".join(words) for words in (*first, *copies)]


def test_planted_near_duplicates_are_found_as_their_true_similarity_has_it(tmp_path: Path, planted: list[str]) -> None:
    counts = run(write(tmp_path / "in", planted, shard=200), tmp_path / "out")
    stays = set(kept(tmp_path / "out"))
    assert stays.issuperset(range(600))  # of a pair the later one goes
    half = len(planted) // 2
    similar = [true_similarity(planted[i], planted[i + half]) for i in range(half)]
    found = {i for i in range(half) if i + half not in stays}
    assert counts.dropped == {"a near-duplicate": len(found)}
    near = {i for i in range(half) if similar[i] >= 0.8}
    assert len(near) > 100
    assert len(found & near) >= 0.9 * len(
        near
    )  # the estimate errs by 0.02, and most of these are just at the threshold
    assert found.issuperset(i for i in range(half) if similar[i] >= 0.87)
    assert not [i for i in found if similar[i] < 0.72]
    assert len(found - near) <= 0.15 * len(near)


def test_what_datasketch_finds_is_found_and_no_more(tmp_path: Path, planted: list[str]) -> None:
    datasketch = pytest.importorskip("datasketch", reason="datasketch, of the extra 'dev', is not installed")
    run(write(tmp_path / "in", planted, shard=200), tmp_path / "out")
    stays = set(kept(tmp_path / "out"))
    index = datasketch.MinHashLSH(threshold=0.8, num_perm=256, params=(32, 8))
    theirs, sketches = set(), {}
    for i, text in enumerate(planted):
        sketches[i] = datasketch.MinHash(num_perm=256)
        sketches[i].update_batch([b" ".join(shingle) for shingle in true_shingles(text)])
        if not any(sketches[i].jaccard(sketches[j]) >= 0.8 for j in index.query(sketches[i])):
            index.insert(i, sketches[i])
            theirs.add(i)
    half = len(planted) // 2
    differ = [i for i in stays ^ theirs if not 0.72 < true_similarity(planted[i], planted[i - half]) < 0.88]
    assert not differ  # both estimate: near the threshold they may differ
    assert len(stays ^ theirs) <= 0.05 * len(planted)


@settings(deadline=None)
@given(st.lists(st.text(st.sampled_from("ab_9 .\n+é\0") | st.characters(exclude_categories=["Cs"]), max_size=60)))
def test_shingles_are_runs_of_five_words(texts: list[str]) -> None:
    hashes, owners = shingles([text.encode() for text in texts])
    everything: dict[int, tuple[bytes, ...]] = {}
    for i, text in enumerate(texts):
        own = hashes[owners == i].tolist()
        assert len(set(own)) == len(true_shingles(text))
        words = WORD.findall(text.encode())
        for place, value in enumerate(own):
            assert everything.setdefault(value, tuple(words[place : place + 5])) == tuple(words[place : place + 5])


@pytest.mark.parametrize("size", [6, 40, 400, 4000])
def test_sketches_estimate_the_similarity_without_bias_and_share_keys_as_minhash_does(size: int) -> None:
    draw = np.random.default_rng(size)
    count = 400
    hashes = draw.integers(0, 2**64, (count, size), dtype=np.uint64)
    common = size * 2 // 3
    left = hashes[:, : common + (size - common) // 2]
    right = np.delete(hashes, np.s_[common : common + (size - common) // 2], axis=1)
    rows = [sketch(s.ravel(), np.repeat(np.arange(count), s.shape[1]), count) for s in (left, right)]
    estimates = similarity(*rows)
    assert abs(estimates.mean() - common / size) < 0.006
    assert estimates.std() < 0.032  # of MinHash with 256 values it is 0.029
    shared = (keys_of(rows[0]) == keys_of(rows[1])).any(axis=0).mean()
    assert abs(shared - (1 - (1 - (common / size) ** 8) ** 32)) < 0.08


WORDS = st.lists(
    st.sampled_from(["def", "add", "return", "total", "value", "item", "for", "in", "1", "2"]), max_size=14
)
TEXTS = st.lists(
    st.tuples(WORDS, st.sampled_from([" ", "  ", "\n", "\t ", " + "])).map(lambda each: each[1].join(each[0]))
    | st.sampled_from(["", "+", "-", "...", "a b c d", "a  b c\nd"]),
    min_size=1,
    max_size=30,
)


@settings(max_examples=25, deadline=None)
@given(TEXTS)
def test_no_document_goes_without_one_like_it_staying(texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        counts = run(write(folder / "in", texts, shard=8), folder / "out")
        stays = kept(folder / "out")
        assert counts.records_in == len(texts) and counts.records_out == len(stays)
        assert sum(counts.dropped.values()) == len(texts) - len(stays)
        exact = [" ".join(text.split()) for text in texts]
        assert len({exact[i] for i in stays}) == len(stays)
        for gone in set(range(len(texts))) - set(stays):
            earlier = [i for i in stays if i < gone]
            copies = [i for i in range(gone) if exact[i] == exact[gone]]  # the first of which may be near to another
            alike = max(true_similarity(texts[i], texts[j]) for i in [gone, *copies] for j in earlier)
            assert exact[gone] in [exact[i] for i in earlier] or alike > 0.6
        again = run(folder / "out", folder / "again")
        assert again.dropped == {} and kept(folder / "again") == stays
        some = len(texts) // 2 + 1
        run(write(folder / "some", texts[:some], shard=8), folder / "some out")
        assert kept(folder / "some out") == [i for i in stays if i < some]  # what is added later changes nothing


def test_of_a_chain_the_far_end_stays(tmp_path: Path) -> None:
    draw = random.Random(2)
    chain = [prose(draw, 300)]
    chain += [changed(draw, chain[0], 0.85)]
    chain += [changed(draw, chain[1], 0.85)]
    texts = [" ".join(words) for words in chain]
    assert true_similarity(texts[0], texts[2]) < 0.75
    run(write(tmp_path / "in", texts), tmp_path / "out")
    assert kept(tmp_path / "out") == [0, 2]


def test_the_earlier_source_wins_and_reasons_are_counted(tmp_path: Path) -> None:
    draw = random.Random(1)
    one, two, three = (prose(draw, 100) for _ in range(3))
    texts = [
        " ".join(one), "\n".join(one), " ".join(two), " ".join(changed(draw, two, 0.93)),
        " ".join(one), " ".join(changed(draw, two, 0.93)), " ".join(three), "(" + ") ".join(one),
    ]  # fmt: skip
    counts = run(write(tmp_path / "in", texts, shard=3, sources=("textbook", "web")), tmp_path / "out")
    assert kept(tmp_path / "out") == [0, 2, 6]
    assert counts.dropped == {
        "an exact copy": 1,
        "a near-duplicate": 1,
        "an exact copy of another source": 1,
        "a near-duplicate of another source": 2,
    }
    assert {name: each["records"] for name, each in counts.sources.items()} == {"textbook": 2, "web": 1}
    assert counts.tokens_out == sum(len(texts[i]) // 4 for i in (0, 2, 6))


def test_a_cluster_of_any_size_leaves_one(tmp_path: Path) -> None:
    draw = random.Random(3)
    words = prose(draw, 200)
    cluster = [" ".join(changed(draw, words, 0.96)) for _ in range(120)]
    texts = [" ".join(words), *cluster, *(" ".join(prose(draw, 50)) for _ in range(9))]
    run(write(tmp_path / "in", texts, shard=40), tmp_path / "out")
    assert kept(tmp_path / "out") == [0, *range(121, 130)]


def test_what_has_few_words_or_none_or_too_many(tmp_path: Path) -> None:
    draw = random.Random(4)
    long = " ".join(prose(draw, 900_000))  # more than is taken at once
    word = "x" * 300_000
    texts = ["", " \n", "+", "-", "a b", "a c", "a, b", word, word + "y", "\0", "\0\0", long, "before it " + long]
    run(write(tmp_path / "in", texts), tmp_path / "out")
    assert [i for i in range(len(texts)) if i not in kept(tmp_path / "out")] == [1, 6, 12]


def test_shards_without_documents(tmp_path: Path) -> None:
    source = write(tmp_path / "in", ["one", "two", "one"], shard=1)
    write_records(source / "00001.parquet", [], {}, seen=lambda _: None)
    assert run(source, tmp_path / "out").dropped == {"an exact copy": 1}
    write_records(source / "00000.parquet", [], {}, seen=lambda _: None)
    write_records(source / "00002.parquet", [], {}, seen=lambda _: None)
    assert run(source, tmp_path / "out") == Counts()


def test_neither_workers_nor_how_much_is_held_change_a_byte(
    tmp_path: Path, planted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "in", planted[:200] + planted[600:800] + planted[100:120], shard=80)
    run(source, tmp_path / "one")
    run(source, tmp_path / "two", workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    monkeypatch.setattr(pairs, "_KEYS_AT_ONCE", 50)
    monkeypatch.setattr(pairs, "_ROWS_AT_ONCE", 10)
    monkeypatch.setattr(pairs, "_COMPARED_AT_ONCE", 3)
    run(source, tmp_path / "few")
    assert contents(tmp_path / "one") == contents(tmp_path / "few")


_KILLED = """
import time
from pathlib import Path
from edge_phi import atomic
from edge_phi.train.data.deduplicate import deduplicate
atomic.fsync_folder = lambda folder: time.sleep(0.03)
deduplicate(Path({source!r}), Path({out!r}), say=print)
"""


def test_killed_anywhere_and_begun_anew_gives_the_same_bytes(tmp_path: Path, planted: list[str]) -> None:
    source = write(tmp_path / "in", planted[:300] + planted[600:900], shard=100)
    run(source, tmp_path / "whole")
    out = tmp_path / "out"
    program = _KILLED.format(source=str(source), out=str(out))
    for reached in (".work/sketches/00002.json", ".work/near/00003.json", ".work/verdicts/00003.npy", "00001.json"):
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL)
        while not (out / reached).exists() and process.poll() is None:
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert (out / reached).exists() and not (out / "manifest.json").exists()
    run(source, out)
    assert contents(tmp_path / "whole") == contents(out)


def test_more_shards_cost_no_more_than_themselves(tmp_path: Path, planted: list[str]) -> None:
    source = write(tmp_path / "in", planted[:200], shard=100)
    run(source, tmp_path / "out")
    old = (tmp_path / "out" / ".work/sketches/00000.sketches").stat().st_mtime_ns
    more = [Record(f"e/{i}", "more", f"{i}", "MIT", planted[i], 1) for i in range(5)]
    write_records(source / "00002.parquet", more, {}, seen=lambda _: None)
    assert run(source, tmp_path / "out").dropped == {"an exact copy of another source": 5}
    assert (tmp_path / "out" / ".work/sketches/00000.sketches").stat().st_mtime_ns == old


def test_the_command_prints_what_was_dropped_and_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "in", ["one two", "one  two", "three"])
    assert main(["data", "dedup", str(source), str(tmp_path / "out"), "--workers", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["dropped"] == {"an exact copy": 1}
    assert main(["data", "dedup", str(source), str(tmp_path / "out2"), "--threshold", "0.3"]) == 2
    assert "choose one from 0.7 to 1" in capsys.readouterr().err
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(InvalidCall, match="choose another folder"):
        run(source, mine)
    assert [entry.name for entry in mine.iterdir()] == ["thesis.txt"]
    with pytest.raises(InvalidCall, match="holds no shards"):
        run(tmp_path / "nothing", tmp_path / "out3")
    (source / "00000.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(InvalidFile, match="not readable as Parquet"):
        run(source, tmp_path / "out3")
