"""How fast, how large and how close to full precision is each form of a model on this machine?

Runs what `edge-phi bench` runs and writes engines.json (the report, with the command and the commit) and engines.md
(its table, for the README), which it also prints.

    python benchmarks/engines.py [--model MODEL] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from revision import REPOSITORY, commit

from edge_phi import atomic
from edge_phi.errors import EdgePhiError
from edge_phi.measure.bench import run_bench
from edge_phi.measure.figures import Report
from edge_phi.measure.forms import make_missing
from edge_phi.measure.progress import progress_on_stderr
from edge_phi.measure.report import notes, table_cells, to_json
from edge_phi.store import DEFAULT_MODEL


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--model", default=DEFAULT_MODEL, help="a model's name or folder (default: %(default)s)")
    arguments.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/results", help="folder to write to")
    given = arguments.parse_args()
    command = shlex.join(["python", "benchmarks/engines.py", *sys.argv[1:]])
    with progress_on_stderr() as progress:
        model, missing = make_missing(given.model, progress)
        report = run_bench(model, progress, skipped=missing)
    document = {"command": command, "commit": commit(), **json.loads(to_json(report))}
    given.out.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(given.out / "engines.json", f"{json.dumps(document, indent=2)}\n".encode())
    atomic.write_bytes(given.out / "engines.md", markdown(report, command).encode())
    print(markdown(report, command), end="")


def markdown(report: Report, command: str) -> str:
    """The table and what must be known to read it."""
    header, *rows = ([cell.replace("|", "\\|") for cell in row] for row in table_cells(report))
    ruler = ["---"] + ["---:"] * (len(header) - 1)
    table = "\n".join(f"| {' | '.join(row)} |" for row in (header, ruler, *rows))
    return f"{table}\n\n`{command}`: {' '.join(notes(report))}\n"


if __name__ == "__main__":
    try:
        main()
    except EdgePhiError as error:
        sys.exit(f"engines.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
