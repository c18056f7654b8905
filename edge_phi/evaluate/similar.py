"""The problems a model's training data came near to: whether it has seen the exam.

What compares training data with the benchmarks leaves a report in the checkpoint's folder, `decontamination.json`, or
as "decontamination" in the data manifest of its `lineage.json`:

    {"humaneval": {"tau": 0.8, "similar": ["HumanEval/3", "HumanEval/17"]},
     "mbpp": {"tau": 0.8, "similar": ["MBPP/11"]}}

"similar" has the ids of the problems for which the training data held something similar, "tau" being the match rate
from which on it was called so; null where there is no such number. The plus variants and the sanitized problems go by
the ids of their benchmark. A benchmark that was not looked at is not in it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checkpoint import LINEAGE_FILE
from ..errors import InvalidFile

REPORT_FILE = "decontamination.json"

_MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class Similar:
    """Problems of one benchmark that a model's training data came near to."""

    tau: float | None  # the match rate from which on a text was called similar
    task_ids: frozenset[str]


def read_similar(folder: Path, benchmark: str) -> Similar | None:
    """What the checkpoint in `folder` was trained close to, of the problems of `benchmark`; None if nothing says.

    Raises:
        InvalidFile: there is a report, and it is damaged.
    """
    path = folder / REPORT_FILE
    if path.is_file():
        report = _json(path)
    elif (path := folder / LINEAGE_FILE).is_file():
        manifest = _json(path).get("data")
        report = manifest.get("decontamination", {}) if isinstance(manifest, dict) else {}
    else:
        return None
    entry = report.get(benchmark.partition("-")[0]) if isinstance(report, dict) else 0
    if entry is None:
        return None
    ids, tau = (entry.get("similar"), entry.get("tau")) if isinstance(entry, dict) else (None, None)
    if not isinstance(ids, list) or not all(isinstance(id_, str) for id_ in ids) or not _is_rate(tau):
        raise InvalidFile(f'{path}: its decontamination report lists no "similar" problems: run the check again')
    return Similar(tau, frozenset(ids))


def _is_rate(tau: object) -> bool:
    return tau is None or (isinstance(tau, (int, float)) and not isinstance(tau, bool) and math.isfinite(tau))


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"larger than {_MAX_BYTES >> 20} MiB")
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidFile(f"{path}: not readable as JSON ({error}): remove it, or make it again") from error
    if not isinstance(value, dict):
        raise InvalidFile(f"{path}: holds no JSON object: remove it, or make it again")
    return value
