"""How long do a few new tokens take in the native engine, and how long in others, on the same weights?

Whole forward passes with logits of the last token, after `--context` tokens; and a prompt of that length from nothing.
The native engine and llama.cpp read the same Q4_0 file; onnxruntime-genai, where a folder that its builder has made
from the same checkpoint is given, has int4 in blocks of 32 too. The engines take turns within every round, with as many
threads, each beginning once the threads of the one before are still; medians, and the ratios of the others' times to
ours. Then some sizes once more beside processes that each keep a core busy, a third of the rounds.

Beside the times, what our passes take of this machine's limits, measured in the same run: reading memory, and
multiplying in 4 by 8 bits with everything in the cache; and what the process computes once the last call is over.
Writes NAME.json and NAME.md, anew after each number of threads.

    python benchmarks/native.py [--model MODEL] [--genai FOLDER] [--kernels KERNELS] [--context N] [--rounds N]
                                [--threads N ...] [--busy N] [--name NAME] [--out FOLDER]

For AVX2 against AVX2, build llama.cpp with -DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON, set
LLAMA_CPP_LIB_PATH to the folder of its libraries, and give --kernels avx2.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import genai
import numpy as np
from revision import REPOSITORY, command_line, commit

from edge_phi import atomic
from edge_phi.errors import EdgePhiError
from edge_phi.gguf_header import read_gguf_header
from edge_phi.measure.machine import busy_line, engine_version, this_machine
from edge_phi.runtimes.llama_cpp import LlamaCppRuntime, load_llama_cpp
from edge_phi.runtimes.native import NativeRuntime, kernels
from edge_phi.runtimes.native.library import load_library
from edge_phi.runtimes.native.weights import aligned_memory
from edge_phi.store import Artifact, find_model

SIZES = (1, 2, 4, 8, 16)
BUSY_SIZES = (1, 4, 16)  # there an engine may take seconds for a token
PROMPT_ROUNDS = 2  # a prompt takes seconds
WARM_UP = 32  # tokens
TURN_S, PROMPT_TURN_S = 0.01, 0.1  # of an engine: short calls are repeated, and their median counts once
STILL_S, STILL_SHARE = 0.003, 0.1  # threads are still when the process took less than this share of that time
STILL_TRIES = 100
IDLE_S = (0.05, 0.5)  # after the last call: when to look at the processor's time, and for how long
LIMIT_S = 0.5


@dataclass(frozen=True)
class Row:
    """One size of a call on one number of threads; times are medians."""

    busy: int  # processes beside it
    threads: int
    tokens: int
    context: int
    native_ms: float
    llama_cpp_ms: float
    ratio: float  # llama.cpp's time to ours
    genai_ms: float | None
    genai_ratio: float | None
    gb_per_s: float  # weights that ours reads, were each read once
    gmac_per_s: float
    bandwidth_share: float  # of the limit
    compute_share: float


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--model", default="phi-1-nano", help="with a form gguf:q4_0, or a Q4_0 file")
    arguments.add_argument("--genai", type=Path, help="a folder of onnxruntime-genai's builder")
    arguments.add_argument("--kernels", default="", help="of the native engine (default: the fastest)")
    arguments.add_argument("--context", type=int, default=512, help="tokens before the new ones (default: %(default)s)")
    arguments.add_argument("--rounds", type=int, default=9, help="(default: %(default)s)")
    arguments.add_argument("--threads", type=int, nargs="+", default=[2, 1])
    arguments.add_argument("--busy", type=int, default=2, help="processes beside the last rows (default: %(default)s)")
    arguments.add_argument("--name", default="native", help="of the files (default: %(default)s)")
    arguments.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/results", help="folder to write to")
    given = arguments.parse_args()
    machine = this_machine()
    model = find_model(given.model)
    artifact = model.artifacts[0] if given.model.endswith(".gguf") else model.artifact("gguf:q4_0")
    document: dict[str, Any] = {
        "command": command_line(),
        "commit": commit(),
        "machine": asdict(machine),
        "kernels": given.kernels or kernels()[0],
        "llama_cpp": engine_version("llama_cpp"),
        "llama_cpp_libraries": "of its own build" if "LLAMA_CPP_LIB_PATH" in os.environ else "as installed",
        "llama_cpp_computes_with": load_llama_cpp().llama_print_system_info().decode().strip(),
        "genai": version("onnxruntime-genai") if given.genai else None,
        "model": {"name": model.name, "bytes": artifact.file_bytes},
        "rounds": given.rounds,
    }
    limits: dict[int, dict[str, float]] = {}
    rows: list[Row] = []
    idle: dict[int, float] = {}
    for threads in given.threads:
        limits[threads] = {"gb_per_s": bandwidth(threads), "gmac_per_s": multiplications(threads, given.kernels)}
        engines = opened(artifact, threads, given.kernels, given.genai)
        length = engines["native"].info.context_length
        tokens = np.random.default_rng(0).integers(0, engines["native"].info.vocab_size, length).tolist()
        context = min(given.context, length - max(SIZES))
        times = {context: prompts(engines, tokens[:context])}
        times |= calls(engines, tokens, context, given.rounds, SIZES)
        rows += rows_of(artifact, times, 0, threads, context, limits[threads])
        idle[threads] = idle_share(engines["native"])
        if given.busy and threads == given.threads[0]:
            with busy_processes(given.busy):
                times = calls(engines, tokens, context, -(-given.rounds // 3), BUSY_SIZES)
            rows += rows_of(artifact, times, given.busy, threads, context, limits[threads])
        for engine in engines.values():
            engine.close()
        document |= {"limits": limits, "idle_cpu_share": idle, "rows": [asdict(row) for row in rows]}
        text = markdown(rows, limits, idle, document) + (f"\n{busy_line(machine)}\n" if machine.busy else "")
        given.out.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(given.out / f"{given.name}.json", f"{json.dumps(document, indent=2)}\n".encode())
        atomic.write_bytes(given.out / f"{given.name}.md", text.encode())
        if threads != given.threads[-1]:
            print(text, file=sys.stderr)
    print(text, end="")


class Genai:
    """As much of a runtime as timing takes, over onnxruntime-genai."""

    def __init__(self, folder: Path, threads: int, length: int) -> None:
        import onnxruntime_genai as og

        self._model = genai.open_model(folder, threads)
        parameters = og.GeneratorParams(self._model)
        parameters.set_search_options(max_length=length, do_sample=False, batch_size=1)
        self._generator = og.Generator(self._model, parameters)

    def extend(self, tokens: list[int]) -> np.ndarray:
        """Append tokens, and return the last one's logits."""
        self._generator.append_tokens(np.array(tokens, np.int32))
        return self._generator.get_logits()

    def rewind(self, length: int) -> None:
        """Forget all tokens past `length`."""
        self._generator.rewind_to(length)

    def close(self) -> None:
        """Free the model."""
        self._generator = self._model = None


def opened(artifact: Artifact, threads: int, name: str, folder: Path | None) -> dict[str, Any]:
    """The engines that take turns."""
    native = NativeRuntime(artifact, threads=threads, kernels=name)
    engines: dict[str, Any] = {"native": native, "llama_cpp": LlamaCppRuntime(artifact, threads=threads)}
    if folder:
        engines["genai"] = Genai(folder, threads, native.info.context_length)
    return engines


Times = dict[str, list[float]]  # seconds, by engine


def prompts(engines: dict[str, Any], tokens: Sequence[int]) -> Times:
    """A prompt from nothing; it stays in the engines' caches."""
    times: Times = defaultdict(list)
    for number in range(PROMPT_ROUNDS + 1):
        for name, engine in engines.items():
            engine.rewind(0)
            until_still()
            if number == 0:
                engine.extend(tokens[:WARM_UP])
                continue
            took: list[float] = []
            while sum(took) < PROMPT_TURN_S:
                engine.rewind(0)
                took.append(timed(engine, tokens))
            times[name].append(median(took))
    return times


def calls(
    engines: dict[str, Any], tokens: Sequence[int], context: int, rounds: int, sizes: Sequence[int]
) -> dict[int, Times]:
    """Every number of new tokens after the first `context`, the engines in turn."""
    times: dict[int, Times] = {size: defaultdict(list) for size in sizes}
    names = list(engines)
    for number in range(rounds):
        for size in sizes:
            for place in range(len(names)):
                name = names[(number + place) % len(names)]
                until_still()
                took: list[float] = []
                while sum(took) < TURN_S:
                    took.append(timed(engines[name], tokens[context : context + size]))
                    engines[name].rewind(context)
                times[size][name].append(median(took))
    return times


def rows_of(
    artifact: Artifact, times: dict[int, Times], busy: int, threads: int, context: int, limit: dict[str, float]
) -> list[Row]:
    """Medians, ratios and rates."""
    tensors = read_gguf_header(artifact.path).tensors
    matrices = [t for name, t in tensors.items() if len(t.shape) == 2 and name != "token_embd.weight"]
    weights, nbytes = sum(t.shape[0] * t.shape[1] for t in matrices), sum(t.nbytes for t in matrices)
    rows = []
    for size, took in sorted(times.items()):
        ms = {name: median(seconds) * 1e3 for name, seconds in took.items()}
        seconds, theirs = ms["native"] / 1e3, ms.get("genai")
        gb_per_s, gmac_per_s = nbytes / 1e9 / seconds, size * weights / 1e9 / seconds
        rows.append(
            Row(
                busy, threads, size, context if size < context else 0, ms["native"], ms["llama_cpp"],
                ms["llama_cpp"] / ms["native"], theirs, theirs and theirs / ms["native"], gb_per_s, gmac_per_s,
                gb_per_s / limit["gb_per_s"], gmac_per_s / limit["gmac_per_s"],
            )
        )  # fmt: skip
    return rows


@contextlib.contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Processes that compute for as long as the block lasts."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def until_still() -> None:
    """Wait for the threads of the engine before, which look for more work for up to some 30 ms."""
    for _ in range(STILL_TRIES):
        start = time.process_time()
        time.sleep(STILL_S)
        if time.process_time() - start < STILL_SHARE * STILL_S:
            return


def idle_share(runtime: NativeRuntime) -> float:
    """Of one core, what the whole process uses soon after a call; this thread sleeps."""
    until_still()
    length = runtime.length
    runtime.extend([0] * 8)
    time.sleep(IDLE_S[0])
    start = time.process_time()
    time.sleep(IDLE_S[1])
    share = (time.process_time() - start) / IDLE_S[1]
    runtime.rewind(length)
    return share


def timed(runtime: Any, tokens: Sequence[int]) -> float:
    start = time.perf_counter()
    runtime.extend(tokens)
    return time.perf_counter() - start


def bandwidth(threads: int) -> float:
    """GB/s of reading memory that fits no cache."""
    parts = [np.ones(2**26, np.float32) for _ in range(threads)]  # 256 MiB each

    def read(part: np.ndarray) -> None:
        part.max()

    return best(threads, read, parts, sum(part.nbytes for part in parts) / 1e9)


def multiplications(threads: int, name: str) -> float:
    """GMAC/s of 16 tokens times a matrix of 4 bits that stays in the cache."""
    rows, columns, tokens, repeat = 128, 2048, 16, 400
    product = load_library().phi_product
    x = np.random.default_rng(0).normal(0, 1, (tokens, columns)).astype(np.float32)
    panels = aligned_memory(rows * columns // 32 * 18, "panels")
    panels[:] = 0

    def multiply(y: np.ndarray) -> None:
        product(name.encode(), panels.ctypes.data, 4, rows, columns, x.ctypes.data, tokens, y.ctypes.data, repeat)

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


def markdown(
    rows: list[Row], limits: dict[int, dict[str, float]], idle: dict[int, float], document: dict[str, Any]
) -> str:
    header = ["busy beside", "threads", "new tokens", "after", "native ms", "llama.cpp ms", "ratio", "genai ms",
              "ratio", "GB/s", "of limit", "GMAC/s", "of limit"]  # fmt: skip
    lines = [f"| {' | '.join(header)} |", f"|{' ---: |' * len(header)}"]
    lines += [
        f"| {r.busy} | {r.threads} | {r.tokens} | {r.context} | {r.native_ms:.2f} | "
        f"{r.llama_cpp_ms:.2f} | **{r.ratio:.2f}** | "
        + (f"{r.genai_ms:.2f} | **{r.genai_ratio:.2f}** | " if r.genai_ms and r.genai_ratio else "| | ")
        + f"{r.gb_per_s:.1f} | {r.bandwidth_share:.0%} | {r.gmac_per_s:.0f} | {r.compute_share:.0%} |"
        for r in rows
    ]
    said = "; ".join(
        f"{threads} thread{'s' * (threads > 1)}: {limit['gb_per_s']:.1f} GB/s, {limit['gmac_per_s']:.0f} GMAC/s"
        for threads, limit in limits.items()
    )
    after = "; ".join(f"{share:.1%} on {threads}" for threads, share in idle.items())
    notes = [
        f"`{document['command']}`: {document['model']['name']}, {document['model']['bytes'] / 1e6:.0f} MB, our kernels "
        f"{document['kernels']}. Ratios are others' times to ours, medians of {document['rounds']} rounds.",
        f"Limits measured in the same run: {said}. From {IDLE_S[0] * 1e3:.0f} ms after the last call on, share of a "
        f"core that is used: {after}.",
        f"llama.cpp: {document['llama_cpp_computes_with']}",
    ]
    return "\n".join([*lines, "", *notes, ""])


if __name__ == "__main__":
    try:
        main()
    except EdgePhiError as error:
        sys.exit(f"native.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
