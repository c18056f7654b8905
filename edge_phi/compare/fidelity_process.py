"""Fidelity in a process of its own, so that what two engines take is freed, and one that dies takes nothing along."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EdgePhiError
from ..measure import process
from ..measure.fidelity import Fidelity, fidelity
from ..measure.held_out import Windows
from ..measure.worker import artifact_as_json, artifact_from_json
from ..store import Artifact

_COMMAND = process.python("from edge_phi.compare.fidelity_process import main; main()")


def fidelity_of(
    artifact: Artifact, baseline: Artifact, windows: Windows, threads: int, *, command: Sequence[str] = _COMMAND
) -> Fidelity:
    """`measure.fidelity.fidelity` in a child process.

    Raises:
        MissingExtra: an engine is not installed.
        EdgePhiError: the child failed or died; says how.
    """
    with tempfile.TemporaryDirectory(prefix="edge-phi-") as folder:
        file = Path(folder) / "windows.npy"
        np.save(file, windows, allow_pickle=False)
        found = process.ask(
            command,
            {
                "artifact": artifact_as_json(artifact),
                "baseline": artifact_as_json(baseline),
                "windows": os.fspath(file),
                "threads": threads,
            },
        )
    try:
        return fidelity_from_json(found)
    except TypeError as error:
        raise EdgePhiError(f"its process gave no measurement ({error})") from error


def fidelity_from_json(found: dict[str, Any]) -> Fidelity:
    """The fidelity that `dataclasses.asdict` made `found` of.

    Raises:
        TypeError: `found` is not of one.
    """
    return Fidelity(**found)


def main() -> None:
    """The child."""
    process.serve(_work)


def _work(job: dict[str, Any]) -> dict[str, Any]:
    windows = np.load(job["windows"], allow_pickle=False)
    artifact, baseline = artifact_from_json(job["artifact"]), artifact_from_json(job["baseline"])
    return asdict(fidelity(artifact, baseline, windows, threads=job["threads"]))
