"""Token shards from text of one's own, or from what the steps have left, an array for each."""

from __future__ import annotations

from pathlib import Path

from edge_phi.errors import InvalidCall

from .collect import collect_records, parse_sources
from .deduplicate import deduplicate
from .gather import gather
from .pack import pack_records
from .steps import MANIFEST_FILE, Counts, Say, read_manifest

_ANY = ("*", "unknown")  # of one's own text one knows the licence


def pack_own(
    out: Path,
    sources: dict[str, str],
    work: Path,
    *,
    tokenizer: Path | None,
    vocabulary: int,
    benchmarks: Path | None,
    workers: int,
    say: Say,
) -> Counts:
    """Collect what is raw, leave out copies and what comes near to a benchmark, and pack it.

    Args:
        out: the folder of token shards to write; one that is there must be token shards, and is replaced.
        sources: by the array's name: the folder of a finished step, or text as `parse_sources` takes it.
        work: a folder for what is between.
        tokenizer: a tokenizer.json; None trains one on all that is packed.
        vocabulary: of the tokenizer to train.
        benchmarks: holds humaneval/, mbpp/ and evalplus/; None looks for no overlap.
        workers: processes.
        say: told one line now and then.

    Raises:
        InvalidCall: no such source, nothing left of one, or a folder at `out` that holds something else.
        InvalidFile: a shard or the tokenizer is damaged.
        EdgePhiError: the disk is full or not writable.
    """
    folders: dict[str, Path] = {}
    arrays: dict[str, list[str]] = {}
    for name, path in sources.items():
        if (Path(path) / MANIFEST_FILE).is_file():
            folders[name] = Path(path)
            arrays[name] = list(read_manifest(Path(path))["counts"]["sources"])
        else:
            folders[name] = work / f"collect-{name}"
            counts = collect_records(
                parse_sources([f"{name}={path}"]), folders[name], licenses=_ANY, workers=workers, say=say
            )
            say(f"{name}: {counts.records_out:,} documents; dropped: {dict(counts.dropped) or 'none'}")
            if not counts.records_out:
                raise InvalidCall(f"{path}: nothing in it is fit to train on")
            arrays[name] = [name]
    taken = [source for group in arrays.values() for source in group]
    if twice := {source for source in taken if taken.count(source) > 1}:
        raise InvalidCall(f"{sorted(twice)[0]} is a source in two of the folders: pack them as one array")
    gather(list(folders.values()), work / "gather", say=say)
    counts, last = deduplicate(work / "gather", work / "dedup", workers=workers, say=say), work / "dedup"
    if benchmarks:
        from .decontaminate import decontaminate

        last = work / "decontaminate"
        counts = decontaminate(work / "dedup", last, benchmarks=benchmarks, workers=workers, say=say)
    say(f"{counts.records_out:,} documents are left")
    manifest = {"documents": {"sources": counts.sources, "shards": read_manifest(last)["shards"]}}
    return pack_records(
        last, out, work / "pack", arrays=arrays, held_out=None, tokenizer=tokenizer, vocabulary=vocabulary,
        manifest=manifest, workers=workers, say=say,
    )  # fmt: skip
