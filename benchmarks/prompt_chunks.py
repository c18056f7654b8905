"""What do short chunks of a prompt cost, and how soon can it be stopped?

An engine that stops between the steps of its graph only stops the sooner the fewer tokens it computes at once, and
reads a prompt the slower. For each number of tokens at once, in turns: tokens per second of a prompt that nobody stops,
and milliseconds from setting the cancel event, at any moment of the prompt, until the call is over. "chosen" marks what
`stoppable_chunk` gives. Writes prompt_chunks.json and prompt_chunks.md.

    python benchmarks/prompt_chunks.py [--model MODEL] [--quant QUANT] [--tokens N] [--rounds N] [--name NAME]
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
from completion import every_engine
from revision import REPOSITORY, command_line, commit

from edge_phi import atomic
from edge_phi.cores import usable_cores
from edge_phi.errors import Cancelled, EdgePhiError
from edge_phi.measure.machine import busy_line, this_machine
from edge_phi.runtimes import Runtime, open_runtime, stoppable_chunk
from edge_phi.store import DEFAULT_MODEL, find_model

_SIZES = (16, 32, 64, 128, 256, 512)
_STOPS = 4  # in a round


@dataclass(frozen=True)
class Row:
    """One engine that computes so many tokens at once."""

    engine: str
    chunk: int
    chosen: bool
    prefill_tokens_per_s: float
    stop_p50_ms: float
    stop_p95_ms: float


def compare(runtime: Runtime, tokens: int, rounds: int) -> list[Row]:
    """A row for each size that is not more than the engine computes at once by itself."""
    module = sys.modules[type(runtime).__module__]
    most = module._CHUNK
    chosen = stoppable_chunk(most, runtime.info)
    sizes = sorted({chosen, *(size for size in _SIZES if size <= most)})
    random = np.random.default_rng(0)
    prompt = random.integers(0, runtime.info.vocab_size, tokens).tolist()
    speeds: dict[int, list[float]] = {size: [] for size in sizes}
    stops: dict[int, list[float]] = {size: [] for size in sizes}
    try:
        for number in range(rounds + 1):
            for size in sizes:
                module.stoppable_chunk = lambda most, info, size=size: size
                took_s, _ = read(runtime, prompt, None)
                if not number:  # the first fills buffers
                    continue
                speeds[size].append(tokens / took_s)
                for _ in range(_STOPS):
                    _, stopped_ms = read(runtime, prompt, float(random.uniform(0.05, 0.9)) * took_s)
                    if stopped_ms is not None:
                        stops[size].append(stopped_ms)
    finally:
        module.stoppable_chunk = stoppable_chunk
    return [
        Row(
            runtime.info.engine, size, size == chosen, median(speeds[size]), float(np.percentile(stops[size], 50)),
            float(np.percentile(stops[size], 95)),
        )
        for size in sizes
    ]  # fmt: skip


def read(runtime: Runtime, prompt: list[int], after_s: float | None) -> tuple[float, float | None]:
    """Seconds that reading took; and milliseconds from a stop after `after_s` to the end, if it came to that."""
    runtime.rewind(0)
    cancel, at = threading.Event(), [0.0]

    def stop() -> None:
        at[0] = time.perf_counter()
        cancel.set()

    timer = threading.Timer(after_s or 0.0, stop)
    if after_s is not None:
        timer.start()
    start = time.perf_counter()
    try:
        runtime.extend(prompt, cancel=cancel)
    except Cancelled:
        return time.perf_counter() - start, (time.perf_counter() - at[0]) * 1e3
    finally:
        timer.cancel()
    return time.perf_counter() - start, None


def page(rows: list[Row], notes: list[str]) -> str:
    lines = [
        "| engine | tokens at once | prefill tok/s | stopped after ms p50 | p95 |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row.engine} | {row.chunk}{' (chosen)' if row.chosen else ''} | {row.prefill_tokens_per_s:.0f} "
        f"| {row.stop_p50_ms:.1f} | {row.stop_p95_ms:.1f} |"
        for row in rows
    ]
    return "\n".join([*lines, "", *notes, ""])


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--model", default=DEFAULT_MODEL)
    arguments.add_argument("--quant", help="only this form (default: all)")
    arguments.add_argument("--tokens", type=int, default=1024, help="of the prompt (default: %(default)s)")
    arguments.add_argument("--rounds", type=int, default=10, help="(default: %(default)s)")
    arguments.add_argument("--threads", type=int, default=usable_cores())
    arguments.add_argument("--name", default="prompt_chunks", help="of the result files (default: %(default)s)")
    arguments.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/results", help="folder to write to")
    given = arguments.parse_args()
    machine, model = this_machine(), find_model(given.model)
    rows: list[Row] = []
    for engine, artifact in every_engine(model, given.quant):
        if engine == "native":  # stops within a step
            continue
        print(engine, file=sys.stderr)
        runtime = open_runtime(artifact, threads=given.threads)
        rows += compare(runtime, given.tokens, given.rounds)
        runtime.close()
    notes = [f"`{command_line()}`: {model.name}, {given.threads} threads, a prompt of {given.tokens} tokens, medians "
             f"of {given.rounds} rounds in turns, {_STOPS} stops in each."]  # fmt: skip
    if machine.busy:
        notes.append(busy_line(machine))
    document = {"command": command_line(), "commit": commit(), "machine": asdict(machine),
                "rows": [asdict(row) for row in rows]}  # fmt: skip
    given.out.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(given.out / f"{given.name}.json", f"{json.dumps(document, indent=2)}\n".encode())
    atomic.write_bytes(given.out / f"{given.name}.md", page(rows, notes).encode())
    print(page(rows, notes), end="")


if __name__ == "__main__":
    try:
        main()
    except EdgePhiError as error:
        sys.exit(f"prompt_chunks.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
