"""The step that drops what comes near to a benchmark, and says which problems that was about.

Beside its shards stand

report.json                      every hit, and for each tau how many documents and which problems it is about
decontamination.json             the problems that what was kept comes near to, as a checkpoint carries it
decontamination-before.json      the problems that the input came near to at tau: the split of the paper's table 3

The last two have the format that `edge_phi.evaluate.similar` reads. Comparing (kept in .compared) is apart from
dropping, so that another tau costs little.
"""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_phi.atomic import atomic_file, write_bytes
from edge_phi.checkpoint import WEIGHTS_FILE
from edge_phi.errors import InvalidCall, InvalidFile
from edge_phi.evaluate.similar import REPORT_FILE
from edge_phi.lineage import sha256_of
from edge_phi.store import DEFAULT_MODEL, bundled_folder

from ..embed import IMPORTS
from ..records import Record, columns_of, read_records, shards_of, write_records
from ..steps import Counting, Counts, Say, check_place, map_files
from .compare import FARTHEST, LOWEST_TAU, SHARED_WORDS, SHORT, Comparer, Hit
from .references import FILES, Reference, read_references

NAME = "decontaminate"
TAUS = (0.95, 0.9, 0.85, 0.8)  # the paper's
HITS_FILE = "report.json"
BEFORE_FILE = "decontamination-before.json"
_COMPARED = ".compared"
_FORM = 1  # to be raised when normal forms change: what was compared before is compared again


def decontaminate(
    source: Path,
    out: Path,
    *,
    benchmarks: Path,
    tau: float = LOWEST_TAU,
    report_only: bool = False,
    model: Path | None = None,
    workers: int = 1,
    say: Say,
) -> Counts:
    """Drop documents that share 13 words in a row with a benchmark, or hold code that matches a solution.

    Code matches if the match rate of normal forms is at least `tau` and the embeddings are near ("Textbooks Are All
    You Need", section 5).

    Args:
        source: a folder of shards.
        out: a folder for the shards that stay, and the reports.
        benchmarks: holds humaneval/, mbpp/ and evalplus/.
        tau: from 0.8 to 1.
        report_only: drop nothing.
        model: a checkpoint folder, whose hidden states are the embeddings; the bundled model if None.
        workers: processes.
        say: told one line now and then.

    Raises:
        InvalidCall: no shards, no benchmarks, another tau, or `out` holds something else.
        InvalidFile: a shard or a benchmark's file is damaged.
    """
    if not LOWEST_TAU <= tau <= 1:
        raise InvalidCall(f"a tau of {tau}: give one from {LOWEST_TAU} to 1")
    shards = shards_of(source)
    references = read_references(benchmarks)  # what is missing is said before any work
    check_place(out, NAME)
    for name in (HITS_FILE, REPORT_FILE, BEFORE_FILE):
        (out / name).unlink(missing_ok=True)
    weights = (model or bundled_folder() / DEFAULT_MODEL) / WEIGHTS_FILE
    if not weights.is_file():
        raise InvalidCall(f"{weights}: missing: give the folder of a trained model")
    compared = {
        "benchmarks": {file.name: file.sha256 for file in FILES},
        "model": sha256_of(weights),
        "farthest": FARTHEST,
        "short": [SHORT, SHARED_WORDS],
        "form": _FORM,
    }
    map_files(
        f"{NAME}: compare",
        compared,
        shards,
        out / _COMPARED,
        _Compare(tuple(references), model),
        workers=workers,
        say=say,
        suffix=".jsonl",
        imports=IMPORTS,
    )
    counts = map_files(
        NAME,
        {**compared, "tau": tau, "report_only": report_only},
        shards,
        out,
        _Drop(out / _COMPARED, tau, report_only),
        workers=workers,
        say=say,
    )
    _write_reports(out, len(shards), tau, report_only, {each.task_id for each in references if each.scored})
    return counts


@dataclass(frozen=True)
class _Compare:
    references: tuple[Reference, ...]  # read once, not by every worker
    model: Path | None

    def __call__(self, shard: Path, target: Path) -> Counts:
        counting = Counting()
        comparer = _comparer(self.references, self.model)
        with atomic_file(target) as file:
            for _, hits in comparer.hits(map(counting.enter, read_records(shard, added=[]))):
                for hit in hits:
                    file.write(json.dumps(asdict(hit)).encode() + b"\n")
        return counting.counts


@dataclass(frozen=True)
class _Drop:
    compared: Path
    tau: float
    report_only: bool

    def __call__(self, shard: Path, target: Path) -> Counts:
        counting = Counting()
        reasons = {} if self.report_only else _reasons(_read_hits(self.compared / f"{target.stem}.jsonl"), self.tau)

        def kept() -> Iterator[Record]:
            for record in map(counting.enter, read_records(shard)):
                if record.id in reasons:
                    counting.dropped[reasons[record.id]] += 1
                else:
                    yield record

        write_records(target, kept(), columns_of(shard), seen=counting.leave)
        return counting.counts


@functools.lru_cache(maxsize=1)
def _comparer(references: tuple[Reference, ...], model: Path | None) -> Comparer:
    return Comparer(references, model=model)


def _reasons(hits: Iterable[Hit], tau: float) -> dict[str, str]:
    """Why each document that must go has to; words come first."""
    reasons: dict[str, str] = {}
    for hit in hits:
        if hit.kind == "13-gram":
            reasons[hit.record] = "13 words in a row shared with a benchmark"
        elif (hit.rate or 0) >= tau:
            reasons.setdefault(hit.record, f"code matches a benchmark's solution (tau {tau:g})")
    return reasons


def _read_hits(path: Path) -> Iterator[Hit]:
    try:
        with path.open("rb") as file:
            for line in file:
                yield Hit(**json.loads(line))
    except (OSError, ValueError, TypeError) as error:
        raise InvalidFile(f"{path}: damaged ({error}): remove it and run the step again") from error


def _write_reports(out: Path, shards: int, tau: float, report_only: bool, scored: set[str]) -> None:
    files = [out / _COMPARED / f"{number:05}.jsonl" for number in range(shards)]
    problems: dict[str, set[str]] = defaultdict(set)  # by tau, and "13-gram"
    records: dict[str, int] = defaultdict(int)
    before: set[str] = set()
    after: set[str] = set()
    for file in files:
        dropped = {} if report_only else _reasons(_read_hits(file), tau)
        by_record: dict[str, set[str]] = defaultdict(set)
        for hit in _read_hits(file):
            names = ["13-gram"] if hit.rate is None else [f"{each:g}" for each in TAUS if hit.rate >= each]
            for name in names:
                problems[name].add(hit.task_id)
            by_record[hit.record].update(names)
            if hit.rate is None or hit.rate >= tau:
                before.add(hit.task_id)
            if hit.record not in dropped:
                after.add(hit.task_id)
        for taus in by_record.values():
            for name in taus:
                records[name] += 1
    write_bytes(out / REPORT_FILE, _split(after, LOWEST_TAU))
    write_bytes(out / BEFORE_FILE, _split(before, tau))
    summary: dict[str, Any] = {
        name: {
            "records": records[name],
            "humaneval": _of(problems[name], "HumanEval"),
            "mbpp": _of(problems[name], "MBPP"),
            "mbpp_test_split": len([task_id for task_id in problems[name] & scored if task_id.startswith("MBPP")]),
        }
        for name in ("13-gram", *(f"{each:g}" for each in TAUS))
    }
    with atomic_file(out / HITS_FILE) as written:  # hits are as many as the data make them
        head = json.dumps({"tau": tau, "report_only": report_only, "found": summary}, indent=1)
        written.write(head[:-2].encode() + b',\n "hits": [')
        comma = b"\n  "
        for file in files:
            for hit in _read_hits(file):
                written.write(comma + json.dumps(asdict(hit)).encode())
                comma = b",\n  "
        written.write(b"\n ]\n}\n")


def _split(problems: set[str], tau: float) -> bytes:
    split = {
        name: {"tau": tau, "similar": _of(problems, prefix)}
        for name, prefix in (("humaneval", "HumanEval"), ("mbpp", "MBPP"))
    }
    return json.dumps(split, indent=1).encode() + b"\n"


def _of(problems: set[str], prefix: str) -> list[str]:
    mine = [task_id for task_id in problems if task_id.startswith(f"{prefix}/")]
    return sorted(mine, key=lambda task_id: int(task_id.rpartition("/")[2]))
