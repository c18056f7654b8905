"""A comparison of all forms of a model in a process of its own, told line by line as JSON on stdout.

The editor's process draws and suggests; what measures must not share its interpreter. The child ends when its stdin
does, so it never outlives an editor that was killed, and takes the process that is measuring down with it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import asdict
from typing import Any

from edge_phi.errors import EdgePhiError
from edge_phi.measure import process

from .priority import give_way

INTERRUPTED = 130


def command(model: str, *, fresh: bool) -> list[str]:
    """The command line that compares all forms of `model`."""
    return process.python("from edge_phi.tui.bench_process import main; main()", model, "fresh" if fresh else "kept")


def main() -> None:
    """The child: argv[1] is the model, argv[2] whether what was measured before is measured again."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    give_way(0)  # what the editor may have of a core is not what engines are measured with
    threading.Thread(target=_end_with_the_parent, name="parent", daemon=True).start()
    tell = _Teller(os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1))
    os.dup2(2, 1)  # engines print to stdout as they please
    try:
        _compare(sys.argv[1], sys.argv[2] == "fresh", tell)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except EdgePhiError as error:
        tell("failed", line=str(error))
        sys.exit(error.exit_code)


class _Teller:
    """One JSON object a line; also the `Progress` of a measurement."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __call__(self, kind: str, **what: Any) -> None:
        self._stream.write(json.dumps({"kind": kind, **what}) + "\n")

    def note(self, line: str) -> None:
        self("note", line=line)

    def working(self, what: str, done: int, total: int) -> None:
        self("working", what=what, done=done, total=total)

    def finished(self, line: str) -> None:
        self("note", line=line)


def _compare(model: str, fresh: bool, tell: _Teller) -> None:
    from edge_phi.compare.cache import Cache, cache_folder
    from edge_phi.compare.fidelity_process import fidelity_of
    from edge_phi.compare.page import to_html
    from edge_phi.compare.report import to_json
    from edge_phi.compare.run import run_comparison
    from edge_phi.measure.fidelity import Fidelity
    from edge_phi.measure.forms import make_missing
    from edge_phi.measure.held_out import Windows
    from edge_phi.measure.timing import summarize
    from edge_phi.measure.worker import Job, Measurement, measure
    from edge_phi.store import Artifact

    def timed(job: Job) -> Measurement:
        found = measure(job)
        figures = asdict(summarize(found.timings)) | {"load_ms": found.load_ms, "peak_rss_bytes": found.peak_rss_bytes}
        tell("figures", form=job.artifact.name, **figures)
        return found

    def faithful(artifact: Artifact, baseline: Artifact, windows: Windows, threads: int) -> Fidelity:
        found = fidelity_of(artifact, baseline, windows, threads)
        tell("fidelity", form=artifact.name, kl_mean=found.kl_mean, top1=found.top1)
        return found

    found, missing = make_missing(model, tell)
    tell("forms", forms=[{"form": one.name, "file_bytes": one.file_bytes} for one in found.artifacts])
    cache = Cache(cache_folder(), fresh=fresh)
    comparison = run_comparison(found, tell, cache, skipped=missing, measure=timed, fidelity=faithful)
    tell("done", json=json.loads(to_json(comparison)), html=to_html(comparison))


def _end_with_the_parent() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGINT)
