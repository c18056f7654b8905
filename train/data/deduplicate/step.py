"""Leave out what is there already: sketch every document, find the pairs that are near, keep the first of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from edge_phi.errors import InvalidCall, InvalidFile

from ..records import Record, columns_of, read_records, shards_of, write_records
from ..steps import MANIFEST_FILE, Counting, Counts, Say, check_place, map_files
from .pairs import BANDS_AT_ONCE, exact_pairs, near_pairs
from .shingles import WORDS
from .sketches import BANDS, BUCKETS, sketch_shard
from .verdicts import REASONS, STAYS, judge

LOWEST_THRESHOLD = 0.7  # below it, too many pairs share no band

_NAME = "dedup"
_SKETCH = {"words": WORDS, "buckets": BUCKETS}


def deduplicate(source: Path, out: Path, *, threshold: float = 0.8, workers: int = 1, say: Say) -> Counts:
    """Copy the shards of `source` to `out` without exact copies and near-duplicates of earlier documents.

    An exact copy has the same words and signs, whatever the white space. A near-duplicate has, of all runs of five
    words that it or the other has, at least the share `threshold` in common (Jaccard similarity), as their sketches
    estimate it: with a standard deviation of at most 0.025 around 0.8. Of pairs at 0.8, 3 in 1,000 are never compared
    (see sketches.py).

    The sketches and the pairs stay in `out`/.work, 536 bytes for each document, so that what is added later costs no
    more than itself; they may be removed.

    Args:
        source: a folder of shards; of a pair the later document goes, in the order of the shards and of their rows.
        out: a folder.
        threshold: from LOWEST_THRESHOLD to 1.
        workers: processes; the result does not depend on it.
        say: told one line now and then.

    Raises:
        InvalidCall: the threshold is out of range, no shards in `source`, or another step's in `out`.
        InvalidFile: a shard is damaged.
        EdgePhiError: the disk is full or not writable.
    """
    if not LOWEST_THRESHOLD <= threshold <= 1:
        raise InvalidCall(f"a threshold of {threshold:g} cannot be kept: choose one from {LOWEST_THRESHOLD} to 1")
    shards = shards_of(source)
    check_place(out, _NAME)
    verdicts = out / ".work" / "verdicts"
    digest = find_copies(shards, out / ".work", verdicts, threshold=threshold, workers=workers, say=say)
    settings = {**_SKETCH, "bands": BANDS, "threshold": threshold, "verdicts": digest}
    return map_files(_NAME, settings, shards, out, partial(_filter, verdicts=verdicts), workers=workers, say=say)


def find_copies(shards: Sequence[Path], work: Path, verdicts: Path, *, threshold: float, workers: int, say: Say) -> str:
    """Write the verdict on each document of each shard (see `judge`), and return the SHA-256 of all verdicts.

    Args:
        shards: in order.
        work: a folder for the sketches and pairs.
        verdicts: a folder.
        threshold, workers, say: see `deduplicate`.

    Raises:
        InvalidFile: a shard is damaged.
        EdgePhiError: the disk is full or not writable.
    """
    sketches, exact, near = (work / name for name in ("sketches", "exact", "near"))
    copies = exact / "00000.npy"
    find_exact = partial(exact_pairs, sketches=sketches)
    find_near = partial(near_pairs, sketches=sketches, exact=copies, threshold=threshold)
    map_files("dedup: sketches", _SKETCH, shards, sketches, sketch_shard, workers=workers, say=say, suffix=".sketches")
    # What the next two read is more than one file; the manifest before each tells whether any has changed.
    all_sketches, all_copies = [sketches / MANIFEST_FILE], [exact / MANIFEST_FILE] * (BANDS // BANDS_AT_ONCE)
    map_files("dedup: copies", {}, all_sketches, exact, find_exact, workers=1, say=say, suffix=".npy")
    at = {"threshold": threshold}
    map_files("dedup: bands", at, all_copies, near, find_near, workers=workers, say=say, suffix=".npy")
    return judge(sketches, copies, [near / f"{number:05}.npy" for number in range(len(all_copies))], verdicts)


def _filter(shard: Path, target: Path, *, verdicts: Path) -> Counts:
    counting = Counting()
    records = map(counting.enter, read_records(shard))
    staying = _staying(records, shard, np.load(verdicts / f"{target.stem}.npy").tolist(), counting.dropped)
    write_records(target, staying, columns_of(shard), seen=counting.leave)
    return counting.counts


def _staying(records: Iterator[Record], shard: Path, verdicts: list[int], dropped: Counter[str]) -> Iterator[Record]:
    try:
        for record, verdict in zip(records, verdicts, strict=True):
            if verdict == STAYS:
                yield record
            else:
                dropped[REASONS[verdict]] += 1
    except ValueError as error:
        raise InvalidFile(f"{shard}: has changed since it was sketched: run the step again") from error
