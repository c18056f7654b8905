"""What does the native engine's key-value cache of int8 cost, and what does it give? Against its cache of float16.

Cost: on held-out text, KL divergence of its predictions from those with float16, in nats a token, and how often both
find the same token the likeliest. Beside it the same of llama.cpp (with float16), for scale: what it makes that
another engine rounds in other places. A model of random weights is given the same text.

Gain: bytes of cache, and milliseconds for a few new tokens after contexts of several lengths, the two taking turns;
medians, and their ratio. Writes NAME.json and NAME.md.

    python benchmarks/native_cache.py [--model MODEL] [--windows N] [--contexts N ...] [--rounds N] [--threads N]
                                      [--name NAME] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
from native import calls
from revision import REPOSITORY, command_line, commit

from edge_phi import atomic
from edge_phi.cores import usable_cores
from edge_phi.errors import EdgePhiError
from edge_phi.measure.fidelity import Fidelity, compare_runtimes
from edge_phi.measure.held_out import held_out_windows
from edge_phi.measure.machine import busy_line, this_machine
from edge_phi.runtimes import open_tokenizer
from edge_phi.runtimes.llama_cpp import LlamaCppRuntime
from edge_phi.runtimes.native import NativeRuntime
from edge_phi.store import find_model

KINDS: tuple[Literal["float16", "int8"], ...] = ("float16", "int8")
WINDOW = 512  # tokens
SIZES = (1, 4, 16)


@dataclass(frozen=True)
class Row:
    """So many new tokens after a context; medians."""

    context: int
    tokens: int
    float16_ms: float
    int8_ms: float
    ratio: float  # float16's time to int8's


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--model", default="phi-1-nano", help="with a form gguf:q4_0, or a Q4_0 file")
    arguments.add_argument("--windows", type=int, default=8, help=f"of {WINDOW} tokens (default: %(default)s)")
    arguments.add_argument("--contexts", type=int, nargs="+", default=[512, 2048], help="as far as the model's goes")
    arguments.add_argument("--rounds", type=int, default=9, help="(default: %(default)s)")
    arguments.add_argument("--threads", type=int, default=usable_cores())
    arguments.add_argument("--name", default="native_cache", help="of the files (default: %(default)s)")
    arguments.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/results", help="folder to write to")
    given = arguments.parse_args()
    machine = this_machine()
    model = find_model(given.model)
    artifact = model.artifacts[0] if given.model.endswith(".gguf") else model.artifact("gguf:q4_0")
    engines = {kv: NativeRuntime(artifact, threads=given.threads, kv=kv) for kv in KINDS}
    other = LlamaCppRuntime(artifact, threads=given.threads)
    windows = held_out_windows(open_tokenizer(artifact), WINDOW, given.windows)
    cost = {
        "native, int8": compare_runtimes(engines["int8"], engines["float16"], windows, progress=tell),
        "llama.cpp, float16": compare_runtimes(other, engines["float16"], windows, progress=tell),
    }
    other.close()
    rows = timed_rows(engines, given.contexts, given.rounds)
    token_bytes = {kv: engine.cache_bytes_per_token for kv, engine in engines.items()}
    for engine in engines.values():
        engine.close()
    document: dict[str, Any] = {
        "command": command_line(),
        "commit": commit(),
        "machine": asdict(machine),
        "model": {"name": model.name, "bytes": artifact.file_bytes},
        "threads": given.threads,
        "rounds": given.rounds,
        "cache_bytes_per_token": token_bytes,
        "from_native_float16": {name: asdict(found) for name, found in cost.items()},
        "rows": [asdict(row) for row in rows],
    }
    text = markdown(cost, rows, document) + (f"\n{busy_line(machine)}\n" if machine.busy else "")
    given.out.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(given.out / f"{given.name}.json", f"{json.dumps(document, indent=2)}\n".encode())
    atomic.write_bytes(given.out / f"{given.name}.md", text.encode())
    print(text, end="")


def tell(done: int) -> None:
    print(f"window {done}", file=sys.stderr)


def timed_rows(engines: dict[Literal["float16", "int8"], NativeRuntime], contexts: list[int], rounds: int) -> list[Row]:
    """A row for each context, as far as the model's goes, and each number of new tokens."""
    info = engines["int8"].info
    tokens = np.random.default_rng(0).integers(0, info.vocab_size, info.context_length).tolist()
    for engine in engines.values():
        engine.rewind(0)
    rows = []
    for context in sorted({min(context, info.context_length - max(SIZES)) for context in contexts}):
        for engine in engines.values():
            engine.extend(tokens[engine.length : context])
        for size, times in calls(dict(engines), tokens, context, rounds, SIZES).items():
            ms = {kv: median(times[kv]) * 1e3 for kv in KINDS}
            rows.append(Row(context, size, ms["float16"], ms["int8"], ms["float16"] / ms["int8"]))
    return rows


def markdown(cost: dict[str, Fidelity], rows: list[Row], document: dict[str, Any]) -> str:
    lines = ["| against native, float16 | tokens | KL, mean | KL, 99th percentile | top-1 |", "| --- |" + " ---: |" * 4]
    lines += [
        f"| {name} | {found.positions} | {found.kl_mean:.6f} | {found.kl_p99:.5f} | {found.top1:.4f} |"
        for name, found in cost.items()
    ]
    lines += ["", "| after | new tokens | float16 ms | int8 ms | ratio |", "|" + " ---: |" * 5]
    lines += [
        f"| {row.context} | {row.tokens} | {row.float16_ms:.2f} | {row.int8_ms:.2f} | **{row.ratio:.2f}** |"
        for row in rows
    ]
    before, after = (document["cache_bytes_per_token"][kv] for kv in KINDS)
    notes = (
        f"`{document['command']}`: {document['model']['name']}, {document['model']['bytes'] / 1e6:.0f} MB, "
        f"{document['threads']} threads. A token's keys and values take {before:,.0f} bytes in float16, "
        f"{after:,.0f} in int8, {after / before:.0%}. Ratios are float16's time to int8's, medians of "
        f"{document['rounds']} rounds."
    )
    return "\n".join([*lines, "", notes, ""])


if __name__ == "__main__":
    try:
        main()
    except EdgePhiError as error:
        sys.exit(f"native_cache.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
