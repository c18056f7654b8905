"""How close, how small and how fast is what `edge-phi convert` makes, beside what the field's own tools make?

Same checkpoint, one run. In steps, each of a few minutes, of which --steps names some, with commas:

fidelity        The KL divergence of each form of a trained model from full precision, over code and prose that it
                was neither trained nor calibrated on: llama.cpp's quantizer as it is (`llama-quantize` without
                options), the model builder of onnxruntime-genai, and edge-phi; with --quantize-aware, also the model
                finetuned for the grid, against the original.
decoding        Decoding int4 in ONNX Runtime: edge-phi's folder in its own runtime, the builder's in onnxruntime-genai,
                with the same number of threads, each in a process of its own, in turns.
large-gguf      A checkpoint of phi-1's size in float16, given with --large: time and peak of resident memory (VmHWM) of
                llama-quantize, F16 GGUF to Q4_K_M, and of edge-phi, checkpoint to Q4_K_M, rounded plainly as well;
                files that are only read are included where they are mapped.
large-onnx      The same of edge-phi and of the builder, checkpoint to ONNX int4; once each.
large-decoding  As decoding.

What a step has found replaces its part of convert_peers.json; all is then written to convert_peers.md and printed.
Files that are made stay in --work, and those that are there are measured as they are. Needs onnxruntime-genai==0.12.2
and onnx_ir.

    python benchmarks/convert_peers.py [--steps STEPS] [--model MODEL] [--quantize-aware FOLDER] [--large FOLDER]
                                       [--rounds N] [--work FOLDER] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import genai
import numpy as np
import numpy.typing as npt
from revision import REPOSITORY, command_line, commit

from edge_phi import atomic
from edge_phi.cores import usable_cores
from edge_phi.measure.fidelity import compare_runtimes, fidelity
from edge_phi.measure.held_out import held_out_windows
from edge_phi.measure.machine import this_machine
from edge_phi.runtimes import RuntimeInfo, open_runtime
from edge_phi.store import Artifact, find_model, load_tokenizer_for

WINDOW, WINDOWS = 512, 32  # 16,352 positions, half of them code
FILE_TYPES = {"f16": 1, "q4_0": 2, "q4_k_m": 15}
PROMPT, NEW = 128, 64  # tokens, of decoding
PACKAGES = ("onnxruntime", "onnxruntime-genai", "llama-cpp-python", "gguf", "numpy")


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--steps", default="fidelity,decoding", help="(default: %(default)s)")
    arguments.add_argument("--model", default="phi-1-nano", help="(default: %(default)s)")
    arguments.add_argument("--quantize-aware", type=Path, help="a checkpoint finetuned from it for the grid")
    arguments.add_argument("--large", type=Path, help="a checkpoint of phi-1's size")
    arguments.add_argument("--rounds", type=int, default=5, help="turns of each timing (default: %(default)s)")
    arguments.add_argument("--work", type=Path, default=REPOSITORY / "runs/convert-peers", help="for what is made")
    arguments.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/results", help="folder to write to")
    arguments.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    os.environ["EDGE_PHI_GGUF_ENGINE"] = "llama_cpp"  # files are compared, in the engine that all of them are for
    if given.child:
        CHILDREN[given.child[0]](*given.child[1:])
        return
    small, large = given.work / "small", given.work / "large"
    steps: dict[str, Callable[[], Any]] = {
        "fidelity": lambda: fidelities(given.model, given.quantize_aware, given.work / "fidelity"),
        "decoding": lambda: decoding(find_model(given.model).folder, small, given.rounds),
        "large-gguf": lambda: to_gguf(given.large, large, given.rounds),
        "large-onnx": lambda: to_onnx(given.large, large),
        "large-decoding": lambda: decoding(given.large, large, given.rounds),
    }
    wanted = given.steps.split(",")
    for name in wanted:
        if name not in steps:
            arguments.error(f"--steps: there is no {name!r}: choose from {', '.join(steps)}")
        if name.startswith("large-") and not given.large:
            arguments.error(f"{name} needs --large")
    given.out.mkdir(parents=True, exist_ok=True)
    for name in wanted:
        result = steps[name]()
        document = read_document(given.out)
        document[name] = {
            "command": command_line(),
            "commit": commit(),
            "machine": asdict(this_machine()),
            "versions": {package: importlib.metadata.version(package) for package in PACKAGES},
            "result": result,
        }
        document = {step: document[step] for step in steps if step in document}
        atomic.write_bytes(given.out / "convert_peers.json", f"{json.dumps(document, indent=2)}\n".encode())
        atomic.write_bytes(given.out / "convert_peers.md", markdown(document).encode())
    print(markdown(document), end="")


def read_document(folder: Path) -> dict[str, Any]:
    """What earlier runs have found, by step."""
    path = folder / "convert_peers.json"
    document: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    return document


def fidelities(name: str, aware: Path | None, folder: Path) -> list[dict[str, Any]]:
    """Every form by every tool, against full precision in ONNX Runtime."""
    model = find_model(name)
    baseline = model.artifact("onnx:float32")
    windows = held_out_windows(load_tokenizer_for(baseline), WINDOW, WINDOWS)
    rows = []
    shutil.rmtree(folder, ignore_errors=True)

    def add(tool: str, form: str, artifact: Artifact) -> None:
        note(f"fidelity: {tool} {form}")
        found = asdict(fidelity(artifact, baseline, windows))
        rows.append({"tool": tool, "form": form, "file_bytes": artifact.file_bytes, **found})

    plain = folder / "plain"
    plain.mkdir(parents=True)
    convert(model.folder, "gguf:f32", folder)
    source = folder / f"{model.name}.f32.gguf"
    for quant in ("q4_0", "q4_k_m"):
        theirs = plain / f"{model.name}.{quant}.gguf"
        llama_quantize(source, theirs, quant)
        add("llama-quantize", f"gguf:{quant}", find_model(theirs).artifact())
        convert(model.folder, f"gguf:{quant}", folder)
        add("edge-phi", f"gguf:{quant}", find_model(folder / f"{model.name}.{quant}.gguf").artifact())
    convert(model.folder, "onnx:int4", folder)
    ours = Artifact(name, "onnx", "int4", folder / "onnx-int4", folder / "onnx-int4")
    add("edge-phi", "onnx:int4", ours)
    convert(model.folder, "onnx:int4", plain, "--calibration", "none")
    add("edge-phi, plain", "onnx:int4", Artifact(name, "onnx", "int4", plain / "onnx-int4", plain / "onnx-int4"))
    built = folder / "genai"
    genai.build(model.folder, built)
    full = open_runtime(baseline)
    note("fidelity: onnxruntime-genai onnx:int4")
    found = asdict(compare_runtimes(GenaiRuntime(built, full.info), full, windows))
    full.close()
    rows.append({"tool": "onnxruntime-genai", "form": "onnx:int4", "file_bytes": onnx_bytes(built), **found})
    if aware:
        finetuned = folder / "aware"
        convert(aware, "gguf:q4_0", finetuned)
        (path,) = finetuned.glob("*.q4_0.gguf")
        add("finetuned, then edge-phi", "gguf:q4_0", find_model(path).artifact())
        convert(aware, "onnx:int4", finetuned)
        path = finetuned / "onnx-int4"
        add("finetuned, then edge-phi", "onnx:int4", Artifact("aware", "onnx", "int4", path, path))
    return rows


class GenaiRuntime:
    """As much of a runtime as comparing takes, over onnxruntime-genai; reads a text in the pieces it is given."""

    def __init__(self, folder: Path, like: RuntimeInfo) -> None:
        self.info = RuntimeInfo(
            "onnxruntime-genai", "int4", onnx_bytes(folder), like.vocab_size, like.context_length, like.threads
        )
        self._model = genai.open_model(folder, like.threads)
        self._tokens: list[int] = []

    @property
    def length(self) -> int:
        return len(self._tokens)

    def extend(
        self, tokens: Sequence[int], *, all_logits: bool = False, cancel: threading.Event | None = None
    ) -> npt.NDArray[np.float32]:
        self._tokens += tokens
        return genai.logits(self._model, self._tokens)[-len(tokens) :]

    def rewind(self, length: int) -> None:
        del self._tokens[length:]

    def close(self) -> None:
        del self._model


def decoding(checkpoint: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """Tokens a second and milliseconds to the first of both, for one thread and for all, medians over the rounds."""
    threads = sorted({1, usable_cores()})
    sides = {"edge-phi": folder / "onnx-int4", "onnxruntime-genai": folder / "genai"}
    if not sides["edge-phi"].exists():
        convert(checkpoint, "onnx:int4", folder, "--calibration", "none")  # the same graph, made sooner
    if not sides["onnxruntime-genai"].exists():
        genai.build(checkpoint, sides["onnxruntime-genai"])
    result: dict[str, Any] = {"file_bytes": {name: onnx_bytes(path) for name, path in sides.items()}}
    for count in threads:
        workers = {name: Worker(name, path, count) for name, path in sides.items()}
        runs: dict[str, list[list[float]]] = {name: [] for name in sides}
        for turn in range(rounds):
            for name in list(sides) if turn % 2 else list(sides)[::-1]:
                runs[name].append(workers[name].run())
                note(f"decoding, {count} threads: {name} {runs[name][-1][1]:.1f} tokens/s")
        for worker in workers.values():
            worker.close()
        medians = {
            name: [statistics.median(column) for column in zip(*each, strict=True)] for name, each in runs.items()
        }
        result[f"{count} threads"] = {
            "runs": runs,
            "first_token_ms": {name: each[0] for name, each in medians.items()},
            "tokens_per_s": {name: each[1] for name, each in medians.items()},
            "times_genai": medians["edge-phi"][1] / medians["onnxruntime-genai"][1],
        }
    return result


class Worker:
    """A loaded model in a process of its own, which measures when it is told to."""

    def __init__(self, name: str, folder: Path, threads: int) -> None:
        command = [sys.executable, __file__, "--child", "decode", name, str(folder), str(threads)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.run()  # the first one warms up

    def run(self) -> list[float]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        figures: list[float] = json.loads(self._process.stdout.readline())
        return figures

    def close(self) -> None:
        self._process.communicate()


def decode_child(name: str, folder: str, threads: str) -> None:
    path = Path(folder)
    prompt = np.random.default_rng(0).integers(1, 8000, PROMPT).tolist()
    if name == "edge-phi":
        runtime = open_runtime(Artifact(name, "onnx", "int4", path, path), threads=int(threads))
    else:
        model = genai.open_model(path, int(threads))
    for _ in sys.stdin:
        if name != "edge-phi":
            print(json.dumps(genai.decode(model, prompt, NEW)), flush=True)
            continue
        runtime.rewind(0)
        start = time.perf_counter()
        token = int(runtime.extend(prompt)[0].argmax())
        first = time.perf_counter()
        for _ in range(NEW):
            token = int(runtime.extend([token])[0].argmax())
        print(json.dumps([(first - start) * 1e3, NEW / (time.perf_counter() - first)]), flush=True)


def to_gguf(checkpoint: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """Seconds and peak memory of two ways to a Q4_K_M file, in turns; both round plainly, to the same bytes."""
    source = folder / f"{checkpoint.resolve().name}.f16.gguf"
    if not source.exists():
        convert(checkpoint, "gguf:f16", folder)
    theirs, ours = folder / "theirs.q4_k_m.gguf", folder / f"{checkpoint.resolve().name}.q4_k_m.gguf"
    ways = {
        "llama-quantize, F16 GGUF -> Q4_K_M": ["quantize", str(source), str(theirs), "q4_k_m"],
        "edge-phi, checkpoint -> Q4_K_M, plain": ["convert", str(checkpoint), "gguf:q4_k_m", str(folder), "none"],
    }
    return in_turns(ways, rounds) | {"file_bytes": {"theirs": theirs.stat().st_size, "ours": ours.stat().st_size}}


def to_onnx(checkpoint: Path, folder: Path) -> dict[str, Any]:
    """Seconds and peak memory of two ways to an int4 folder, once each; the folders are left for `decoding`."""
    shutil.rmtree(folder / "genai", ignore_errors=True)
    ways = {
        "edge-phi, checkpoint -> ONNX int4, plain": ["convert", str(checkpoint), "onnx:int4", str(folder), "none"],
        "onnxruntime-genai's builder, checkpoint -> int4": ["build", str(checkpoint), str(folder / "genai")],
    }
    return in_turns(ways, 1)


def in_turns(ways: dict[str, list[str]], rounds: int) -> dict[str, Any]:
    """What `in_child` finds of each, medians of the seconds over the rounds."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name in list(ways) if turn % 2 else list(ways)[::-1]:
            runs[name].append(in_child(ways[name]))
            note(f"{name}: {runs[name][-1]['seconds']:.1f} s")
    return {
        "ways": {
            name: {
                "seconds": [run["seconds"] for run in each],
                "median_seconds": statistics.median(run["seconds"] for run in each),
                "peak_rss_bytes": max(run["peak_rss_bytes"] for run in each),
                "peak_anonymous_bytes": max(run["peak_anonymous_bytes"] for run in each),
            }
            for name, each in runs.items()
        }
    }


def in_child(way: Sequence[str]) -> dict[str, float]:
    """Run one of CHILDREN in a process of its own: seconds, and its peak of memory."""
    start = time.perf_counter()
    child = subprocess.Popen([sys.executable, __file__, "--child", *way], stdout=subprocess.PIPE, text=True)
    anonymous = 0
    while child.poll() is None:
        anonymous = max(anonymous, status_bytes(child.pid, "RssAnon"))
        time.sleep(0.05)
    said = child.stdout.read() if child.stdout else ""
    if child.returncode:
        raise SystemExit(f"{shlex.join(way)} failed")
    return {
        "seconds": time.perf_counter() - start,
        "peak_rss_bytes": json.loads(said.splitlines()[-1])["peak_rss_bytes"],
        "peak_anonymous_bytes": anonymous,
    }


def status_bytes(process: int | str, field: str) -> int:
    try:
        found = re.search(rf"{field}:\s*(\d+) kB", Path(f"/proc/{process}/status").read_text(encoding="utf-8"))
    except OSError:
        return 0
    return 1024 * int(found[1]) if found else 0


def quantize_child(source: str, target: str, quant: str) -> None:
    import ctypes

    import llama_cpp

    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype, parameters.nthread = FILE_TYPES[quant], usable_cores()
    if llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(parameters)):
        raise SystemExit("llama.cpp's quantizer failed")
    report()


def convert_child(checkpoint: str, form: str, folder: str, calibration: str) -> None:
    from edge_phi.cli import main as edge_phi

    options = ["--calibration", calibration] if calibration else []
    if edge_phi(["convert", checkpoint, "--to", form, "--out", folder, *options]):
        raise SystemExit(1)
    report()


def build_child(checkpoint: str, out: str) -> None:
    from onnxruntime_genai.models import builder

    builder.create_model(None, checkpoint, out, "int4", "cpu", f"{out}.cache")
    report()


def report() -> None:
    print(f"\n{json.dumps({'peak_rss_bytes': status_bytes('self', 'VmHWM')})}", flush=True)


CHILDREN = {"decode": decode_child, "quantize": quantize_child, "convert": convert_child, "build": build_child}


def convert(checkpoint: Path, form: str, folder: Path, *options: str) -> None:
    command = ["-m", "edge_phi", "convert", str(checkpoint), "--to", form, "--out", str(folder), *options]
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)


def llama_quantize(source: Path, target: Path, quant: str) -> None:
    command = [sys.executable, __file__, "--child", "quantize", str(source), str(target), quant]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def onnx_bytes(folder: Path) -> int:
    """The graph and its weights."""
    return sum(file.stat().st_size for file in folder.rglob("*") if ".onnx" in file.name)


def note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def markdown(document: dict[str, Any]) -> str:
    """What every step has found, and how it was started."""
    lines: list[str] = []
    for step, found in document.items():
        result, machine = found["result"], found["machine"]
        lines += {"fidelity": of_fidelity, "decoding": of_decoding, "large-decoding": of_decoding}.get(
            step, of_conversion
        )(result)
        lines += [
            "",
            f"`{found['command']}` at {found['commit']}, on {machine['cores']} cores of {machine['cpu']}.",
            "",
        ]
    return "\n".join(lines)


def of_fidelity(rows: list[dict[str, Any]]) -> list[str]:
    plain = {row["form"]: row["kl_mean"] for row in rows if row["tool"] in ("llama-quantize", "onnxruntime-genai")}
    lines = [
        "| form | made by | MB | perplexity | KL mean | of the field's | KL p99 | top-1 |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in sorted(rows, key=lambda row: row["form"]):
        lines.append(
            f"| {row['form']} | {row['tool']} | {row['file_bytes'] / 1e6:.2f} | {row['perplexity']:.2f} | "
            f"{row['kl_mean']:.5f} | {row['kl_mean'] / plain[row['form']]:.2f} | {row['kl_p99']:.4f} | "
            f"{row['top1']:.3f} |"
        )
    exact = rows[0]["baseline_perplexity"]
    return [*lines, "", f"{rows[0]['positions']:,} positions; full precision has a perplexity of {exact:.2f}."]


def of_decoding(result: dict[str, Any]) -> list[str]:
    lines = [
        "| int4 in ONNX Runtime, threads | edge-phi, tokens/s | genai, tokens/s | ratio | MB | genai's MB | ratio |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    ours, theirs = (result["file_bytes"][side] for side in ("edge-phi", "onnxruntime-genai"))
    for threads in [key for key in result if key.endswith(" threads")]:
        speed = result[threads]["tokens_per_s"]
        lines.append(
            f"| {threads.partition(' ')[0]} | {speed['edge-phi']:.1f} | {speed['onnxruntime-genai']:.1f} | "
            f"{result[threads]['times_genai']:.2f} | {ours / 1e6:.1f} | {theirs / 1e6:.1f} | {ours / theirs:.2f} |"
        )
    return lines


def of_conversion(result: dict[str, Any]) -> list[str]:
    lines = ["| conversion | seconds | peak RSS, GB | of it not mapped, GB |", "|---|---:|---:|---:|"]
    for name, found in result["ways"].items():
        lines.append(
            f"| {name} | {found['median_seconds']:.1f} | {found['peak_rss_bytes'] / 1e9:.2f} | "
            f"{found['peak_anonymous_bytes'] / 1e9:.2f} |"
        )
    return lines


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
