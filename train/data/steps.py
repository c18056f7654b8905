"""Steps: pure functions over shards, run in parallel, resumed where they stopped, each leaving a manifest.

A step reads the shards of one folder and writes as many files, under the same numbers, to another:

00000.parquet   what it made of the input's 00000.parquet, written whole or not at all
00000.json      the mark that it is done: what went in and came out, and the hashes of both
manifest.json   written last: the step, its settings, every shard's hash, and the counts of all

Work whose input is not cut by size may write 00000_0001.parquet, 00000_0002.parquet, ... beside the first.

A mark counts only while the settings and the input's hash are the same, so that a step killed at any moment and begun
anew redoes what was not finished, no more, and ends with the bytes of an unbroken run. The tasks are run by datatrove's
executors: local processes here; the same `tasks` go to its Slurm and Ray executors.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from edge_phi.atomic import write_bytes
from edge_phi.errors import EdgePhiError, InvalidCall, InvalidFile
from edge_phi.lineage import sha256_of

from .records import Record, columns_of, read_records, shards_of, write_records

MANIFEST_FILE = "manifest.json"
INPUTS_FOLDER = "inputs"  # lists of what is read, where a step's input is not shards
_TELL_EVERY_S = 5.0
_OURS = frozenset({"logs", INPUTS_FOLDER})
Say = Callable[[str], None]
# From records to the records that stay, counting why the others go. It may change and add to them.
Transform = Callable[[Iterator[Record], "Counter[str]"], Iterator[Record]]
# From one input file to one output file and its further parts (`part_of`), returning what went in and came out.
Work = Callable[[Path, Path], "Counts"]


@dataclass(frozen=True)
class Counts:
    """Documents and tokens before and after, and why documents were dropped."""

    records_in: int = 0
    tokens_in: int = 0
    records_out: int = 0
    tokens_out: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # of what came out

    def __add__(self, other: Counts) -> Counts:
        sources: dict[str, dict[str, Any]] = {name: dict(value) for name, value in self.sources.items()}
        for name, value in other.sources.items():
            mine = sources.setdefault(name, {"records": 0, "tokens": 0, "licenses": []})
            mine["records"] += value["records"]
            mine["tokens"] += value["tokens"]
            mine["licenses"] = sorted({*mine["licenses"], *value["licenses"]})
        return Counts(
            self.records_in + other.records_in,
            self.tokens_in + other.tokens_in,
            self.records_out + other.records_out,
            self.tokens_out + other.tokens_out,
            dict(sorted((Counter(self.dropped) + Counter(other.dropped)).items())),
            dict(sorted(sources.items())),
        )


@dataclass(frozen=True)
class Step:
    """What is done to every shard of a folder.

    Attributes:
        name: as the funnel shows it.
        settings: JSON; everything beside the input that decides what comes out.
        transform: see `Transform`; picklable (a function or `functools.partial` of one), since workers are processes.
        columns: that it adds, with their types.
    """

    name: str
    settings: Mapping[str, Any]
    transform: Transform
    columns: Mapping[str, pa.DataType] = field(default_factory=dict)


def run_step(step: Step, source: Path, out: Path, *, workers: int, say: Say) -> Counts:
    """Apply a step to every shard of `source`, write those of `out`, and say what was dropped.

    Raises:
        InvalidCall: no shards in `source`, or another step's in `out`.
        InvalidFile: a shard is damaged.
        EdgePhiError: the disk is full or not writable.
    """
    work = _TransformShard(step.transform, dict(step.columns))
    return map_files(step.name, step.settings, shards_of(source), out, work, workers=workers, say=say)


def map_files(
    name: str,
    settings: Mapping[str, Any],
    files: Sequence[Path],
    out: Path,
    work: Work,
    *,
    workers: int,
    say: Say,
    suffix: str = ".parquet",
    imports: Sequence[str] = (),
) -> Counts:
    """Run `work` on every file that is not done, and write the manifest: what `run_step` and steps of other shapes use.

    Args:
        name: the step's.
        settings: JSON; everything beside the files that decides what comes out.
        files: the input, in order.
        out: a folder; the result of the i-th file is written to i as five digits, and `suffix`.
        work: picklable; writes its second argument whole or not at all (`edge_phi.atomic`).
        workers: processes.
        say: told one line now and then.
        suffix: of the output.
        imports: modules that `work` imports when it is called, and that take seconds.

    Raises:
        InvalidCall: `out` holds another step's files.
        EdgePhiError: what `work` raises.
    """
    from .executor import run_tasks

    check_place(out, name)
    key = hashlib.sha256(json.dumps([name, settings], sort_keys=True).encode()).hexdigest()
    targets = [out / f"{number:05}{suffix}" for number in range(len(files))]
    (out / MANIFEST_FILE).unlink(missing_ok=True)
    numbers = {target.stem for target in targets}
    for stale in [*out.glob(f"[0-9]*{suffix}"), *out.glob("[0-9]*.json")]:
        if stale.stem.partition("_")[0] not in numbers:
            stale.unlink()
    todo = [(file, target) for file, target in zip(files, targets, strict=True) if not _is_done(file, target, key)]
    if len(todo) < len(files):
        say(f"{name}: {len(files) - len(todo)} of {len(files)} shards are done already")
    with _progress(name, [target.with_suffix(".json") for _, target in todo], say):
        marked = _MarkedWork(work, key, tuple(todo))
        run_tasks(marked, len(todo), workers=workers, logs=out / "logs", imports=imports)
    marks = [_read_mark(target) for target in targets]
    counts = total(Counts(**mark["counts"]) for mark in marks)
    manifest = {
        "step": name,
        "settings": dict(settings),
        "input": [mark["input"] for mark in marks],
        "shards": {shard: digest for mark in marks for shard, digest in mark["output"].items()},
        "counts": asdict(counts),
    }
    write_bytes(out / MANIFEST_FILE, json.dumps(manifest, indent=1, sort_keys=True).encode())
    return counts


def part_of(target: Path, number: int) -> Path:
    """Where work writes more of what is too large for its target; the target itself is part 0."""
    return target.with_name(f"{target.stem}_{number:04}{target.suffix}") if number else target


def check_place(out: Path, name: str) -> None:
    """Make the folder of a step, if there is none.

    Raises:
        InvalidCall: it holds another step's files, or something else.
        EdgePhiError: it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidCall(f"{out}: no folder can be made there ({error.strerror}): choose another") from error
    path = out / MANIFEST_FILE
    strangers = [entry.name for entry in out.iterdir() if entry.name not in _OURS and not entry.name.startswith(".")]
    if path.is_file():
        try:
            other = json.loads(path.read_bytes()).get("step")
        except (OSError, ValueError, AttributeError):
            other = None
        if other not in (name, None):
            raise InvalidCall(f"{out}: holds what step {other!r} made: choose another folder for {name!r}")
    elif not all(entry[:5].isdigit() for entry in strangers):
        raise InvalidCall(f"{out}: is there and holds no shards: choose another folder")


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a finished step says of itself.

    Raises:
        InvalidCall: the step has not finished, or there is none.
        InvalidFile: damaged.
    """
    path = folder / MANIFEST_FILE
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise InvalidCall(f"{folder}: no finished step there: run it (again)") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidFile(f"{path}: damaged ({error}): remove it and run its step again") from error
    if not isinstance(value, dict) or not isinstance(value.get("counts"), dict):
        raise InvalidFile(f"{path}: damaged (no counts): remove it and run its step again")
    return value


def counts_of(shard: Path) -> Counts:
    """What went into one shard of a step and came out, as its mark says.

    Raises:
        InvalidFile: no mark, or a damaged one.
    """
    return Counts(**_read_mark(shard)["counts"])


def total(counts: Iterable[Counts]) -> Counts:
    """The sum of many counts."""
    result = Counts()
    for each in counts:
        result = result + each
    return result


class Counting:
    """Counts records on their way into and out of a step."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self._in = (0, 0)  # records and tokens
        self._out = (0, 0)
        self._sources: dict[str, dict[str, Any]] = {}

    def enter(self, record: Record) -> Record:
        """Note a record that goes in."""
        self._in = (self._in[0] + 1, self._in[1] + record.tokens)
        return record

    def leave(self, record: Record) -> None:
        """Note a record that comes out."""
        self._out = (self._out[0] + 1, self._out[1] + record.tokens)
        source = self._sources.setdefault(record.source, {"records": 0, "tokens": 0, "licenses": []})
        source["records"] += 1
        source["tokens"] += record.tokens
        if record.license not in source["licenses"]:
            source["licenses"] = sorted([*source["licenses"], record.license])

    @property
    def counts(self) -> Counts:
        """What was noted so far."""
        return Counts(*self._in, *self._out, dict(sorted(self.dropped.items())), dict(sorted(self._sources.items())))


@dataclass(frozen=True)
class _TransformShard:
    transform: Transform
    columns: dict[str, pa.DataType]

    def __call__(self, shard: Path, target: Path) -> Counts:
        counting = Counting()
        records = self.transform(map(counting.enter, read_records(shard)), counting.dropped)
        write_records(target, records, {**columns_of(shard), **self.columns}, seen=counting.leave)
        return counting.counts


@dataclass(frozen=True)
class _MarkedWork:
    """One task of the executor: do the work, then leave the mark."""

    work: Work
    key: str
    files: tuple[tuple[Path, Path], ...]

    def __call__(self, rank: int) -> None:
        file, target = self.files[rank]
        target.with_suffix(".json").unlink(missing_ok=True)
        for part in _parts(target)[1:]:
            part.unlink()
        counts = self.work(file, target)
        output = {part.name: sha256_of(part) for part in _parts(target)}
        mark = {"key": self.key, "input": sha256_of(file), "output": output, "counts": asdict(counts)}
        write_bytes(target.with_suffix(".json"), json.dumps(mark, sort_keys=True).encode())


def _is_done(file: Path, target: Path, key: str) -> bool:
    try:
        mark = _read_mark(target)
    except EdgePhiError:
        return False
    if mark["key"] != key or mark["input"] != sha256_of(file) or not target.is_file():
        return False
    return bool(mark["output"] == {part.name: sha256_of(part) for part in _parts(target)})


def _parts(target: Path) -> list[Path]:
    return [target, *sorted(target.parent.glob(f"{target.stem}_*{target.suffix}"))]


def _read_mark(target: Path) -> dict[str, Any]:
    path = target.with_suffix(".json")
    try:
        mark = json.loads(path.read_bytes())
        Counts(**mark["counts"])
        return {"key": mark["key"], "input": mark["input"], "output": mark["output"], "counts": mark["counts"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidFile(f"{path}: missing or damaged ({error!r}): run the step again") from error


@contextlib.contextmanager
def _progress(name: str, marks: Sequence[Path], say: Say) -> Iterator[None]:
    """Tell every few seconds how many marks there are, from a thread: the executor returns only at the end."""
    ended = threading.Event()

    def watch() -> None:
        told = 0
        while not ended.wait(_TELL_EVERY_S):
            done = sum(map(os.path.exists, marks))
            if done > told:
                say(f"{name}: {done} of {len(marks)} shards")
                told = done

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
