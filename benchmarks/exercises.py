"""How many exercises does the generator make in a second, and what is in them?

Draws exercises without writing them and takes the processor time of this process and of the processes that verify;
then counts constructs in the solutions of these, or of the record shards in a folder. Writes exercises.json and
exercises.md, which it also prints, and the figure docs/images/exercises.png.

    python benchmarks/exercises.py [--count N] [--seed N] [--folder SHARDS] [--out FOLDER] [--figure PATH]
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import os
import platform
import resource
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from revision import REPOSITORY, commit

from edge_phi import atomic
from edge_phi.train.data.exercises import Report, generate

CONSTRUCTS: dict[str, tuple[type[ast.AST], ...]] = {
    "for loop": (ast.For,),
    "while loop": (ast.While,),
    "condition": (ast.If,),
    "conditional expression": (ast.IfExp,),
    "list comprehension": (ast.ListComp,),
    "generator expression": (ast.GeneratorExp,),
    "set or dict comprehension": (ast.SetComp, ast.DictComp),
    "lambda": (ast.Lambda,),
    "slice": (ast.Slice,),
    "f-string": (ast.JoinedStr,),
    "dictionary": (ast.Dict, ast.DictComp),
    "tuple": (ast.Tuple,),
    "and, or": (ast.BoolOp,),
    "break or continue": (ast.Break, ast.Continue),
    "class": (ast.ClassDef,),
    "import": (ast.Import, ast.ImportFrom),
    "assertion": (ast.Assert,),
}
CALLS: dict[str, frozenset[str]] = {
    "sorting": frozenset({"sorted", "sort"}),
    "set": frozenset({"set", "add"}),
    "sum, min or max": frozenset({"sum", "min", "max"}),
    "any or all": frozenset({"any", "all"}),
    "enumerate or zip": frozenset({"enumerate", "zip"}),
    "split or join": frozenset({"split", "join", "splitlines"}),
    "list.append": frozenset({"append"}),
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--count", type=int, default=5_000, help="exercises to draw (default: %(default)s)")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--folder", type=Path, help="count the constructs of these shards instead")
    arguments.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/results")
    arguments.add_argument("--figure", type=Path, default=REPOSITORY / "docs/images/exercises.png")
    given = arguments.parse_args()
    report, texts = Report(), []
    start, wall = _processor_seconds(), time.perf_counter()
    for exercise in generate(given.count, seed=given.seed, report=report):
        texts.append((exercise.text, exercise.tags[0]))
    seconds, wall = _processor_seconds() - start, time.perf_counter() - wall
    constructs, families, number = distribution(_read(given.folder) if given.folder else texts)
    document = {
        "command": shlex.join(["python", "benchmarks/exercises.py", *sys.argv[1:]]),
        "commit": commit(),
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "python": platform.python_version(),
        "rate": {
            "exercises": report.kept,
            "drawn": report.drawn,
            "processor_seconds": round(seconds, 2),
            "wall_seconds": round(wall, 2),
            "exercises_per_second_and_core": round(report.kept / seconds, 1),
            "dropped": dict(report.dropped.most_common()),
        },
        "counted": number,
        "constructs": {name: count / number for name, count in constructs.most_common()},
        "families": {name: count / number for name, count in families.most_common()},
    }
    given.out.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(given.out / "exercises.json", f"{json.dumps(document, indent=2)}\n".encode())
    atomic.write_bytes(given.out / "exercises.md", markdown(document).encode())
    atomic.write_bytes(given.figure, figure(document))
    print(markdown(document), end="")


def distribution(texts: Iterable[tuple[str, str]]) -> tuple[Counter[str], Counter[str], int]:
    """In how many exercises each construct occurs, how many each family gave, and how many there are."""
    constructs: Counter[str] = Counter()
    families: Counter[str] = Counter()
    number = 0
    for text, family in texts:
        constructs.update(constructs_of(text))
        families[family] += 1
        number += 1
    return constructs, families, number


def constructs_of(text: str) -> set[str]:
    """The constructs that occur in a program."""
    found: set[str] = set()
    functions: list[ast.FunctionDef] = []
    for node in ast.walk(ast.parse(text)):
        found.update(name for name, kinds in CONSTRUCTS.items() if isinstance(node, kinds))
        if isinstance(node, ast.FunctionDef):
            functions.append(node)
        elif isinstance(node, ast.For) and any(
            isinstance(inner, ast.For) for inner in ast.walk(node) if inner is not node
        ):
            found.add("nested loops")
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            found.update(group for group, names in CALLS.items() if name in names)
    for function in functions:
        calls = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
        if any(isinstance(call, ast.Name) and call.id == function.name for call in calls):
            found.add("recursion")
        if len([node for node in ast.walk(function) if isinstance(node, ast.Return)]) > 1:
            found.add("early return")
    return found


def markdown(document: dict[str, Any]) -> str:
    """The rate and the table of constructs."""
    rate = document["rate"]
    rows = [f"| {name} | {share:.1%} |" for name, share in document["constructs"].items()]
    families = ", ".join(f"{name} {share:.1%}" for name, share in document["families"].items())
    return "\n".join(
        [
            "| construct | of the exercises |",
            "|---|---:|",
            *rows,
            "",
            f"Of {document['counted']:,} exercises. Families: {families}.",
            "",
            f"{rate['exercises_per_second_and_core']:g} exercises/s per core: {rate['exercises']:,} kept of"
            f" {rate['drawn']:,} drawn in {rate['processor_seconds']:g} s of processor time, verification included.",
            "",
            f"`{document['command']}`, {document['machine']['cores']} cores ({document['machine']['processor']}),"
            f" Python {document['python']}, commit {document['commit']}.",
            "",
        ]
    )


def figure(document: dict[str, Any]) -> bytes:
    """Bars: in which share of the exercises each construct occurs, and which share each family gave."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(9, 6.4), layout="constrained")
    left, right = drawing.subplots(1, 2, width_ratios=(3, 2))
    for axes, title, shares in (
        (left, "occurs in", document["constructs"]),
        (right, "family", document["families"]),
    ):
        names = list(shares)[::-1]
        values = [100 * shares[name] for name in names]
        bars = axes.barh(names, values, color="#4878a8")
        axes.bar_label(bars, [f"{value:.1f}" for value in values], padding=2, fontsize=8)
        axes.set_xlim(0, max(values) * 1.15)
        axes.set_xlabel("% of the exercises")
        axes.set_title(title, loc="left")
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()


def _read(folder: Path) -> Iterator[tuple[str, str]]:
    from edge_phi.train.data.records import read_records, shards_of

    for shard in shards_of(folder):
        for record in read_records(shard, added=["tags"]):
            yield record.text, record.added["tags"][0]


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    main()
