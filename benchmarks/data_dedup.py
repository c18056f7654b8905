"""How fast does `edge-phi data dedup` leave out near-duplicates, beside datasketch, and in how much memory?

Documents are windows of the standard library's sources, of 10 to 120 lines, read where they are installed; every
fifth is a copy of an earlier one with a few lines changed. Three questions, each run in a process of its own, in turns:

1. All of them through `find_copies` and through datasketch (both: shards in, what stays and what goes out):
   words and their runs of five by Python's `re`, MinHash of 256 permutations by `update_batch`, MinHashLSH at the
   same threshold, candidates checked by `jaccard`; both in one process. Do they leave out the same documents?
2. Ten times the documents, by one process and by two.
3. The peak of resident memory (VmHWM) of one process, for the documents and for ten times as many.

Writes data_dedup.json and data_dedup.md, which it also prints.

    python benchmarks/data_dedup.py [--megabytes N] [--rounds N] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from revision import REPOSITORY, commit

from edge_phi import atomic

THRESHOLD = 0.8
PERMUTATIONS = 256
SHARD_BYTES = 2_000_000


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--megabytes", type=float, default=24, help="of documents (default: %(default)s)")
    arguments.add_argument("--rounds", type=int, default=3, help="turns of each (default: %(default)s)")
    arguments.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/results", help="folder to write to")
    arguments.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.child:
        kind, source, out, workers = given.child
        print(json.dumps(CHILDREN[kind](Path(source), Path(out), int(workers))))
        return
    with tempfile.TemporaryDirectory(prefix="data_dedup-") as folder:
        document = {
            "command": shlex.join(["python", "benchmarks/data_dedup.py", *sys.argv[1:]]),
            "commit": commit(),
            "machine": {"processor": processor(), "cores": os.cpu_count()},
            "versions": {"python": platform.python_version(), "datasketch": version("datasketch")},
            "rounds": given.rounds,
            **measure(Path(folder), megabytes=given.megabytes, rounds=given.rounds),
        }
    given.out.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(given.out / "data_dedup.json", f"{json.dumps(document, indent=2)}\n".encode())
    atomic.write_bytes(given.out / "data_dedup.md", markdown(document).encode())
    print(markdown(document), end="")


def measure(folder: Path, *, megabytes: float, rounds: int) -> dict[str, Any]:
    """All three questions, with shards written to `folder`."""
    scales = {"once": 1, "tenfold": 10}
    sizes = {
        name: in_child("make", folder / name, folder, int(scale * megabytes * 1e6)) for name, scale in scales.items()
    }
    plan = {  # what is run on which documents, by how many processes
        "datasketch": ("datasketch", "once", 1),
        "find": ("find", "once", 1),
        "once": ("dedup", "once", 1),
        "tenfold": ("dedup", "tenfold", 1),
        "tenfold by two": ("dedup", "tenfold", 2),
    }
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in plan}
    for turn in range(rounds):
        for name, (kind, source, workers) in plan.items():
            runs[name].append(in_child(kind, folder / source, folder / "out", workers))
            print(f"round {turn + 1}/{rounds}: {name} {runs[name][-1]['seconds']:.1f} s", file=sys.stderr)
    seconds = {name: statistics.median(run["seconds"] for run in each) for name, each in runs.items()}
    cpu = {name: statistics.median(run["cpu_seconds"] for run in runs[name]) for name in runs if "two" not in name}
    peaks = {name: max(run["peak_rss_bytes"] for run in each) for name, each in runs.items()}
    ours, theirs = set(runs["once"][0]["kept"]), set(runs["datasketch"][0]["kept"])
    return {
        "documents": sizes,
        "seconds": {name: [run["seconds"] for run in each] for name, each in runs.items()},
        "median_seconds": seconds,
        "median_cpu_seconds": cpu,
        "mb_per_s": {name: sizes[plan[name][1]]["bytes"] / 1e6 / seconds[name] for name in seconds},
        "tokens_per_s": {name: sizes[plan[name][1]]["tokens"] / seconds[name] for name in seconds},
        "times_datasketch": seconds["datasketch"] / seconds["find"],
        "times_datasketch_cpu": cpu["datasketch"] / cpu["find"],
        "two_processes_over_one": seconds["tenfold"] / seconds["tenfold by two"],
        "peak_rss_bytes": peaks,
        "memory_tenfold_over_once": peaks["tenfold"] / peaks["once"],
        "kept": {"both": len(ours & theirs), "only ours": len(ours - theirs), "only datasketch": len(theirs - ours)},
    }


def in_child(kind: str, source: Path, out: Path, number: int) -> dict[str, Any]:
    """Run one of CHILDREN in a process of its own, so that its peak of memory is its own."""
    if kind == "dedup":
        shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, __file__, "--child", kind, str(source), str(out), str(number)]
    result: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return result


def make(folder: Path, _: Path, size: int, shard_bytes: int = SHARD_BYTES) -> dict[str, Any]:
    """Write shards of documents, `size` characters in all."""
    from edge_phi.train.data.records import Record, write_records
    from edge_phi.train.data.tokens import count

    folder.mkdir()
    totals = {"documents": 0, "bytes": 0, "tokens": 0}
    texts = windows(random.Random(size))
    for number in range(-(-size // shard_bytes)):
        shard: list[str] = []
        while sum(map(len, shard)) < min(shard_bytes, size):
            shard.append(next(texts))
        tokens = count(shard)
        records = [
            Record(f"{number}/{i}", "standard library", f"{number}/{i}", "PSF-2.0", text, length)
            for i, (text, length) in enumerate(zip(shard, tokens, strict=True))
        ]
        write_records(folder / f"{number:05}.parquet", records, {}, seen=lambda _: None)
        totals["documents"] += len(shard)
        totals["bytes"] += sum(len(text.encode()) for text in shard)
        totals["tokens"] += sum(tokens)
    return totals


def windows(draw: random.Random) -> Iterator[str]:
    root = Path(sysconfig.get_path("stdlib"))
    files = sorted(path for path in root.rglob("*.py") if "site-packages" not in path.parts)
    recent: list[list[str]] = []
    while True:
        if recent and draw.random() < 0.2:
            lines = list(draw.choice(recent))
            for _ in range(draw.randrange(0, max(2, len(lines) // 8))):
                lines[draw.randrange(len(lines))] = f"    value_{draw.randrange(1000)} = {draw.random()}"
        else:
            all_lines = draw.choice(files).read_text(encoding="utf-8", errors="replace").splitlines()
            length = draw.randrange(10, 120)
            start = draw.randrange(max(1, len(all_lines) - length))
            lines = all_lines[start : start + length]
            if sum(map(len, lines)) < 200:
                continue
            recent = [*recent[-2000:], lines]
        yield "\n".join(lines)


def dedup(source: Path, out: Path, workers: int) -> dict[str, Any]:
    import edge_phi.train.data.executor  # noqa: F401  # loads datatrove, as the other one has loaded datasketch
    from edge_phi.train.data.deduplicate import deduplicate
    from edge_phi.train.data.records import read_records, shards_of

    spent = Spent()
    deduplicate(source, out, threshold=THRESHOLD, workers=workers, say=lambda _: None)
    figures = spent.figures()
    kept = [record.id for shard in shards_of(out) for record in read_records(shard)] if workers == 1 else []
    return {**figures, "kept": kept}


def find(source: Path, out: Path, workers: int) -> dict[str, Any]:
    import edge_phi.train.data.executor  # noqa: F401
    from edge_phi.train.data.deduplicate.step import find_copies
    from edge_phi.train.data.records import shards_of

    shutil.rmtree(out, ignore_errors=True)
    spent = Spent()
    find_copies(shards_of(source), out, out / "verdicts", threshold=THRESHOLD, workers=workers, say=lambda _: None)
    return {**spent.figures(), "kept": []}


def datasketch(source: Path, _: Path, __: int) -> dict[str, Any]:
    from datasketch import MinHash, MinHashLSH

    from edge_phi.train.data.records import read_records, shards_of

    spent = Spent()
    word = re.compile(rb"[A-Za-z0-9_\x80-\xff]+")
    index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
    sketches = {}
    for shard in shards_of(source):
        for record in read_records(shard):
            words = word.findall(record.text.encode())
            shingles = {b" ".join(words[i : i + 5]) for i in range(max(1, len(words) - 4))}
            sketch = MinHash(num_perm=PERMUTATIONS)
            sketch.update_batch(list(shingles))
            if not any(sketch.jaccard(sketches[other]) >= THRESHOLD for other in index.query(sketch)):
                index.insert(record.id, sketch)
                sketches[record.id] = sketch
    return {**spent.figures(), "kept": list(sketches)}


CHILDREN = {"make": make, "find": find, "dedup": dedup, "datasketch": datasketch}


class Spent:
    """Time since it was made, and memory; the processor's time is that of this process and not of workers."""

    def __init__(self) -> None:
        self.began, self.began_cpu = time.perf_counter(), time.process_time()

    def figures(self) -> dict[str, float]:
        """What was spent, and the peak of memory."""
        return {
            "seconds": time.perf_counter() - self.began,
            "cpu_seconds": time.process_time() - self.began_cpu,
            "peak_rss_bytes": peak_rss_bytes(),
        }


def peak_rss_bytes() -> int:
    """Of this process; not ru_maxrss, which begins with the peak of the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(re.search(r"VmHWM:\s*(\d+) kB", status)[1])  # type: ignore[index]


def markdown(document: dict[str, Any]) -> str:
    lines = ["| | MB/s | tokens/s | seconds | peak memory, MB |", "|---|---:|---:|---:|---:|"]
    names = {
        "datasketch": "datasketch, copies found", "find": "edge-phi, copies found",
        "once": "edge-phi, shards written too", "tenfold": "edge-phi, ten times the documents",
        "tenfold by two": "the same by two processes",
    }  # fmt: skip
    for name, label in names.items():
        speed, tokens = document["mb_per_s"][name], document["tokens_per_s"][name]
        peak = "" if name == "tenfold by two" else f"{document['peak_rss_bytes'][name] / 1e6:,.0f}"
        lines.append(f"| {label} | {speed:,.2f} | {tokens:,.0f} | {document['median_seconds'][name]:.1f} | {peak} |")
    kept, size = document["kept"], document["documents"]["once"]
    machine, theirs = document["machine"], document["versions"]["datasketch"]
    note = (
        f"`{document['command']}`: {size['documents']:,} documents, {size['bytes'] / 1e6:.1f} MB, and ten times it; "
        f"medians of {document['rounds']} interleaved rounds on {machine['cores']} cores of {machine['processor']}. "
        f"{document['times_datasketch']:.1f} times as fast as datasketch {theirs} "
        f"({document['times_datasketch_cpu']:.1f} times in processor time); two processes "
        f"{document['two_processes_over_one']:.2f} times as fast as one; ten times the documents take "
        f"{document['memory_tenfold_over_once']:.2f} times the memory. Both keep {kept['both']:,} documents, "
        f"edge-phi alone {kept['only ours']:,}, datasketch alone {kept['only datasketch']:,}."
    )
    return "\n".join([*lines, "", note, ""])


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def version(package: str) -> str:
    from importlib.metadata import version as installed

    return installed(package)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
