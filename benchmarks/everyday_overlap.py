"""Whether the test set `everyday` is near to other benchmarks, or to what a model was trained on.

    python benchmarks/everyday_overlap.py --benchmarks DIR                       # HumanEval and MBPP
    python benchmarks/everyday_overlap.py --shards SHARDS [SHARDS ...]           # training data: record shards
    python benchmarks/everyday_overlap.py --shards SHARDS --report CHECKPOINT/decontamination.json

Near is what `edge-phi data decontaminate` calls near: 13 words in a row, or a match rate of syntax trees of 0.8 and
more with embeddings at most 5.0 apart. The first form exits with 1 if any problem is near to one of HumanEval or MBPP.
The second says which problems the training data come near to; with --report they are written there as "everyday", where
`edge-phi eval everyday` finds them and scores them apart. `--sample N` looks at every so-manieth document only.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from edge_phi.atomic import write_bytes
from edge_phi.evaluate.everyday import description, load_everyday
from edge_phi.train.data.decontaminate.compare import LOWEST_TAU, Comparer, Hit
from edge_phi.train.data.decontaminate.references import Reference, read_references
from edge_phi.train.data.records import Record, read_records, shards_of


def everyday_references() -> list[Reference]:
    """The problems, as others are compared with."""
    return [
        Reference(
            benchmark="everyday",
            task_id=problem.task_id,
            description=description(problem),
            texts=(problem.prompt, problem.canonical_solution),
            programs=(problem.prompt + problem.canonical_solution,),
            entry_point=problem.entry_point,
        )
        for problem in load_everyday().problems
    ]


def near_to_benchmarks(folder: Path) -> list[Hit]:
    """Problems of ours beside those of HumanEval and MBPP."""
    records = [
        Record(id=problem.task_id, source="everyday", path=f"{problem.task_id}.py", license="Apache-2.0",
               text=problem.prompt + problem.canonical_solution, tokens=0)
        for problem in load_everyday().problems
    ]  # fmt: skip
    return [hit for _, hits in Comparer(read_references(folder)).hits(records) for hit in hits]


def near_to_training(shards: list[Path], *, every: int = 1) -> Iterator[tuple[Record, Hit]]:
    """Documents of the training data that are near to a problem of ours."""
    documents = (
        record
        for folder in shards
        for path in shards_of(folder)
        for at, record in enumerate(read_records(path))
        if at % every == 0
    )
    for record, hits in Comparer(everyday_references()).hits(documents):
        for hit in hits:
            yield record, hit


def main() -> None:
    """Look, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmarks", type=Path, help="holds humaneval/, mbpp/ and evalplus/")
    parser.add_argument("--shards", type=Path, nargs="+", default=[], help="folders of record shards")
    parser.add_argument("--sample", type=int, default=1, help="look at one document in so many")
    parser.add_argument("--report", type=Path, help='decontamination.json to write "everyday" into')
    arguments = parser.parse_args()
    found = near_to_benchmarks(arguments.benchmarks) if arguments.benchmarks else []
    for hit in found:
        print(f"{hit.record} is near to {hit.task_id}: {hit.kind} {hit.rate or ''} {hit.where}")
    if arguments.shards:
        counts: Counter[str] = Counter()
        for record, hit in near_to_training(arguments.shards, every=arguments.sample):
            counts[hit.task_id] += 1
            if counts[hit.task_id] <= 2:
                what = f"{hit.kind} {hit.rate or ''} {hit.where}"
                print(f"{hit.task_id} is near to {record.source}/{record.path}: {what}")
        print(f"{len(counts)} of {len(load_everyday().problems)} problems are near to something in the training data")
        if arguments.report:
            report = json.loads(arguments.report.read_bytes()) if arguments.report.exists() else {}
            similar = sorted(counts, key=lambda task_id: int(task_id.rpartition("/")[2]))
            report["everyday"] = {"tau": LOWEST_TAU, "similar": similar}
            write_bytes(arguments.report, (json.dumps(report, indent=1) + "\n").encode())
    if found:
        sys.exit(1)
    if arguments.benchmarks:
        print("none is near to a problem of HumanEval or MBPP")


if __name__ == "__main__":
    main()
