"""Put the shards of several folders into one, under new numbers: what later steps read as one corpus."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edge_phi.atomic import atomic_path

from .records import shards_of
from .steps import Counts, Say, counts_of, map_files, read_manifest


def gather(sources: Sequence[Path], out: Path, *, say: Say) -> Counts:
    """Link the shards of finished steps into `out`, in the order given; copy where links are not possible.

    Steps that keep the first of several copies prefer the earlier folder.

    Raises:
        InvalidCall: a folder holds no finished step.
        EdgePhiError: the disk is full or not writable.
    """
    for source in sources:
        read_manifest(source)
    files = [shard for source in sources for shard in shards_of(source)]
    return map_files("gather", {}, files, out, _link, workers=1, say=say)


def _link(shard: Path, target: Path) -> Counts:
    with atomic_path(target) as partial:
        partial.unlink()
        try:
            os.link(shard, partial)
        except OSError:
            shutil.copyfile(shard, partial)
    if "_" in shard.stem:  # a further part: the first one's mark counts for all
        return Counts()
    there = counts_of(shard)
    return replace(there, records_in=there.records_out, tokens_in=there.tokens_out, dropped={})
