"""Two runs of the same benchmark, problem by problem: a score hides what a flip shows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import InvalidCall
from .journal import read_journal
from .pass_at_k import mcnemar
from .run import COMPLETIONS, VERDICTS, last_verdicts

_IDENTITY = ("benchmark", "data")  # must be the same
_UNSAID = ("files", "model", "form")  # differ where two models are compared, or follow from what does


@dataclass(frozen=True)
class Comparison:
    """What two runs solved. Problems that one of them lacks, or has no verdict on, are left out."""

    first: str
    second: str
    benchmark: str
    both: int
    only_first: Sequence[str]
    only_second: Sequence[str]
    neither: int
    left_out: Sequence[str]
    p_value: float  # of the exact two-sided McNemar test
    differing: Mapping[str, Sequence[Any]]  # settings that were not the same, besides the model

    @property
    def problems(self) -> int:
        """How many were compared."""
        return self.both + self.neither + len(self.only_first) + len(self.only_second)

    def to_json(self) -> str:
        """One JSON document."""
        return json.dumps(asdict(self), indent=2)


def compare(first: Path, second: Path) -> Comparison:
    """Compare the runs in two folders.

    Raises:
        InvalidCall: one is no run, they are of different benchmarks, or have several samples of a problem.
        InvalidFile: one is damaged.
    """
    settings_a, outcomes_a = _read(first)
    settings_b, outcomes_b = _read(second)
    for name in _IDENTITY:
        if settings_a.get(name) != settings_b.get(name):
            raise InvalidCall(f"{first} and {second}: runs of different problems ({name}): nothing to compare")
    found: dict[tuple[bool, bool], list[str]] = {(a, b): [] for a in (True, False) for b in (True, False)}
    left_out = []
    for task_id in {**outcomes_a, **outcomes_b}:
        a, b = outcomes_a.get(task_id), outcomes_b.get(task_id)
        if a in (None, "infrastructure_error") or b in (None, "infrastructure_error"):
            left_out.append(task_id)
        else:
            found[a == "pass", b == "pass"].append(task_id)
    only_first, only_second = found[True, False], found[False, True]
    differing = {
        name: (settings_a.get(name), settings_b.get(name))
        for name in {**settings_a, **settings_b}
        if name not in (*_IDENTITY, *_UNSAID) and settings_a.get(name) != settings_b.get(name)
    }
    first_name, second_name = first.name, second.name
    if first_name == second_name:
        first_name, second_name = str(first), str(second)
    return Comparison(
        first=first_name,
        second=second_name,
        benchmark=str(settings_a.get("benchmark")),
        both=len(found[True, True]),
        only_first=only_first,
        only_second=only_second,
        neither=len(found[False, False]),
        left_out=left_out,
        p_value=mcnemar(len(only_first), len(only_second)),
        differing=differing,
    )


def lines(found: Comparison) -> list[str]:
    """The comparison for a reader."""
    first = found.both + len(found.only_first)
    second = found.both + len(found.only_second)
    total = found.problems
    said = [
        f"{found.benchmark}, {total} problems",
        f"  {found.first}: {first} solved{_share(first, total)}",
        f"  {found.second}: {second} solved{_share(second, total)}",
        f"  solved by both {found.both}, by neither {found.neither}",
        f"  only by {found.first}: {len(found.only_first)}  {' '.join(found.only_first)}".rstrip(),
        f"  only by {found.second}: {len(found.only_second)}  {' '.join(found.only_second)}".rstrip(),
        f"  exact McNemar test, two-sided: p = {found.p_value:.3g}",
    ]
    if found.left_out:
        said.append(
            f"  LEFT OUT, without a verdict in one of the runs: {len(found.left_out)}  {' '.join(found.left_out)}"
        )
    said += [f"  {name}: {json.dumps(a)} against {json.dumps(b)}" for name, (a, b) in found.differing.items()]
    return said


def _share(part: int, whole: int) -> str:
    return f" ({part / whole:.1%})" if whole else ""


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    settings, _ = read_journal(folder / COMPLETIONS)
    _, records = read_journal(folder / VERDICTS)
    outcomes = last_verdicts(records)
    if any(sample for _, sample in outcomes):
        raise InvalidCall(f"{folder}: has several samples of a problem: compare runs with one, as greedy ones have")
    if not outcomes:
        raise InvalidCall(f"{folder}: has no verdicts yet: run it to its end")
    return settings, {task_id: outcome for (task_id, _), outcome in outcomes.items()}
