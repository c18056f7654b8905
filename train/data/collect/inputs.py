"""What is to be read, cut into units of about the same size and written down with its hashes, before any is read.

A unit is a small JSON file: a few hundred source files, or a slice of a large one. It decides which shard a document
comes to lie in, so that the shards do not depend on how many processes make them. And it is the record of what a
corpus was made from: each input's name within its source, bytes and sha256, and nothing of the machine.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from edge_phi.atomic import write_bytes
from edge_phi.errors import InvalidCall, InvalidFile

from .sources import Listed, Source, files_of, open_regular

UNIT_BYTES = 32 << 20  # of text
_UNIT_FILES = 2_000
_BLOCK = 1 << 20
_EXPANSION = 5  # of compressed text, as a guess


@dataclass(frozen=True)
class Input:
    """A file to read, or a slice of one.

    Attributes:
        name: path within its source.
        bytes: of the whole file.
        sha256: of the whole file.
        license: if it is known before the file is read.
        owner: the distribution it belongs to, if any.
        start: where the slice begins: a byte of lines, or a row group of a table.
        stop: where it ends; None for the file's end.
        first: number of the slice's first line or row, from 1.
    """

    name: str
    bytes: int
    sha256: str
    license: str = ""
    owner: str = ""
    start: int = 0
    stop: int | None = None
    first: int = 1


@dataclass(frozen=True)
class Unit:
    """What one task reads, and what of its source could not even be opened."""

    source: str
    inputs: tuple[Input, ...]
    skipped: dict[str, int] = field(default_factory=dict)


def write_units(sources: Sequence[Source], folder: Path, *, threads: int) -> list[Path]:
    """List and hash all that the sources hold, and write it down unit by unit; the same input gives the same files.

    Args:
        sources: in this order.
        folder: for the units, 00000.json and so on; what it held before is replaced.
        threads: that read and hash.

    Raises:
        InvalidCall: a source holds nothing at all.
        EdgePhiError: the folder cannot be written to.
    """
    folder.mkdir(exist_ok=True)
    written: list[Path] = []
    for source in sources:
        empty = True
        for unit in _units(source, threads):
            empty = False
            written.append(folder / f"{len(written):05}.json")
            write_bytes(written[-1], json.dumps(_plain(unit), sort_keys=True, indent=1).encode())
        if empty:
            raise InvalidCall(f"source {source.name!r} holds nothing to collect: give another, or leave it out")
    for stale in set(folder.glob("[0-9]*.json")) - set(written):
        stale.unlink()
    return written


def read_unit(path: Path) -> Unit:
    """A unit as it was written.

    Raises:
        InvalidFile: damaged.
    """
    try:
        value = json.loads(path.read_bytes())
        return Unit(value["source"], tuple(Input(**each) for each in value["inputs"]), value["skipped"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidFile(f"{path}: damaged ({error!r}): run the step again") from error


def _plain(unit: Unit) -> dict[str, Any]:
    blank = asdict(Input("", 0, ""))
    inputs = [
        {key: value for key, value in asdict(each).items() if key in ("name", "bytes", "sha256") or value != blank[key]}
        for each in unit.inputs
    ]
    return {"source": unit.source, "inputs": inputs, "skipped": unit.skipped}


def _units(source: Source, threads: int) -> Iterator[Unit]:
    held: list[Input] = []
    skipped: Counter[str] = Counter()
    weight = 0
    for slices, why in _hashed(source, threads):
        if why:
            skipped[why] += 1
        for each, size in slices:
            if held and (weight + size > UNIT_BYTES or len(held) >= _UNIT_FILES):
                yield Unit(source.name, tuple(held), dict(sorted(skipped.items())))
                held, weight = [], 0
                skipped.clear()
            held.append(each)
            weight += size
    if held or skipped:
        yield Unit(source.name, tuple(held), dict(sorted(skipped.items())))


def _hashed(source: Source, threads: int) -> Iterator[tuple[list[tuple[Input, int]], str]]:
    """The slices of each file with the bytes of text they may hold, or why it is not read, in order."""
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[tuple[list[tuple[Input, int]], str]]] = deque()
        for listed in files_of(source):
            ahead.append(pool.submit(_slices, source.root, listed))
            if len(ahead) > 4 * threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _slices(root: Path, listed: Listed) -> tuple[list[tuple[Input, int]], str]:
    if listed.skipped:
        return [], listed.skipped
    digest = hashlib.sha256()
    size, lines = 0, 1
    cuts = [(0, 1)]  # byte and line
    is_lines = listed.name.endswith(".jsonl")
    try:
        with open_regular(root / listed.name) as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                if is_lines:
                    if size - cuts[-1][0] >= UNIT_BYTES and (end := block.find(b"\n")) >= 0:
                        cuts.append((size + end + 1, lines + 1))
                    lines += block.count(b"\n")
                size += len(block)
    except OSError:
        return [], "unreadable"
    whole = Input(listed.name, size, digest.hexdigest(), listed.license, listed.owner)
    if len(cuts) > 1:
        return _cut(whole, [*cuts, (size, lines)], [UNIT_BYTES] * len(cuts)), ""
    if listed.name.endswith(".parquet"):
        return _row_groups(root, whole), ""
    return [(whole, size * _EXPANSION if listed.name.endswith((".gz", ".zst")) else size)], ""


def _cut(whole: Input, cuts: list[tuple[int, int]], sizes: list[int]) -> list[tuple[Input, int]]:
    parts = []
    for (start, first), (stop, _), size in zip(cuts, cuts[1:], sizes, strict=False):
        if stop > start:
            parts.append((Input(**{**asdict(whole), "start": start, "stop": stop, "first": first}), size))
    return parts


def _row_groups(root: Path, whole: Input) -> list[tuple[Input, int]]:
    """Runs of row groups by what they say of themselves; a file that says nothing sensible is left to its reader."""
    try:
        with open_regular(root / whole.name) as file:
            metadata = pq.ParquetFile(file).metadata
            groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
            sizes = [max(group.total_byte_size, 0) for group in groups]
            rows = [max(group.num_rows, 0) for group in groups]
    except (pa.ArrowException, OSError, ValueError, OverflowError):
        return [(whole, whole.bytes)]
    cuts, weights = [(0, 1)], [0]
    row = 1
    for number, (size, more) in enumerate(zip(sizes, rows, strict=True)):
        if weights[-1] and weights[-1] + size > UNIT_BYTES:
            cuts.append((number, row))
            weights.append(0)
        weights[-1] += size
        row += more
    return _cut(whole, [*cuts, (len(sizes), 0)], weights) or [(whole, whole.bytes)]
