"""How fast is each step of `edge-phi data`, does a second process help, and does its memory stay when the data grow?

Documents are windows of the standard library's sources, as benchmarks/data_dedup.py makes them. Every step reads the
same ones, `collect` from JSON lines, the others from record shards; `exercises` draws its own. Three questions, each
run in a process of its own, in turns:

1. MB and tokens a second, by one process.
2. Two processes beside one: what is in front of a step (listing, training the tokenizer) is in the time.
3. The peak of resident memory (VmHWM) of one process, for the documents and for ten times as many.

Shards are a fortieth of the larger data each, at most 2 MB. `quality` embeds all it reads, and is given one document in
twelve.

    python benchmarks/data_pipeline.py [--megabytes N] [--rounds N] [--steps NAME,...] [--benchmarks DIR] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_dedup import SHARD_BYTES, make, peak_rss_bytes
from revision import REPOSITORY, commit

from edge_phi import atomic

EXERCISES_PER_MB = 1_500  # as many as make a megabyte
SHARE = {"quality": 0.08}  # of the documents
SHARDS = 40  # at least, of ten times the data: as many as keep two processes busy to the end


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--megabytes", type=float, default=8, help="of documents, and ten times that")
    arguments.add_argument("--rounds", type=int, default=3, help="turns of each (default: %(default)s)")
    arguments.add_argument("--steps", default=",".join(STEPS), help="(default: %(default)s)")
    arguments.add_argument("--benchmarks", type=Path, help="for decontaminate; $EDGE_PHI_DATA/eval if not given")
    arguments.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/results", help="folder to write to")
    arguments.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.child:
        step, source, out, workers = given.child
        began = time.perf_counter()
        STEPS[step](Path(source), Path(out), int(workers))
        print(json.dumps({"seconds": time.perf_counter() - began, "peak_rss_bytes": peak_rss_bytes()}))
        return
    if given.benchmarks:
        os.environ["EDGE_PHI_BENCHMARKS"] = str(given.benchmarks)
    elif "EDGE_PHI_DATA" in os.environ:
        os.environ["EDGE_PHI_BENCHMARKS"] = str(Path(os.environ["EDGE_PHI_DATA"]) / "eval")
    names = [name for name in given.steps.split(",") if name != "decontaminate" or "EDGE_PHI_BENCHMARKS" in os.environ]
    with tempfile.TemporaryDirectory(prefix="data_pipeline-") as folder:
        document = {
            "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
            "versions": {"python": platform.python_version()},
            "steps": measure(names, Path(folder), megabytes=given.megabytes, rounds=given.rounds),
        }
    given.out.mkdir(parents=True, exist_ok=True)
    earlier = given.out / "data_pipeline.json"  # steps that were left out of this run keep their figures, and command
    if earlier.exists():
        document["steps"] = json.loads(earlier.read_text(encoding="utf-8"))["steps"] | document["steps"]
    atomic.write_bytes(given.out / "data_pipeline.json", f"{json.dumps(document, indent=2)}\n".encode())
    atomic.write_bytes(given.out / "data_pipeline.md", markdown(document).encode())
    print(markdown(document), end="")


def measure(names: list[str], folder: Path, *, megabytes: float, rounds: int) -> dict[str, Any]:
    """Each step's figures, its data written to `folder`."""
    sizes = {}
    for share in {SHARE.get(name, 1.0) for name in names}:
        for scale in (1, 10):
            path = folder / f"{share:g}-{scale}"
            shard_bytes = min(SHARD_BYTES, int(10 * share * megabytes * 1e6 / SHARDS))
            sizes[share, scale] = make(path, path, int(share * scale * megabytes * 1e6), shard_bytes)
            as_lines(path, folder / f"{path.name}-lines")
    steps: dict[str, Any] = {}
    for name in names:
        share = SHARE.get(name, 1.0)
        once, tenfold = (folder / f"{share:g}-{scale}{'-lines' if name == 'collect' else ''}" for scale in (1, 10))
        seconds: dict[str, list[float]] = {"one": [], "two": []}
        for turn in range(rounds):
            for kind, workers in (("one", 1), ("two", 2)):
                seconds[kind].append(in_child(name, tenfold, folder / "out", workers)["seconds"])
                print(f"{name}, round {turn + 1}/{rounds}, {kind}: {seconds[kind][-1]:.1f} s", file=sys.stderr)
        peaks = [in_child(name, source, folder / "out", 1)["peak_rss_bytes"] for source in (once, tenfold)]
        one, two = (statistics.median(seconds[kind]) for kind in ("one", "two"))
        size = sizes[share, 10]
        steps[name] = {
            "command": shlex.join(["python", "benchmarks/data_pipeline.py", *sys.argv[1:]]),
            "commit": (commit() or "unknown")[:15],
            "rounds": rounds,
            "bytes": size["bytes"],
            "tokens": size["tokens"],
            "seconds": seconds,
            "mb_per_s": size["bytes"] / 1e6 / one,
            "tokens_per_s": size["tokens"] / one,
            "two_processes_over_one": one / two,
            "peak_rss_bytes": peaks,
            "memory_tenfold_over_once": peaks[1] / peaks[0],
        }
    return steps


def as_lines(shards: Path, folder: Path) -> None:
    """The same documents as JSON lines, a file a shard."""
    from edge_phi.train.data.records import read_records, shards_of

    folder.mkdir()
    for shard in shards_of(shards):
        with (folder / f"{shard.stem}.jsonl").open("w", encoding="utf-8") as file:
            for record in read_records(shard):
                file.write(json.dumps({"path": f"{record.path}.txt", "license": "PSF-2.0", "text": record.text}) + "\n")


def in_child(step: str, source: Path, out: Path, workers: int) -> dict[str, Any]:
    """Run one of STEPS in a process of its own, so that its peak of memory is its own."""
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, __file__, "--child", step, str(source), str(out), str(workers)]
    result: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return result


def collect(source: Path, out: Path, workers: int) -> None:
    from edge_phi.train.data.collect import collect_records, parse_sources

    collect_records(parse_sources([f"lines={source}"]), out, workers=workers, say=silent)


def exercises(source: Path, out: Path, workers: int) -> None:
    from edge_phi.train.data.exercises.step import write_exercises

    size = sum(file.stat().st_size for file in source.iterdir())
    write_exercises(out, int(EXERCISES_PER_MB * size / 1e7), seed=0, workers=workers, say=silent)


def dedup(source: Path, out: Path, workers: int) -> None:
    from edge_phi.train.data.deduplicate import deduplicate

    deduplicate(source, out, workers=workers, say=silent)


def quality(source: Path, out: Path, workers: int) -> None:
    from edge_phi.train.data.quality import quality as step

    step(source, out, keep=0.5, sources=["standard library"], workers=workers, say=silent)


def decontaminate(source: Path, out: Path, workers: int) -> None:
    from edge_phi.train.data.decontaminate import decontaminate as step

    step(source, out, benchmarks=Path(os.environ["EDGE_PHI_BENCHMARKS"]), workers=workers, say=silent)


def pack(source: Path, out: Path, workers: int) -> None:
    from edge_phi.store import DEFAULT_MODEL, bundled_folder
    from edge_phi.train.data.pack import pack_records

    pack_records(
        source, out, out.with_name("work"), arrays={"python": ["*"]}, held_out=None,
        tokenizer=bundled_folder() / DEFAULT_MODEL / "tokenizer.json", vocabulary=0, manifest={}, workers=workers,
        say=silent,
    )  # fmt: skip
    shutil.rmtree(out.with_name("work"))


STEPS: dict[str, Callable[[Path, Path, int], None]] = {
    "collect": collect,
    "exercises": exercises,
    "dedup": dedup,
    "quality": quality,
    "decontaminate": decontaminate,
    "pack": pack,
}


def silent(_: str) -> None:
    pass


def markdown(document: dict[str, Any]) -> str:
    machine = document["machine"]
    lines = [
        "# The data pipeline, step by step",
        "",
        f"{machine['cores']} cores ({machine['processor']}), Python {document['versions']['python']}, medians of "
        "several rounds, run step by step as said below. Memory is one process's peak, for the data and for ten times "
        "the data.",
        "",
        "| step | MB of text | MB/s | thousand tokens/s | two processes over one | peak MiB | ten times the data |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, step in document["steps"].items():
        lines.append(
            f"| {name} | {step['bytes'] / 1e6:.0f} | {step['mb_per_s']:.2f} | {step['tokens_per_s'] / 1e3:.0f} | "
            f"{step['two_processes_over_one']:.2f} | {step['peak_rss_bytes'][0] / 2**20:.0f} | "
            f"{step['memory_tenfold_over_once']:.2f} x |"
        )
    lines += ["", "| step | rounds | command | commit |", "|---|---:|---|---|"]
    lines += [
        f"| {name} | {step['rounds']} | `{step['command']}` | {step['commit']} |"
        for name, step in document["steps"].items()
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
