"""Draw, run, verify and deduplicate exercises; the same seed gives the same exercises."""

from __future__ import annotations

import ast
import hashlib
import multiprocessing
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from . import keyed, numbers, reduce, sequences, tables, texts
from .classes import draw_class
from .render import Candidate, Dropped, render
from .task import Task
from .verify import verify

BATCH = 256
# Numbers other than 0 and 1, and strings, in a dumped syntax tree.
_CONSTANT = re.compile(
    r"""Constant\(value=(?!(?:[01]|None|True|False)\b)(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[-\w.]+)"""
)
BARREN_BATCHES = 40
Family = Callable[[Random], Task | Candidate]
FAMILIES: tuple[tuple[Family, float], ...] = (
    *reduce.QUERIES,
    *keyed.QUERIES,
    *sequences.QUERIES,
    *numbers.QUERIES,
    *texts.QUERIES,
    *tables.QUERIES,
    (draw_class, 3),
)


@dataclass(frozen=True)
class Exercise:
    """One exercise that was run and found right.

    Attributes:
        id: short hash of the text.
        prompt: imports, signature and docstring, ending in a newline.
        solution: the indented body, ending in a newline.
        examples: calls and the `repr` of what they return.
        tags: the families it was drawn from.
    """

    id: str
    prompt: str
    solution: str
    examples: tuple[tuple[str, str], ...]
    tags: tuple[str, ...]

    @property
    def text(self) -> str:
        """The whole document."""
        return self.prompt + self.solution


@dataclass
class Report:
    """What was kept, and what was dropped for which reason."""

    kept: int = 0
    drawn: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


def generate(
    count: int, *, seed: int, workers: int = 1, per_shape: int = 12, report: Report | None = None
) -> Iterator[Exercise]:
    """Yield up to `count` distinct exercises.

    Batch i is drawn from `Random(f"{seed}:{i}")` and batches are taken in order, so neither the number of
    workers nor the hash seed matters. Ends early when the grammar gives next to nothing new.

    Args:
        count: how many exercises to yield.
        seed: selects the sequence of exercises.
        workers: processes that draw and verify.
        per_shape: at most so many exercises that differ only in their constants, names and wording.
        report: filled while the exercises are taken.
    """
    report = Report() if report is None else report
    texts: set[str] = set()
    trees: set[bytes] = set()
    shapes: Counter[bytes] = Counter()
    recent: list[int] = []
    for candidates, dropped, drawn in _batches(seed, workers):
        report.drawn += drawn
        report.dropped.update(dropped)
        before = report.kept
        for candidate, tree, shape in candidates:
            text = candidate.prompt + candidate.solution
            if text in texts:
                report.dropped["same text"] += 1
            elif tree in trees:
                report.dropped["same syntax tree"] += 1
            elif shapes[shape] >= per_shape:
                report.dropped["differs only in constants from too many"] += 1
            else:
                texts.add(text)
                trees.add(tree)
                shapes[shape] += 1
                report.kept += 1
                digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
                yield Exercise(digest, candidate.prompt, candidate.solution, candidate.examples, candidate.tags)
                if report.kept >= count:
                    return
        recent = [*recent[-BARREN_BATCHES + 1 :], report.kept - before]
        if len(recent) == BARREN_BATCHES and sum(recent) < BARREN_BATCHES:
            return


def normalized(text: str) -> str:
    """Dump the syntax tree without docstrings and annotations, with the text's own names numbered."""
    tree = ast.parse(text)
    own: dict[str, str] = {}

    def name(value: str) -> str:
        return own.setdefault(value, f"v{len(own)}")

    for node in ast.walk(tree):
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
    for node in ast.walk(tree):
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


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


Batch = tuple[list[tuple[Candidate, bytes, bytes]], Counter[str], int]


def _batches(seed: int, workers: int) -> Iterator[Batch]:
    at = 0
    if workers <= 1:
        while True:
            yield _batch((seed, at))
            at += 1
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        while True:
            yield from pool.imap(_batch, [(seed, at + i) for i in range(2 * workers)])
            at += 2 * workers


def _batch(of: tuple[int, int]) -> Batch:
    seed, at = of
    random = Random(f"{seed}:{at}")
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
    kept = []
    reasons = verify([(c.prompt + c.solution, c.examples) for c in candidates])
    for candidate, reason in zip(candidates, reasons, strict=True):
        if reason:
            dropped[f"verifier: {reason}"] += 1
            continue
        text = candidate.prompt + candidate.solution
        tree = normalized(text)
        kept.append((candidate, _hash(tree), _hash(_CONSTANT.sub("Constant(", tree))))
    return kept, dropped, BATCH
