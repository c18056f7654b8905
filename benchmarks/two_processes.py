"""What do two processes gain over one on this machine, whatever they do? The bound for every figure about workers.

Two threads of one core share its units: where a machine's "cores" are such threads, no program gains twice. Runs pieces
of pure Python, of numpy on data that fits the cache, and of numpy on data that does not, alone and twice at once, in
turns. Writes two_processes.json, and prints the ratios.

    python benchmarks/two_processes.py [--rounds N] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

from data_dedup import processor
from revision import REPOSITORY, commit

from edge_phi import atomic

WORK = {
    "Python": "sum(i * i % 7 for i in range(6_000_000))",
    "numpy, in the cache": "x = numpy.arange(4096.0)\nfor _ in range(150_000): x.sum()",
    "numpy, in memory": "x = numpy.ones(20_000_000)\nfor _ in range(50): x.sum()",
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--rounds", type=int, default=5, help="turns of each (default: %(default)s)")
    arguments.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/results", help="folder to write to")
    given = arguments.parse_args()
    seconds: dict[str, dict[str, list[float]]] = {name: {"alone": [], "two at once": []} for name in WORK}
    for _ in range(given.rounds):
        for name, code in WORK.items():
            seconds[name]["alone"].append(run(code, 1))
            seconds[name]["two at once"].append(run(code, 2))
    gains = {
        name: 2 * statistics.median(each["alone"]) / statistics.median(each["two at once"])
        for name, each in seconds.items()
    }
    document = {
        "command": shlex.join(["python", "benchmarks/two_processes.py", *sys.argv[1:]]),
        "commit": commit(),
        "machine": {"processor": processor(), "cores": os.cpu_count()},
        "seconds": seconds,
        "two_processes_over_one": gains,
    }
    given.out.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(given.out / "two_processes.json", f"{json.dumps(document, indent=2)}\n".encode())
    for name, gain in gains.items():
        print(f"{name}: {gain:.2f} times the work of one")


def run(code: str, processes: int) -> float:
    """Seconds until all have done the work once, without their start."""
    program = f"import sys, numpy\nprint('ready', flush=True)\nsys.stdin.readline()\n{code}"
    children = [
        subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    for child in children:
        assert child.stdout
        child.stdout.readline()
    start = time.perf_counter()
    for child in children:
        assert child.stdin
        child.stdin.write("\n")
        child.stdin.flush()
    for child in children:
        child.wait()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
