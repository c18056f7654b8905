"""Draw, run, verify and tell apart exercises; the same seed gives the same exercises.

Two exercises are distinct if their syntax trees differ once docstrings, annotations, tests and the text's own names are
taken away (`normalized`). Trees that differ only in constants have one shape, and only so many of one shape are kept.
"""

from __future__ import annotations

import ast
import hashlib
import multiprocessing
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from random import Random

from . import (
    branches,
    commands,
    formats,
    grids,
    keyed,
    numbers,
    pipelines,
    recursion,
    reduce,
    search,
    sequences,
    summaries,
    tables,
    texts,
)
from .classes import draw_class
from .render import Candidate, Dropped, render
from .task import Task
from .verify import verify

BATCH = 256
PER_SHAPE = 12
# Numbers other than 0 and 1, and strings, in a dumped syntax tree.
_CONSTANT = re.compile(
    r"""Constant\(value=(?!(?:[01]|None|True|False)\b)(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[-\w.]+)"""
)
BARREN_BATCHES = 40
SAME_TREE = "same syntax tree"
SAME_SHAPE = "differs only in constants from too many"
Family = Callable[[Random], Task | Candidate]
FAMILIES: tuple[tuple[Family, float], ...] = (
    *reduce.QUERIES,
    *keyed.QUERIES,
    *sequences.QUERIES,
    *summaries.QUERIES,
    *pipelines.QUERIES,
    *branches.QUERIES,
    *search.QUERIES,
    *recursion.QUERIES,
    *commands.QUERIES,
    *grids.QUERIES,
    *formats.QUERIES,
    *numbers.QUERIES,
    *texts.QUERIES,
    *tables.QUERIES,
    (draw_class, 5),
)


@dataclass(frozen=True)
class Exercise:
    """One exercise that was run and found right.

    Attributes:
        id: short hash of the text.
        prompt: imports, signature and docstring, ending in a newline.
        solution: the indented body, ending in a newline.
        tests: assertions that follow the solution, or "".
        examples: calls and the `repr` of what they return, "" for None.
        tags: the families it was drawn from.
    """

    id: str
    prompt: str
    solution: str
    tests: str
    examples: tuple[tuple[str, str], ...]
    tags: tuple[str, ...]

    @property
    def text(self) -> str:
        """The whole document."""
        return self.prompt + self.solution + self.tests


@dataclass(frozen=True)
class Verified:
    """An exercise that holds, whether or not it is like an earlier one.

    Attributes:
        exercise: see there.
        tree, shape: hashes of the normalized syntax tree with and without its constants, int64.
    """

    exercise: Exercise
    tree: int
    shape: int


@dataclass
class Report:
    """What was kept, and what was dropped for which reason."""

    kept: int = 0
    drawn: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


def generate(
    count: int, *, seed: int, workers: int = 1, per_shape: int = PER_SHAPE, report: Report | None = None
) -> Iterator[Exercise]:
    """Yield up to `count` distinct exercises.

    Batches are taken in order, so neither the number of workers nor the hash seed matters. Ends early when the grammar
    gives next to nothing new.

    Args:
        count: how many exercises to yield.
        seed: selects the sequence of exercises.
        workers: processes that draw and verify.
        per_shape: at most so many exercises that differ only in their constants, names and wording.
        report: filled while the exercises are taken.
    """
    report = Report() if report is None else report
    trees: set[int] = set()
    shapes: Counter[int] = Counter()
    recent: list[int] = []
    for verified, dropped in _batches(seed, workers):
        report.drawn += BATCH
        report.dropped.update(dropped)
        before = report.kept
        for each in verified:
            if each.tree in trees:
                report.dropped[SAME_TREE] += 1
            elif shapes[each.shape] >= per_shape:
                report.dropped[SAME_SHAPE] += 1
            else:
                trees.add(each.tree)
                shapes[each.shape] += 1
                report.kept += 1
                yield each.exercise
                if report.kept >= count:
                    return
        recent = [*recent[-BARREN_BATCHES + 1 :], report.kept - before]
        if len(recent) == BARREN_BATCHES and sum(recent) < BARREN_BATCHES:
            return


def draw_batch(seed: int, number: int) -> tuple[list[Verified], Counter[str]]:
    """Draw `BATCH` exercises from `Random(f"{seed}:{number}")`; return those that hold, and why the others do not."""
    random = Random(f"{seed}:{number}")
    dropped: Counter[str] = Counter()
    candidates: list[Candidate] = []
    families, weights = [f for f, _ in FAMILIES], [w for _, w in FAMILIES]
    for _ in range(BATCH):
        draw = random.choices(families, weights)[0]
        try:
            drawn = draw(random)
            candidates.append(render(drawn, random) if isinstance(drawn, Task) else drawn)
        except Dropped as error:
            dropped[str(error)] += 1
    reasons = verify([(c.prompt + c.solution + c.tests, c.examples) for c in candidates])
    verified = []
    for candidate, reason in zip(candidates, reasons, strict=True):
        if reason:
            dropped[f"verifier: {reason}"] += 1
        else:
            verified.append(_verified(candidate))
    return verified, dropped


def normalized(text: str) -> str:
    """Dump the syntax tree without docstrings and annotations, with the text's own names numbered."""
    tree = ast.parse(text)
    own: dict[str, str] = {}

    def name(value: str) -> str:
        return own.setdefault(value, f"v{len(own)}")

    nodes = list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            name(node.name)
            if ast.get_docstring(node) is not None:
                node.body = node.body[1:]
        elif isinstance(node, ast.arg):
            name(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            name(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            name(node.attr)
    for node in nodes:
        if isinstance(node, ast.FunctionDef):
            node.name, node.returns = own[node.name], None
        elif isinstance(node, ast.ClassDef):
            node.name = own[node.name]
        elif isinstance(node, ast.arg):
            node.arg, node.annotation = own[node.arg], None
        elif isinstance(node, ast.Name):
            node.id = own.get(node.id, node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in own:
            node.attr = own.get(node.attr, node.attr)
    tree.body = [n for n in tree.body if not isinstance(n, ast.ImportFrom) or n.module != "typing"]
    return ast.dump(tree)


def _verified(candidate: Candidate) -> Verified:
    tree = normalized(candidate.prompt + candidate.solution)
    text = candidate.prompt + candidate.solution + candidate.tests
    exercise = Exercise(
        hashlib.blake2b(text.encode(), digest_size=8).hexdigest(),
        candidate.prompt,
        candidate.solution,
        candidate.tests,
        candidate.examples,
        candidate.tags,
    )
    return Verified(exercise, _hash(tree), _hash(_CONSTANT.sub("Constant(", tree)))


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


def _batches(seed: int, workers: int) -> Iterator[tuple[list[Verified], Counter[str]]]:
    at = 0
    if workers <= 1:
        while True:
            yield draw_batch(seed, at)
            at += 1
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        while True:
            todo: Iterable[tuple[int, int]] = [(seed, at + i) for i in range(2 * workers)]
            yield from pool.imap(_draw_batch, todo)
            at += 2 * workers


def _draw_batch(of: tuple[int, int]) -> tuple[list[Verified], Counter[str]]:
    return draw_batch(*of)
