"""The step that collects: list, read, judge, count tokens, write shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from .. import tokens
from ..records import Record, write_records
from ..steps import INPUTS_FOLDER, Counting, Counts, Say, check_place, map_files, part_of
from .encodings import WrongEncoding, decode
from .fitness import unfit
from .inputs import read_unit, write_units
from .licenses import UNKNOWN, AllowList, named_in, normalise_all
from .reading import Found, read
from .sources import Source

NAME = "collect"
_SHARD_CHARACTERS = 32 << 20
_BATCH_CHARACTERS = 1 << 20
_BATCH_RECORDS = 512


class Unfit(Exception):
    """A document is not to be trained on; the message is the reason it is counted under."""


def collect_records(
    sources: Sequence[Source], out: Path, *, licenses: Sequence[str] = (), workers: int = 1, say: Say
) -> Counts:
    """Bring sources into record shards, and count every document that is left out, by reason.

    What was seen is `records_in`; every one of them is in `records_out` or in `dropped`. Tokens are counted of what is
    kept alone, so `tokens_in` is 0. The shards depend on the sources' contents and `licenses` alone; a run that was
    killed is taken up where it was.

    Args:
        sources: as `parse_sources` gives them.
        out: the folder of shards; `out`/inputs lists every input with its bytes and sha256.
        licenses: allowed beside the permissive ones: SPDX identifiers, patterns such as "CC-BY-SA-*", "unknown".
        workers: processes.
        say: told one line now and then.

    Raises:
        InvalidCall: nothing to collect, another step's files in `out`, or a licence that is none.
        EdgePhiError: the disk is full or not writable.
    """
    allowed = AllowList.extended(licenses)
    check_place(out, NAME)
    say(f"{NAME}: listing and hashing {', '.join(source.name for source in sources)}")
    units = write_units(sources, out / INPUTS_FOLDER, threads=max(1, workers))
    work = _CollectUnit({source.name: source.root for source in sources}, allowed, _SHARD_CHARACTERS)
    settings = {"licenses": list(allowed.more), "version": 1}
    return map_files(NAME, settings, units, out, work, workers=workers, say=say)


@dataclass(frozen=True)
class _CollectUnit:
    roots: dict[str, Path]
    allowed: AllowList
    shard_characters: int

    def __call__(self, path: Path, target: Path) -> Counts:
        unit = read_unit(path)
        counting = Counting()
        counting.dropped.update(unit.skipped)
        seen = sum(unit.skipped.values())

        def kept() -> Iterator[Record]:
            nonlocal seen
            for found in read(unit, self.roots[unit.source]):
                seen += 1
                try:
                    yield judge(found, unit.source, self.allowed)
                except Unfit as reason:
                    counting.dropped[str(reason)] += 1

        parts = 0
        for part, records in groupby(_counted(kept()), key=_Part(self.shard_characters)):
            write_records(part_of(target, part), records, {}, seen=counting.leave)
            parts += 1
        if not parts:
            write_records(target, [], {}, seen=counting.leave)
        return replace(counting.counts, records_in=seen)


class _Part:
    """Which shard of its unit a record goes to, by the text before it."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._characters = 0

    def __call__(self, record: Record) -> int:
        part = self._characters // self._size
        self._characters += len(record.text)
        return part


def judge(found: Found | str, source: str, allowed: AllowList) -> Record:
    """A document that may be trained on, its tokens not counted yet.

    Raises:
        Unfit: it may not.
    """
    if isinstance(found, str):
        raise Unfit(found)
    license_ = _licensed(normalise_all(found.licenses), allowed) if found.licenses else UNKNOWN
    try:
        text = found.text if isinstance(found.text, str) else decode(found.text, cookie=found.python)
    except WrongEncoding as error:
        raise Unfit("wrong encoding") from error
    text = text.removeprefix("\ufeff")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if found.python and (named := named_in(text)):
        license_ = _licensed(named, allowed)
    _licensed(license_, allowed)
    if reason := unfit(text, python=found.python):
        raise Unfit(reason)
    return Record(found.id, source, found.path, license_, text, 0)


def _licensed(license_: str, allowed: AllowList) -> str:
    if allowed.allows(license_):
        return license_
    if license_ == UNKNOWN:
        raise Unfit("licence unknown")
    # Only a lone identifier is named: what hostile input makes up must not fill the counts.
    lone = " " not in license_ and not license_.startswith("LicenseRef-")
    raise Unfit(f"licence not allowed: {license_}" if lone else "licence not allowed")


def _counted(records: Iterable[Record]) -> Iterator[Record]:
    """Records with their tokens, counted many at a time."""
    held: list[Record] = []
    characters = 0
    for record in records:
        held.append(record)
        characters += len(record.text)
        if characters >= _BATCH_CHARACTERS or len(held) >= _BATCH_RECORDS:
            yield from _with_tokens(held)
            held, characters = [], 0
    yield from _with_tokens(held)


def _with_tokens(records: list[Record]) -> Iterator[Record]:
    for record, number in zip(records, tokens.count([record.text for record in records]), strict=True):
        yield replace(record, tokens=number)
