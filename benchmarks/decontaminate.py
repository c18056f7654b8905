"""Does the decontamination step find solutions of HumanEval and MBPP in disguise, and leave other functions alone?

Solutions are read where they are (nothing of them is written down) and disguised by `tests/disguise.py`: other names,
independent statements in another order, loops for comprehensions and the other way round, other words; `thorough`
adds more idioms. Each disguise must still pass its problem's tests, in the sandbox. Forty are drawn as planted
contamination; all are tried, too. Documents are compared one by one, so the false positives are counted apart: on 2,000
functions of the standard library and as many generated exercises; they are named, so that they can be read.
Writes decontaminate.json and decontaminate.md.

    python benchmarks/decontaminate.py --data FOLDER [--clean 2000] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import ast
import json
import platform
import random
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from revision import REPOSITORY, commit

sys.path.insert(0, str(REPOSITORY / "tests"))

from disguise import disguise, renamed_entry, reworded

from edge_phi import atomic
from edge_phi.evaluate.humaneval import load_humaneval
from edge_phi.evaluate.mbpp import load_mbpp
from edge_phi.evaluate.problem import Problem
from edge_phi.evaluate.sandbox import Examination, Sandbox
from edge_phi.train.data.decontaminate.compare import FARTHEST, SHORT, Comparer
from edge_phi.train.data.decontaminate.references import read_references, solution_snippets
from edge_phi.train.data.decontaminate.step import TAUS
from edge_phi.train.data.exercises import generate
from edge_phi.train.data.records import Record

PLANTED = 40


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--data", type=Path, required=True, help="holds humaneval/, mbpp/ and evalplus/")
    arguments.add_argument(
        "--clean", type=int, default=2_000, help="functions in each clean set (default: %(default)s)"
    )
    arguments.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks" / "results")
    options = arguments.parse_args()

    references = read_references(options.data)
    comparer = Comparer(references)
    problems = [each for load in (load_humaneval, load_mbpp) for each in load(data=options.data).problems]
    print("disguising, and running every disguise's tests", file=sys.stderr)
    with Sandbox() as sandbox:
        plain = {each.task_id: _disguised(each, sandbox, thorough=False) for each in problems}
        thorough = {each.task_id: _disguised(each, sandbox, thorough=True) for each in problems}
    print("comparing", file=sys.stderr)
    forty = _forty(plain)
    clean = list(_library_functions(options.clean))
    exercises = [_record(f"exercise/{each.id}", each.text) for each in generate(options.clean, seed=7)]
    made = time.process_time()
    exercise_rates = _rates(comparer, exercises)
    spent = time.process_time() - made
    found = {
        "planted": _recall(comparer, forty),
        "all_plain": _recall(comparer, plain),
        "all_thorough": _recall(comparer, thorough),
        "library": _positives(_rates(comparer, clean), len(clean)),
        "exercises": _positives(exercise_rates, len(exercises)),
    }
    short = [
        each.task_id for each in references if all(len(solution.form) < SHORT for solution in solution_snippets(each))
    ]
    report = {
        "command": shlex.join(["python", "benchmarks/decontaminate.py", *sys.argv[1:]]),
        "commit": commit(),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "farthest": FARTHEST,
        "short_symbols": SHORT,
        "problems": len(references),
        "problems_with_short_solutions_only": len(short),
        "solutions": sum(len(solution_snippets(each)) for each in references),
        "disguises_that_failed_their_tests": sorted(
            {each for each in plain if not plain[each]} | {each for each in thorough if not thorough[each]}
        ),
        "processor_seconds_for_exercises": round(spent, 1),
        **found,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(options.out / "decontaminate.json", json.dumps(report, indent=1).encode() + b"\n")
    table = _table(report)
    atomic.write_bytes(options.out / "decontaminate.md", table.encode())
    print(table)


def _disguised(problem: Problem, sandbox: Sandbox, *, thorough: bool) -> str:
    """A document with a solution in disguise and the task in other words; "" where its tests no longer pass."""
    random_ = random.Random(f"{problem.task_id}:{thorough}")
    is_function = problem.task_id.startswith("HumanEval")
    program = problem.prompt + problem.canonical_solution if is_function else problem.canonical_solution
    text = disguise(program, random_, thorough=thorough)
    aliases = "".join(f"{name} = {renamed_entry(program, text, name)}\n" for name in problem.names)
    verdict = sandbox.check(
        Examination(f"{text}\n{aliases}{problem.epilogue}", problem.tests, problem.helpers, problem.names)
    )
    if not verdict.passed:
        return ""
    if is_function:
        return text
    words = reworded(problem.prompt.strip('"\n').partition("\n")[0], random_)
    return f'"""{words}"""\n\n{text}'


def _forty(disguises: dict[str, str]) -> dict[str, str]:
    """Twenty of each benchmark, drawn."""
    chosen: list[str] = []
    for name in ("HumanEval", "MBPP"):
        fit = sorted(task_id for task_id, text in disguises.items() if task_id.startswith(name) and text)
        chosen += random.Random(name).sample(fit, PLANTED // 2)
    return {task_id: disguises[task_id] for task_id in chosen}


def _library_functions(number: int) -> Iterator[Record]:
    """Functions of the standard library of at least two statements or one comprehension, drawn, read where it lies."""
    import sysconfig

    root = Path(sysconfig.get_paths()["stdlib"])
    functions: list[tuple[str, str]] = []
    for path in sorted(root.rglob("*.py")):
        if {"site-packages", "test", "tests", "lib2to3", "idle_test"} & set(path.relative_to(root).parts):
            continue
        try:
            text = path.read_text(encoding="utf-8")
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                functions.append((f"{path.relative_to(root)}:{node.lineno}", ast.unparse(node)))
    for name, source in random.Random(number).sample(functions, number):
        yield _record(name, source)


def _record(name: str, text: str) -> Record:
    return Record(name, "benchmark", f"{name}.py", "", text, 0)


def _rates(comparer: Comparer, records: list[Record]) -> dict[str, dict[str, tuple[float, float]]]:
    """Of each record and problem the best match rate with the embeddings near, and whatever they are."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for _, hit in comparer.matches(records):
        problems = found.setdefault(hit.record, {})
        near, any_ = problems.get(hit.task_id, (0.0, 0.0))
        rate, distance = hit.rate or 0.0, hit.distance or 0.0
        problems[hit.task_id] = (max(near, rate if distance <= comparer.farthest else 0.0), max(any_, rate))
    return found


def _recall(comparer: Comparer, disguises: dict[str, str]) -> dict[str, Any]:
    """How many are found to be near to the problem they were made from, and how many a 13-gram alone finds."""
    records = [_record(task_id, text) for task_id, text in disguises.items() if text]
    rates = _rates(comparer, records)
    best = {record.id: rates.get(record.id, {}).get(record.id, (0.0, 0.0)) for record in records}
    words = sum(
        any(hit.kind == "13-gram" and hit.task_id == record.id for hit in hits)
        for record, hits in comparer.hits(records)
    )
    return {
        "documents": len(records),
        "found": {str(tau): sum(near >= tau for near, _ in best.values()) for tau in TAUS},
        "found_without_embeddings": {str(tau): sum(any_ >= tau for _, any_ in best.values()) for tau in TAUS},
        "found_by_13_grams": words,
        "missed": sorted(task_id for task_id, (near, _) in best.items() if near < TAUS[-1]),
    }


def _positives(rates: dict[str, dict[str, tuple[float, float]]], documents: int) -> dict[str, Any]:
    best = {name: max(problems.items(), key=lambda item: item[1]) for name, problems in rates.items()}
    return {
        "documents": documents,
        "found": {str(tau): sum(near >= tau for _, (near, _) in best.values()) for tau in TAUS},
        "found_without_embeddings": {
            str(tau): sum(max(any_ for _, any_ in problems.values()) >= tau for problems in rates.values())
            for tau in TAUS
        },
        "hits": [[name, task_id, near] for name, (task_id, (near, _)) in sorted(best.items()) if near >= TAUS[-1]],
    }


def _table(report: dict[str, Any]) -> str:
    rows = [
        ("planted: 40 drawn, in disguise", "planted"),
        ("all problems, in disguise", "all_plain"),
        ("all problems, thorough disguise", "all_thorough"),
        ("clean: functions of the standard library", "library"),
        ("clean: generated exercises", "exercises"),
    ]
    lines = [
        "| documents | number | " + " | ".join(f"tau {tau:g}" for tau in TAUS) + " | trees alone, 0.8 |",
        "|---|---|" + "---|" * (len(TAUS) + 1),
    ]
    for label, key in rows:
        part = report[key]
        number = part["documents"]
        cells = [f"{100 * part['found'][str(tau)] / number:.1f} %" for tau in TAUS]
        alone = f"{100 * part['found_without_embeddings'][str(TAUS[-1])] / number:.1f} %"
        lines.append(f"| {label} | {number} | " + " | ".join(cells) + f" | {alone} |")
    rate = report["exercises"]["documents"] / report["processor_seconds_for_exercises"]
    lines += [
        "",
        f"Embeddings at most {report['farthest']:g} apart, but in the last column. 13-grams alone find "
        f"{report['planted']['found_by_13_grams']} of the planted 40. {rate:.0f} exercises a second of processor time "
        f"on one core, against {report['solutions']:,} solutions of {report['problems']:,} problems.",
        "",
        f"`{report['command']}`, commit {report['commit']}, {report['machine']}.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
