"""Do generated exercises hold, how alike are they, and do they share words with the benchmarks?

Reads record shards as they lie on disk and has no code in common with what made them or with how that checked them:
every exercise is run again in the sandbox, its examples are compared, the examples in its docstring are run by
`doctest`, those written as "f(x) -> y" are read and compared, and its assertions are run.

    python benchmarks/exercises_check.py FOLDER [--benchmarks DATA] [--limit N] [--out FILE]

Near-duplicates are pairs with a Jaccard similarity of at least 0.8 over their sets of five words in a row, proposed by
datasketch's MinHash LSH and then compared exactly; the share is that of the exercises that have an earlier such one.
A normalized syntax tree has no docstrings, annotations, tests and imports of typing, and its own names are numbered.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import hashlib
import itertools
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from edge_phi.evaluate.sandbox import Limits, Sandbox

TOGETHER = 200  # exercises in one program of the sandbox
PERMUTATIONS = 128
BANDS = (25, 5)  # 25 bands of 5 rows: a pair at 0.8 is proposed with a probability of 0.9999
SIMILAR = 0.8
SHINGLE = 5
NGRAM = 13

# Runs inside the sandbox; prints one JSON list of reasons, "" for an exercise that holds.
_PROGRAM = """
import ast, contextlib, doctest, io, json, re, sys
RECORDS = json.loads({records!r})
SHOWN = re.compile(r"^(?P<call>\\w+\\(.*\\)) (?:->|=>|==|returns) (?P<output>.+)$")

def canonical(value):
    if isinstance(value, (set, frozenset)):
        return "{{" + ", ".join(sorted(map(canonical, value))) + "}}"
    if isinstance(value, dict):
        return "{{" + ", ".join(canonical(k) + ": " + canonical(v) for k, v in value.items()) + "}}"
    if isinstance(value, (list, tuple)):
        return type(value).__name__ + "(" + ", ".join(map(canonical, value)) + ")"
    return type(value).__name__ + " " + repr(value)

def literal(text):
    return set() if text == "set()" else ast.literal_eval(text)

def reason(record):
    if record["text"] != record["prompt"] + record["solution"] + record["tests"]:
        return "text is not prompt, solution and tests"
    names = {{"__name__": "exercise"}}
    exec(record["text"], names)
    if not record["examples"]:
        return "no example"
    for example in record["examples"]:
        tree = ast.parse(example["call"])
        if isinstance(tree.body[0], ast.Expr):
            value = eval(example["call"], names)
            expected = literal(example["output"]) if example["output"] else None
            if canonical(value) != canonical(expected):
                return "an example does not hold"
        else:
            exec(example["call"], names)
    for name, value in list(names.items()):
        if name.startswith("test_"):
            value()
    for node in ast.walk(ast.parse(record["text"])):
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            continue
        text = ast.get_docstring(node)
        if not text:
            continue
        test = doctest.DocTestParser().get_doctest(text, dict(names), node.name, None, None)
        if doctest.DocTestRunner(verbose=False).run(test, out=lambda _: None).failed:
            return "a doctest fails"
        for line in text.splitlines():
            found = SHOWN.match(line.strip()) if line.strip().startswith(node.name + "(") else None
            if found:
                if canonical(eval(found["call"], names)) != canonical(literal(found["output"])):
                    return "an example in the docstring does not hold"
            elif line.strip().startswith("assert "):
                exec(line.strip(), names)
    return ""

reasons = []
for record in RECORDS:
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            reasons.append(reason(record))
        except BaseException as error:
            reasons.append(f"raises {{type(error).__name__}}")
print(json.dumps(reasons))
"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument(
        "folder", type=Path, help="record shards of 'edge-phi data exercises', or of a step after it"
    )
    arguments.add_argument("--benchmarks", type=Path, help="the folder with HumanEval and MBPP")
    arguments.add_argument("--limit", type=int, help="only the first so many")
    arguments.add_argument("--out", type=Path, help="a JSON file to write")
    given = arguments.parse_args()
    started = time.perf_counter()
    records = list(itertools.islice(read(given.folder), given.limit))
    wrong = failures(records)
    report: dict[str, Any] = {"exercises": len(records), "hold": len(records) - sum(wrong.values()), "wrong": wrong}
    print(json.dumps(report), file=sys.stderr, flush=True)
    texts = [record["text"] for record in records]
    report["distinct_texts"] = len(set(texts))
    report["distinct_normalized_trees"] = len({tree_hash(r["prompt"] + r["solution"]) for r in records})
    if given.benchmarks:
        report["share_13_words_with_a_benchmark"] = shared_words(texts, given.benchmarks)
    print(json.dumps(report), file=sys.stderr, flush=True)
    report["near_duplicates"] = near_duplicates(texts)
    report["near_duplicate_share"] = report["near_duplicates"] / max(1, len(texts))
    report["seconds"] = round(time.perf_counter() - started)
    text = json.dumps(report, indent=1)
    if given.out:
        given.out.write_text(text + "\n")
    print(text)
    sys.exit(1 if sum(wrong.values()) else 0)


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of every shard that are exercises, in order."""
    columns = ["id", "text", "prompt", "solution", "tests", "examples"]
    for shard in sorted(folder.glob("[0-9]*.parquet")):
        for batch in pq.ParquetFile(shard).iter_batches(batch_size=1024, columns=columns):
            yield from batch.to_pylist()


def failures(records: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Run every exercise in the sandbox and count why some do not hold."""
    reasons: Counter[str] = Counter()
    with Sandbox() as sandbox:
        for start in range(0, len(records), TOGETHER):
            reasons.update(reason for reason in _reasons(sandbox, records[start : start + TOGETHER]) if reason)
    return dict(reasons.most_common())


def _reasons(sandbox: Sandbox, records: Sequence[dict[str, Any]]) -> list[str]:
    program = _PROGRAM.format(records=json.dumps(records))
    output = sandbox.run(program, Limits(seconds=20.0 + len(records), cpu_seconds=20 + len(records)))
    try:
        reasons = json.loads(output.stdout)
        if output.outcome == "pass" and len(reasons) == len(records):
            return [str(reason) for reason in reasons]
    except ValueError:
        pass
    if len(records) == 1:
        return [f"{output.outcome}: {output.detail}"]
    middle = len(records) // 2
    return _reasons(sandbox, records[:middle]) + _reasons(sandbox, records[middle:])


def tree_hash(text: str) -> bytes:
    """A hash of the normalized syntax tree."""
    return hashlib.sha256(ast.dump(_Renamed().visit(ast.parse(text))).encode()).digest()


class _Renamed(ast.NodeTransformer):
    """Numbers every name that is not a builtin's or imported, in the order in which they come; drops what only says."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def visit_Module(self, node: ast.Module) -> ast.AST:
        imported = {alias.name for each in ast.walk(node) if isinstance(each, (ast.Import, ast.ImportFrom))
                    for alias in each.names}  # fmt: skip
        self.names = {name: name for name in [*vars(builtins), *imported]}
        own = {each.name for each in ast.walk(node) if isinstance(each, (ast.FunctionDef, ast.ClassDef))}
        own |= {each.arg for each in ast.walk(node) if isinstance(each, ast.arg)}
        own |= {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
        for name in own:
            self.names.pop(name, None)
        node.body = [each for each in node.body if not isinstance(each, ast.ImportFrom) or each.module != "typing"]
        return self.generic_visit(node)

    def _name(self, name: str) -> str:
        return self.names.setdefault(name, f"name_{len(self.names)}")

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name, node.returns = self._name(node.name), None
        return self._undocumented(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = self._name(node.name)
        return self._undocumented(node)

    def _undocumented(self, node: ast.FunctionDef | ast.ClassDef) -> ast.AST:
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg, node.annotation = self._name(node.arg), None
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._name(node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            node.attr = self._name("." + node.attr)
        return self.generic_visit(node)


def shared_words(texts: Sequence[str], benchmarks: Path) -> int:
    """How many texts have 13 words in a row, in lower case, in common with a benchmark's text or solution."""
    from edge_phi.train.data.decontaminate import read_references

    known = {
        each for reference in read_references(benchmarks) for text in reference.texts for each in _runs(text, NGRAM)
    }
    return sum(1 for text in texts if not known.isdisjoint(_runs(text, NGRAM)))


def near_duplicates(texts: Sequence[str]) -> int:
    """How many texts have an earlier one at a Jaccard similarity of at least 0.8."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=PERMUTATIONS, params=BANDS)
    sets: list[np.ndarray] = []
    duplicates = 0
    base = MinHash(num_perm=PERMUTATIONS, hashfunc=int)
    for number, text in enumerate(texts):
        runs = _runs(text, SHINGLE) or [tuple(_words(text))]
        hashes = {
            int.from_bytes(hashlib.blake2b(" ".join(run).encode(), digest_size=8).digest(), "little") for run in runs
        }
        mine = np.array(sorted(hashes), dtype=np.uint64)
        sketch = base.copy()
        sketch.update_batch([value & 0xFFFFFFFF for value in hashes])
        for other in index.query(sketch):
            common = len(np.intersect1d(mine, sets[other], assume_unique=True))
            if common >= SIMILAR * (len(mine) + len(sets[other]) - common):
                duplicates += 1
                break
        index.insert(number, sketch)
        sets.append(mine)
    return duplicates


def _runs(text: str, length: int) -> list[tuple[str, ...]]:
    words = _words(text)
    return [tuple(words[at : at + length]) for at in range(len(words) - length + 1)]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


if __name__ == "__main__":
    main()
