"""How long do a few new tokens take in the native engine, and how long in llama.cpp, on the same Q4_0 file?

Whole forward passes with logits of the last token, after `--context` tokens; and a prompt of that length from nothing.
Both engines take turns within every round, with as many threads; medians, and the ratio of llama.cpp's to ours. Beside
them what our passes take of this machine's limits, measured in the same run: reading memory, and multiplying in 4 by 8
bits with everything in the cache. Writes native.json and native.md.

    python benchmarks/native.py [--model MODEL] [--context N] [--rounds N] [--threads N ...] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
from revision import REPOSITORY, commit

from edge_phi import atomic
from edge_phi.errors import EdgePhiError
from edge_phi.gguf_header import read_gguf_header
from edge_phi.measure.machine import busy_line, engine_version, this_machine
from edge_phi.runtimes import Runtime
from edge_phi.runtimes.llama_cpp import LlamaCppRuntime
from edge_phi.runtimes.native import NativeRuntime, kernels
from edge_phi.runtimes.native.library import load_library
from edge_phi.runtimes.native.weights import aligned_memory
from edge_phi.store import Artifact, find_model

SIZES = (1, 2, 4, 8, 16)
PROMPT_ROUNDS = 3  # a prompt takes seconds
LIMIT_S = 0.5


@dataclass(frozen=True)
class Row:
    """One size of a call on one number of threads; times are medians."""

    threads: int
    tokens: int
    context: int
    native_ms: float
    llama_cpp_ms: float
    ratio: float  # llama.cpp's time to ours
    gb_per_s: float  # weights that ours reads, were each read once
    gmac_per_s: float
    bandwidth_share: float  # of the limit
    compute_share: float


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--model", default="phi-1-nano", help="with a form gguf:q4_0, or a Q4_0 file")
    arguments.add_argument("--context", type=int, default=512, help="tokens before the new ones (default: %(default)s)")
    arguments.add_argument("--rounds", type=int, default=15)
    arguments.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/results", help="folder to write to")
    given = arguments.parse_args()
    machine = this_machine()
    model = find_model(given.model)
    artifact = model.artifacts[0] if given.model.endswith(".gguf") else model.artifact("gguf:q4_0")
    limits, rows = {}, []
    for threads in given.threads:
        limits[threads] = {"gb_per_s": bandwidth(threads), "gmac_per_s": multiplications(threads)}
        rows += compare(artifact, threads, given.context, given.rounds, limits[threads])
    command = shlex.join(["python", "benchmarks/native.py", *sys.argv[1:]])
    document = {
        "command": command,
        "commit": commit(),
        "machine": asdict(machine),
        "kernels": kernels()[0],
        "llama_cpp": engine_version("llama_cpp"),
        "model": {"name": model.name, "bytes": artifact.file_bytes},
        "rounds": given.rounds,
        "limits": limits,
        "rows": [asdict(row) for row in rows],
    }
    text = markdown(rows, limits, command) + (f"\n{busy_line(machine)}\n" if machine.busy else "")
    given.out.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(given.out / "native.json", f"{json.dumps(document, indent=2)}\n".encode())
    atomic.write_bytes(given.out / "native.md", text.encode())
    print(text, end="")


def compare(artifact: Artifact, threads: int, context: int, rounds: int, limit: dict[str, float]) -> list[Row]:
    """Every size, both engines in turn."""
    tensors = read_gguf_header(artifact.path).tensors
    matrices = [t for name, t in tensors.items() if len(t.shape) == 2 and name != "token_embd.weight"]
    weights, nbytes = sum(t.shape[0] * t.shape[1] for t in matrices), sum(t.nbytes for t in matrices)
    native, llama = NativeRuntime(artifact, threads=threads), LlamaCppRuntime(artifact, threads=threads)
    engines: tuple[Runtime, ...] = (native, llama)
    context = min(context, native.info.context_length - max(SIZES))
    tokens = np.random.default_rng(0).integers(0, native.info.vocab_size, context + max(SIZES)).tolist()
    times: dict[tuple[int, int], tuple[list[float], ...]] = defaultdict(lambda: ([], []))
    for number in range(PROMPT_ROUNDS + 1):  # the first warms up, and leaves the context behind
        for index, runtime in enumerate(engines):
            runtime.rewind(0)
            took = timed(runtime, tokens[:context])
            if number:
                times[0, context][index].append(took)
    for number in range(rounds + 1):
        for size in SIZES:
            for index, runtime in enumerate(engines):
                took = timed(runtime, tokens[context : context + size])
                runtime.rewind(context)
                if number:
                    times[context, size][index].append(took)
    for runtime in engines:
        runtime.close()
    rows = []
    for (before, size), (ours, theirs) in sorted(times.items(), key=lambda item: item[0][1]):
        seconds, gb, gmac = median(ours), nbytes / 1e9, size * weights / 1e9
        gb_per_s, gmac_per_s = gb / seconds, gmac / seconds
        rows.append(
            Row(
                threads, size, before, seconds * 1e3, median(theirs) * 1e3, median(theirs) / seconds, gb_per_s,
                gmac_per_s, gb_per_s / limit["gb_per_s"], gmac_per_s / limit["gmac_per_s"],
            )
        )  # fmt: skip
    return rows


def timed(runtime: Runtime, tokens: list[int]) -> float:
    start = time.perf_counter()
    runtime.extend(tokens)
    return time.perf_counter() - start


def bandwidth(threads: int) -> float:
    """GB/s of reading memory that fits no cache."""
    parts = [np.ones(2**26, np.float32) for _ in range(threads)]  # 256 MiB each

    def read(part: np.ndarray) -> None:
        part.max()

    return best(threads, read, parts, sum(part.nbytes for part in parts) / 1e9)


def multiplications(threads: int) -> float:
    """GMAC/s of 16 tokens times a matrix of 4 bits that stays in the cache."""
    rows, columns, tokens, repeat = 128, 2048, 16, 400
    product = load_library().phi_product
    x = np.random.default_rng(0).normal(0, 1, (tokens, columns)).astype(np.float32)
    panels = aligned_memory(rows * columns // 32 * 18, "panels")
    panels[:] = 0

    def multiply(y: np.ndarray) -> None:
        product(b"", panels.ctypes.data, 4, rows, columns, x.ctypes.data, tokens, y.ctypes.data, repeat)

    outputs = [np.empty((tokens, rows), np.float32) for _ in range(threads)]
    return best(threads, multiply, outputs, threads * repeat * tokens * rows * columns / 1e9)


def best(threads: int, work, parts: list[np.ndarray], amount: float) -> float:
    """The highest rate of several runs of `work` on all parts at once."""
    rates = []
    with ThreadPoolExecutor(threads) as pool:
        end = time.perf_counter() + LIMIT_S
        while not rates or time.perf_counter() < end:
            start = time.perf_counter()
            list(pool.map(work, parts))
            rates.append(amount / (time.perf_counter() - start))
    return max(rates)


def markdown(rows: list[Row], limits: dict[int, dict[str, float]], command: str) -> str:
    header = ["threads", "new tokens", "after", "native ms", "llama.cpp ms", "ratio", "GB/s", "of limit", "GMAC/s",
              "of limit"]  # fmt: skip
    lines = [f"| {' | '.join(header)} |", f"|{' ---: |' * len(header)}"]
    lines += [
        f"| {r.threads} | {r.tokens} | {r.context} | {r.native_ms:.2f} | {r.llama_cpp_ms:.2f} | **{r.ratio:.2f}** | "
        f"{r.gb_per_s:.1f} | {r.bandwidth_share:.0%} | {r.gmac_per_s:.0f} | {r.compute_share:.0%} |"
        for r in rows
    ]
    said = "; ".join(
        f"{threads} thread{'s' * (threads > 1)}: {limit['gb_per_s']:.1f} GB/s, {limit['gmac_per_s']:.0f} GMAC/s"
        for threads, limit in limits.items()
    )
    return "\n".join([*lines, "", f"`{command}`. Limits measured in the same run, {said}.", ""])


if __name__ == "__main__":
    try:
        main()
    except EdgePhiError as error:
        sys.exit(f"native.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
