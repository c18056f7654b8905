"""Speculation against plain greedy decoding, for `engines.py`: the same engine, prompts and tokens, in turns.

Sets of prompts, from this project's files:

- edited: a function, and then the same one again under another name, of which the header is there;
- written: a file up to somewhere in a function;
- numbers: tables of random ones, where two tokens often come again and what follows never does;
- new: the first lines of a file, which have nothing before them.

One `Speculation` sees all prompts of a set one after the other, as that of a session does. Every pass checks that the
tokens are those of plain decoding.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from revision import REPOSITORY

from edge_phi.completion.curve import measure_curve
from edge_phi.completion.decode import DecodeSettings, decode
from edge_phi.completion.speculate import Speculation
from edge_phi.errors import EdgePhiError
from edge_phi.runtimes import Runtime
from edge_phi.tokenizer import Tokenizer

NEW = 64  # tokens
_PROMPTS = 8  # of a set
_MOST_TOKENS = 512  # of a prompt
_LINES = (6, 25)  # of a function that is edited


@dataclass(frozen=True)
class SpeculationRow:
    """One engine on one set."""

    engine: str
    prompts: str
    tokens: int
    plain_tokens_per_s: float
    speculation_tokens_per_s: float
    ratio: float  # the median over the rounds
    curve_ms: tuple[float, ...]


def compare_speculation(runtime: Runtime, tokenizer: Tokenizer, rounds: int) -> list[SpeculationRow]:
    """A row for each set.

    Raises:
        EdgePhiError: speculation writes something else.
    """
    curve = measure_curve(runtime)
    rows = []
    for name, texts in prompt_sets().items():
        prompts = [[tokenizer.end_of_text, *tokenizer.encode(text)[-_MOST_TOKENS:]] for text in texts]
        plain = [written(runtime, tokenizer, prompt, None)[0] for prompt in prompts]
        count = sum(len(tokens) - 1 for tokens in plain)
        times: dict[bool, list[float]] = {False: [], True: []}
        for number in range(rounds):
            took = dict.fromkeys(times, 0.0)
            speculation = Speculation(curve)
            for place, (prompt, expected) in enumerate(zip(prompts, plain, strict=True)):
                for with_it in (False, True) if (number + place) % 2 else (True, False):
                    tokens, seconds = written(runtime, tokenizer, prompt, speculation if with_it else None)
                    if tokens != expected:
                        raise EdgePhiError(f"{runtime.info.engine}: {name} {place}: speculation writes something else")
                    took[with_it] += seconds
            for with_it, all_ in times.items():
                all_.append(took[with_it])
        ratios = [without / with_it for without, with_it in zip(times[False], times[True], strict=True)]
        rows.append(
            SpeculationRow(
                runtime.info.engine, name, count, count / median(times[False]), count / median(times[True]),
                median(ratios), curve.ms,
            )
        )  # fmt: skip
    return rows


def written(
    runtime: Runtime, tokenizer: Tokenizer, prompt: Sequence[int], speculation: Speculation | None
) -> tuple[list[int], float]:
    """The tokens after `prompt`, and the seconds from the first to the last of them."""
    runtime.rewind(0)
    if speculation is not None:
        speculation.begin(prompt)
    settings = DecodeSettings(max_tokens=NEW)
    steps = list(decode(runtime, prompt, Endless(tokenizer), settings, speculation=speculation))  # type: ignore[arg-type]
    return [step.token for step in steps], (steps[-1].time_ns - steps[0].time_ns) / 1e9


class Endless:
    """A tokenizer of which no token ends a text: every answer has as many."""

    ends: frozenset[int] = frozenset()

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)


def prompt_sets() -> dict[str, list[str]]:
    """Texts by the name of their set."""
    files = [path.read_text(encoding="utf-8") for path in sorted((REPOSITORY / "edge_phi").rglob("*.py"))]
    functions = spread([(text, node) for text in files for node in ast.parse(text).body if suits(node)])
    random = np.random.default_rng(0)
    return {
        "edited": [above(text, node.end_lineno) + "\n\n" + renamed(text, node) for text, node in functions],
        "written": [above(text, (node.body[0].lineno + node.end_lineno) // 2) for text, node in functions],
        "numbers": ["TABLE = [\n" + "".join(row(random) for _ in range(24)) for _ in range(_PROMPTS)],
        "new": spread([above(text, 4) for text in files if text.count("\n") > 20]),
    }


def suits(node: ast.stmt) -> bool:
    least, most = _LINES
    return isinstance(node, ast.FunctionDef) and least <= node.end_lineno - node.lineno <= most


def above(text: str, line: int) -> str:
    """The first lines of `text`, `line` of them."""
    return "".join(text.splitlines(keepends=True)[:line])


def renamed(text: str, node: ast.FunctionDef) -> str:
    """The header of a function under another name."""
    lines = text.splitlines(keepends=True)[node.lineno - 1 : node.body[0].lineno - 1]
    return "".join(lines).replace(f"def {node.name}(", f"def {node.name}_again(")


def row(random: np.random.Generator) -> str:
    return f"    ({', '.join(map(str, random.integers(10, 1000, 4)))}),\n"


def spread(items: list[Any]) -> list[Any]:
    """A few of `items`, as far apart as they are."""
    return items[:: max(1, len(items) // _PROMPTS)][:_PROMPTS]
