"""How much sooner are the samples for pass@k written in batches than one by one?

The checkpoint's float32 through PyTorch both ways, on the GPU if PyTorch sees one for the batches, and the form that
`edge-phi eval` takes by default one by one; the same prompts, settings and seeds; interleaved rounds, medians.

    python benchmarks/eval_generation.py [--model MODEL] [--problems N] [--samples N] [--batch N,N] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import time
from dataclasses import asdict
from pathlib import Path

from engines import REPOSITORY, commit

from edge_phi import atomic
from edge_phi.completion.decode import DecodeSettings
from edge_phi.cores import usable_cores
from edge_phi.errors import EdgePhiError
from edge_phi.evaluate.benchmarks import load_benchmark
from edge_phi.evaluate.generate import Ask
from edge_phi.evaluate.model_run import ModelWriter
from edge_phi.evaluate.prompts import prompt_text
from edge_phi.measure.machine import this_machine
from edge_phi.store import DEFAULT_MODEL, find_model

BASE = "torch:float32, one by one"


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--model", default=DEFAULT_MODEL, help="a model's name or folder (default: %(default)s)")
    arguments.add_argument("--problems", type=int, default=8, help="of HumanEval, the first (default: %(default)s)")
    arguments.add_argument("--samples", type=int, default=8, help="of each (default: %(default)s)")
    arguments.add_argument("--batch", default="8,32", help="batch sizes (default: %(default)s)")
    arguments.add_argument("--max-tokens", type=int, default=64)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/results", help="folder to write to")
    given = arguments.parse_args()
    command = shlex.join(["python", "benchmarks/eval_generation.py", *sys.argv[1:]])

    benchmark = load_benchmark("humaneval")
    asks = [
        Ask(problem.task_id, sample, prompt_text(problem.prompt, "stripped"))
        for problem in benchmark.problems[: given.problems]
        for sample in range(given.samples)
    ]
    settings = DecodeSettings(max_tokens=given.max_tokens, temperature=0.8, top_p=0.95)
    model = find_model(given.model)
    threads = usable_cores()
    default = model.artifact()
    writers = {BASE: ModelWriter(model.artifact("torch:float32"), settings, threads=threads)}
    for batch in map(int, given.batch.split(",")):
        artifact = model.artifact("torch:float32")
        writers[f"torch:float32, {batch} at a time"] = ModelWriter(artifact, settings, threads=threads, batch=batch)
    if default.format != "safetensors":
        writers[f"{default.name}, one by one"] = ModelWriter(default, settings, threads=threads)

    seconds: dict[str, list[float]] = {name: [] for name in writers}
    tokens: dict[str, int] = {}
    for round_ in range(given.rounds + 1):
        for name, writer in writers.items():
            start = time.perf_counter()
            # The first round warms up: it loads the models.
            found = list(writer.write(asks if round_ else asks[:2], benchmark.published_stops))
            if round_:
                seconds[name].append(time.perf_counter() - start)
                tokens[name] = sum(record["tokens"] for record in found)
            print(f"round {round_}, {name}: {time.perf_counter() - start:.1f} s", file=sys.stderr)
    rates = {name: tokens[name] / statistics.median(seconds[name]) for name in writers}
    document = {
        "command": command,
        "commit": commit(),
        "model": model.name,
        "machine": asdict(this_machine()),
        "threads": threads,
        "problems": given.problems,
        "samples": given.samples,
        "max_tokens": given.max_tokens,
        "seconds": seconds,
        "tokens": tokens,
        "tokens_per_s": rates,
        "ratio_to_one_by_one": {name: rate / rates[BASE] for name, rate in rates.items()},
    }
    table = ["| | tokens/s | ratio | tokens |", "|---|---:|---:|---:|"]
    table += [f"| {name} | {rate:.0f} | {rate / rates[BASE]:.2f}x | {tokens[name]} |" for name, rate in rates.items()]
    text = "\n".join(
        [
            *table,
            "",
            f"`{command}`: {model.name}, {given.samples} samples of {given.problems} problems at temperature 0.8, up "
            f"to {given.max_tokens} tokens each, {threads} threads; medians of {given.rounds} interleaved rounds.",
            "",
        ]
    )
    given.out.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(given.out / "eval_generation.json", f"{json.dumps(document, indent=2)}\n".encode())
    atomic.write_bytes(given.out / "eval_generation.md", text.encode())
    print(text, end="")


if __name__ == "__main__":
    try:
        main()
    except EdgePhiError as error:
        sys.exit(f"eval_generation.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
