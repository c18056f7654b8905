"""What tests do to shards. Here, not in a test's file: worker processes import it by this name."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from edge_phi.errors import InvalidFile
from edge_phi.train.data.records import Record


def keep_even(records: Iterator[Record], dropped: Counter[str], *, log: Path | None = None) -> Iterator[Record]:
    for each in records:
        number = int(each.path.partition(".")[0])
        if log:
            with log.open("a") as file:
                file.write(f"{number}\n")
        if number % 2:
            dropped["odd"] += 1
        else:
            yield Record(**{**each.__dict__, "added": {**each.added, "half": number // 2}})


def fails(records: Iterator[Record], dropped: Counter[str]) -> Iterator[Record]:
    for each in records:
        if each.path == "7.md":
            raise InvalidFile("7.md: is hostile")
        yield each


def lazily(records: Iterator[Record], dropped: Counter[str]) -> Iterator[Record]:
    time.sleep(1)
    yield from records
