"""Exercises as record shards: drawn in numbered parts, chosen in their order, written.

Beside its shards the folder holds

.draws/00000.parquet   exercises that hold, drawn from the seed and the part's number; which of them are new is not said
inputs/00000.json      which of those a shard is made of, and what was dropped on the way to it

Parts are drawn and shards are written in parallel and resumed; choosing in between looks only at hashes of syntax
trees and takes seconds.
"""

from __future__ import annotations

import functools
import hashlib
import json
import platform
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from edge_phi.atomic import write_bytes
from edge_phi.errors import InvalidCall, InvalidFile

from .. import tokens
from ..records import Record, read_records, write_records
from ..steps import INPUTS_FOLDER, Counting, Counts, Say, check_place, counts_of, map_files
from .stream import BATCH, PER_SHAPE, SAME_SHAPE, SAME_TREE, draw_batch

NAME = "exercises"
RECORDS = 10_000  # in a shard
COLUMNS: dict[str, pa.DataType] = {
    "prompt": pa.string(),
    "solution": pa.string(),
    "tests": pa.string(),
    "examples": pa.list_(pa.struct([("call", pa.string()), ("output", pa.string())])),
    "tags": pa.list_(pa.string()),
}
_KEYS = {"tree": pa.int64(), "shape": pa.int64()}
_DRAWS = ".draws"
_BATCHES = 2  # in a part: seconds of work, so that workers end at the same time
_BEYOND = "beyond the number asked for"
_FEWEST_NEW = 0.01  # of what was drawn last: with less, the grammar is at its end

Keys = npt.NDArray[np.int64]


def write_exercises(
    out: Path, count: int, *, seed: int, per_shape: int = PER_SHAPE, shard: int = RECORDS, workers: int = 1, say: Say
) -> Counts:
    """Write the exercises that `generate` yields to record shards with the columns `COLUMNS`.

    The same count, seed and version give the same bytes, whatever the number of workers, and after a kill and a new
    beginning. There are fewer than `count` if the grammar gives next to nothing new before.

    Args:
        out: the folder; what an earlier call with the same arguments left there is gone on with.
        count: how many exercises.
        seed: selects them.
        per_shape: at most so many that differ only in their constants, names and wording.
        shard: records in each but the last.
        workers: processes.
        say: told one line now and then.

    Raises:
        InvalidCall: a number less than 1, or `out` holds something else.
        EdgePhiError: the disk is full or not writable.
    """
    if min(count, per_shape, shard) < 1:
        raise InvalidCall("the numbers of exercises, of those of one shape and of those in a shard start at 1")
    check_place(out, NAME)
    of = {"seed": seed, "batches": _BATCHES, "grammar": _grammar(), "python": platform.python_version_tuple()[:2]}
    parts, new = 0, count
    kept = np.zeros(0, dtype=bool)
    while kept.sum() < count and new > _FEWEST_NEW * parts * _BATCHES * BATCH / 4:
        before = int(kept.sum())
        parts += 1 + int(1.25 * (count - before)) // (_BATCHES * BATCH)
        files = [_write_json(out / _DRAWS / INPUTS_FOLDER / f"{part:05}.json", {"part": part}) for part in range(parts)]
        map_files(f"{NAME}: draw", of, files, out / _DRAWS, _Draw(seed), workers=workers, say=say)
        draws = [out / _DRAWS / f"{part:05}.parquet" for part in range(parts)]
        trees, shapes, ends = _keys(draws)
        kept, reasons = choose(trees, shapes, per_shape)
        new = int(kept.sum()) - before
    if kept.sum() < count:
        say(f"{NAME}: the grammar gives {int(kept.sum()):,} distinct ones, not {count:,}")
    plans = _plan(draws, ends, kept, reasons, count, shard)
    for stale in (out / INPUTS_FOLDER).glob("[0-9]*.json"):
        if int(stale.stem) >= len(plans):
            stale.unlink()
    files = [_write_json(out / INPUTS_FOLDER / f"{at:05}.json", plan) for at, plan in enumerate(plans)]
    settings = {**of, "count": count, "per_shape": per_shape, "shard": shard}
    return map_files(NAME, settings, files, out, _Write(out / _DRAWS), workers=workers, say=say)


def choose(trees: Keys, shapes: Keys, per_shape: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which exercises are new: the first of each tree, and of those the first `per_shape` of each shape.

    Whether one is new depends on those before it alone.

    Args:
        trees: hashes of normalized syntax trees, [n].
        shapes: hashes of these without constants, [n].
        per_shape: at most so many of one shape.

    Returns:
        Whether each is kept, [n], and whether it is the first of its tree, [n].
    """
    first = np.zeros(len(trees), dtype=bool)
    first[np.unique(trees, return_index=True)[1]] = True
    places = np.flatnonzero(first)
    order = np.argsort(shapes[places], kind="stable")
    ordered = shapes[places][order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(ordered) else np.zeros(0, int)
    lengths = np.diff(np.append(starts, len(ordered)))
    rank = np.arange(len(ordered)) - np.repeat(starts, lengths)
    kept = np.zeros(len(trees), dtype=bool)
    kept[places[order[rank < per_shape]]] = True
    return kept, first


@dataclass(frozen=True)
class _Draw:
    seed: int

    def __call__(self, plan: Path, target: Path) -> Counts:
        part = int(_read_json(plan)["part"])
        counting = Counting()

        def drawn() -> Iterator[Record]:
            for number in range(part * _BATCHES, (part + 1) * _BATCHES):
                verified, dropped = draw_batch(self.seed, number)
                counting.dropped.update(dropped)
                counted = tokens.count([each.exercise.text for each in verified])
                for each, length in zip(verified, counted, strict=True):
                    e = each.exercise
                    added: dict[str, Any] = {"prompt": e.prompt, "solution": e.solution, "tests": e.tests}
                    added["examples"] = [{"call": call, "output": output} for call, output in e.examples]
                    added |= {"tags": list(e.tags), "tree": each.tree, "shape": each.shape}
                    yield Record(e.id, NAME, f"{NAME}/{e.id}.py", "Apache-2.0", e.text, length, added)

        write_records(target, drawn(), {**COLUMNS, **_KEYS}, seen=counting.leave)
        held = counting.counts
        return Counts(_BATCHES * BATCH, 0, held.records_out, held.tokens_out, held.dropped, held.sources)


@dataclass(frozen=True)
class _Write:
    draws: Path

    def __call__(self, plan_file: Path, target: Path) -> Counts:
        plan = _read_json(plan_file)
        counting = Counting()

        def chosen() -> Iterator[Record]:
            for part, rows in plan["rows"]:
                wanted = set(rows)
                for row, record in enumerate(read_records(self.draws / f"{part:05}.parquet", added=list(COLUMNS))):
                    if row in wanted:
                        yield record

        write_records(target, chosen(), COLUMNS, seen=counting.leave)
        made = counting.counts
        return Counts(plan["drawn"], 0, made.records_out, made.tokens_out, plan["dropped"], made.sources)


def _keys(draws: list[Path]) -> tuple[Keys, Keys, list[int]]:
    """The hashes of all that was drawn, and for each part the number of rows up to its end."""
    trees, shapes, ends = [], [], []
    rows = 0
    for draw in draws:
        try:
            table = pq.read_table(draw, columns=list(_KEYS), use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise InvalidFile(f"{draw}: damaged: remove it and run the step again") from error
        trees.append(table["tree"].to_numpy())
        shapes.append(table["shape"].to_numpy())
        rows += len(table)
        ends.append(rows)
    return np.concatenate(trees), np.concatenate(shapes), ends


def _plan(
    draws: list[Path],
    ends: list[int],
    kept: npt.NDArray[np.bool_],
    first: npt.NDArray[np.bool_],
    count: int,
    shard: int,
) -> list[dict[str, Any]]:
    """For each shard its rows of each part, and what was drawn and dropped since the shard before it."""
    plans: list[dict[str, Any]] = []
    done, start = 0, 0
    for part, (draw, end) in enumerate(zip(draws, ends, strict=True)):
        if done >= count:
            break
        counts = counts_of(draw)
        mine = np.flatnonzero(kept[start:end])
        taken = mine[: count - done]
        while len(plans) * shard < done + len(taken) or not plans:
            plans.append({"rows": [], "drawn": 0, "dropped": Counter()})
        for number in range(done // shard, len(plans)):
            low, high = max(number * shard - done, 0), (number + 1) * shard - done
            if len(taken[low:high]):
                plans[number]["rows"].append([part, taken[low:high].tolist()])
                plans[number]["drawn"] += len(taken[low:high])
        last = plans[-1]
        last["drawn"] += counts.records_in - len(taken)
        last["dropped"].update(counts.dropped)
        last["dropped"][SAME_TREE] += int((~first[start:end]).sum())
        last["dropped"][SAME_SHAPE] += int((first[start:end] & ~kept[start:end]).sum())
        last["dropped"][_BEYOND] += len(mine) - len(taken)
        done, start = done + len(taken), end
    for plan in plans:
        plan["dropped"] = {reason: number for reason, number in sorted(plan["dropped"].items()) if number}
    return plans


@functools.lru_cache(maxsize=1)
def _grammar() -> str:
    """A hash of this folder's code, since another grammar draws other exercises of the same seed."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _write_json(path: Path, value: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, json.dumps(value, sort_keys=True).encode())
    return path


def _read_json(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_bytes())
    assert isinstance(value, dict)
    return value
