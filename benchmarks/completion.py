"""What completion costs beside speed: how soon a cancelled one stops, how long `edge-phi complete` takes to begin, and
whether memory grows.

- cancel: in every engine that the model has a form for, from `Worker.cancel` until the process's CPU time is flat,
  while a long prompt is read and while text is written; and what it then takes of a core, beside what looking takes.
  The threads that others have a use for are free from then on.
- cold: from the start of `edge-phi complete` to its first byte, for the default form and for onnx:int4, beside a Python
  that only imports numpy and onnxruntime and loads the same weights in the same engine; and what `import edge_phi` adds
  to a bare Python. Commands take turns.
- memory: of every engine in a process of its own, resident memory over many suggestions at places drawn from this
  project's files, its slope over the second half, and the peak beside the file, a KV cache of the whole context, and
  120 MB.

    python benchmarks/completion.py [cancel] [cold] [memory] [--model MODEL] [--quant QUANT] [--rounds N]
                                    [--suggestions N]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import queue
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from statistics import median

import numpy as np
from revision import REPOSITORY, command_line, commit

from edge_phi import atomic, engines
from edge_phi.checkpoint import PhiConfig, read_config
from edge_phi.completion.session import Session, open_session
from edge_phi.completion.worker import Event, Finished, LoadFailed, Stopped, Worker
from edge_phi.cores import usable_cores
from edge_phi.errors import EdgePhiError
from edge_phi.gguf_header import read_gguf_header
from edge_phi.gguf_model import read_config as read_gguf_config
from edge_phi.measure.machine import busy_line, this_machine
from edge_phi.measure.memory import peak_resident_bytes, resident_bytes
from edge_phi.store import Artifact, Model, find_model

_FORMS = ("gguf:q4_0", "onnx:int4", "torch:float32")  # one for each engine
_WATCHED_S = 0.15  # after cancelling
_LEFT_S = 0.0005  # of processor time still to be used, when it counts as idle
_SOON_S = 0.02  # after cancelling, when it should be idle
_BASE = {
    "onnx": "s = o.SessionOptions(); s.intra_op_num_threads = int(sys.argv[2])\n"
    "o.InferenceSession(sys.argv[1], s, providers=['CPUExecutionProvider'])",
    "native": "from pathlib import Path\nfrom edge_phi.runtimes.native import NativeRuntime\n"
    "from edge_phi.store import Artifact\npath = Path(sys.argv[1])\n"
    "NativeRuntime(Artifact('x', 'gguf', 'q4_0', path, path.parent), threads=int(sys.argv[2]))",
}


class Desk:
    """A worker that is asked one thing at a time."""

    def __init__(self, artifact: Artifact, *, ahead: bool) -> None:
        self.events: queue.Queue[Event] = queue.Queue()
        self.worker = Worker(lambda: calibrated(artifact), self.events.put, "x", ahead=ahead)
        self.worker.start()
        loaded = self.events.get()
        if isinstance(loaded, LoadFailed):
            raise EdgePhiError(loaded.line)

    def complete(self, ticket: int, before: str, after: str) -> Finished:
        self.worker.request(ticket, before, after)
        while not isinstance(event := self.events.get(), Finished):
            if isinstance(event, Stopped) and event.line:
                raise EdgePhiError(event.line)
        return event


def calibrated(artifact: Artifact) -> Session:
    """A session that has had its idle time."""
    session = open_session(artifact.path, quant=artifact.name)
    session.use_idle_time(threading.Event())
    return session


def sources() -> list[str]:
    """This project's files."""
    paths = sorted(path for room in ("edge_phi", "train", "convert") for path in (REPOSITORY / room).rglob("*.py"))
    return [text for path in paths if len(text := path.read_text(encoding="utf-8")) > 2000]


def every_engine(model: Model, quant: str | None) -> Iterator[tuple[str, Artifact]]:
    """The engines, each with a form of the model, while the environment asks for it; of one form only if `quant` is."""
    forms = [model.artifact(quant)] if quant else [form for form in model.artifacts if form.name in _FORMS]
    for artifact in forms or model.artifacts[:1]:
        for engine in ("native", "llama_cpp") if artifact.format == "gguf" else (artifact.engine,):
            os.environ[engines.VARIABLE] = engine if artifact.format == "gguf" else ""
            yield engine, artifact
    os.environ[engines.VARIABLE] = ""


def cancel(model: Model, quant: str | None, rounds: int) -> dict[str, object]:
    """`cancel_in` for every engine."""
    results: dict[str, object] = {}
    for engine, artifact in every_engine(model, quant):
        print(f"cancel: {engine}", file=sys.stderr)
        results |= {f"{engine} {name}": value for name, value in cancel_in(artifact, rounds).items()}
    return results


def cancel_in(artifact: Artifact, rounds: int) -> dict[str, float]:
    """Milliseconds from cancelling to a flat CPU time, in prefill and in decode; only of what was under way."""
    desk, random = Desk(artifact, ahead=False), np.random.default_rng(0)
    texts = sources()
    whole = max(texts, key=len)[:5000]
    took_ms = desk.complete(0, whole, "").suggestion.timing.ttft_ms or 1.0
    looking = median(watched(lambda: None)[0] for _ in range(5))
    results: dict[str, list[tuple[float, float]]] = {"prefill": [], "decode": []}
    number = 0
    while min(len(times) for times in results.values()) < rounds and number < 20 * rounds:
        number += 1
        # A first line of its own, so that nothing of the text has been read before.
        text = f"# {random.integers(1 << 60)}\n" + texts[int(random.integers(len(texts)))]
        before = text[:4900] if number % 2 else text[:600].rpartition("\n")[0] + "\n"
        part = random.uniform(0.1, 0.7) if number % 2 else random.uniform(0.15, 0.6)
        desk.worker.request(number, before, "")
        time.sleep(float(part) * took_ms / 1e3)
        under_way = desk.events.empty()
        found = idle(desk.worker.cancel, looking)
        if under_way and desk.events.get(timeout=60) == Stopped(number):
            results["prefill" if number % 2 else "decode"].append(found)
        while not desk.events.empty():
            desk.events.get()
    desk.worker.close()
    figures = {"looking_share": looking}
    for name, found_ in results.items():
        if not found_:  # it was over each time: the model is too fast for this
            continue
        times, shares = zip(*found_, strict=True)
        figures |= {
            f"{name}_p50_ms": median(times),
            f"{name}_p95_ms": float(np.percentile(times, 95)),
            f"{name}_max_ms": max(times),
            f"{name}_share_after_20_ms": median(shares),
        }
    return figures


def watched(stop: Callable[[], None]) -> tuple[float, list[tuple[float, float]]]:
    """What of a core this process takes after `stop`; and seconds and processor seconds from its call, as they came."""
    start, begin = time.perf_counter(), time.process_time()
    stop()
    samples = []
    while (now := time.perf_counter() - start) < _WATCHED_S:
        samples.append((now, time.process_time() - begin))
        time.sleep(0.0005)
    return samples[-1][1] / samples[-1][0], samples


def idle(stop: Callable[[], None], looking: float) -> tuple[float, float]:
    """Milliseconds from the call of `stop` until the process takes no more of the processor than `looking` does, all
    that is watched if that does not come; and the share of a core that it takes from 20 ms on."""
    _, samples = watched(stop)
    end, cpu_end = samples[-1]
    at = next((at for at, cpu in samples if cpu_end - cpu - looking * (end - at) < _LEFT_S), end)
    soon, cpu_soon = next(sample for sample in samples if sample[0] >= _SOON_S)
    return at * 1e3, (cpu_end - cpu_soon) / (end - soon)


def cold(artifact: Artifact, rounds: int, folder: Path) -> dict[str, object]:
    """Medians of starting a command until its first byte, in milliseconds."""
    text = folder / "cold.py"
    text.write_text("import os\n\n\ndef read(path):\n    with open(path) as file:\n        return ", encoding="utf-8")
    python = sys.executable
    # As with an installed package, whose bytecode is there; the first round writes it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    commands = {
        "bare": [python, "-c", "print('x', flush=True)"],
        "import": [python, "-c", "import edge_phi; print('x', flush=True)"],
        "complete": [python, "-m", "edge_phi", "complete", str(text), "--model", str(artifact.folder), "--quant",
                     artifact.name],
    }  # fmt: skip
    if artifact.engine in _BASE:
        code = f"import sys, numpy, onnxruntime as o\n{_BASE[artifact.engine]}\nprint('x', flush=True)"
        weights = artifact.graph if artifact.format == "onnx" else artifact.path
        commands["numpy, onnxruntime and the weights"] = [python, "-c", code, str(weights), str(usable_cores())]
    times: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            took = first_byte_ms(command, environment)
            if number:  # the first fills the page cache
                times[name].append(took)
    results: dict[str, object] = {f"{name}_ms": median(taken) for name, taken in times.items()}
    results["import_edge_phi_adds_ms"] = median(times["import"]) - median(times["bare"])
    if artifact.engine in _BASE:
        results["ratio"] = median(times["complete"]) / median(times["numpy, onnxruntime and the weights"])
    return results


def first_byte_ms(command: list[str], environment: dict[str, str]) -> float:
    start = time.perf_counter()
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, bufsize=0, env=environment) as process:
        assert process.stdout is not None and process.stderr is not None
        first = process.stdout.read(1)
        took = (time.perf_counter() - start) * 1e3
        process.stdout.read()
        said = process.stderr.read().decode(errors="replace")
    if not first:
        raise EdgePhiError(f"{shlex.join(command)} prints nothing: {said}")
    return took


def memory(artifact: Artifact, suggestions: int) -> dict[str, object]:
    """Resident megabytes over many suggestions."""
    desk, random = Desk(artifact, ahead=True), np.random.default_rng(0)
    texts = sources()
    seen = []
    for number in range(suggestions):
        text = texts[int(random.integers(len(texts)))]
        place = int(random.integers(1, len(text)))
        desk.complete(number, text[:place], text[place:])
        if number % max(1, suggestions // 200) == 0:
            seen.append((number, (resident_bytes() or 0) / 1e6))
    desk.worker.close()
    half = [(number, mb) for number, mb in seen if number >= suggestions / 2]
    slope = float(np.polyfit([number for number, _ in half], [mb for _, mb in half], 1)[0]) if len(half) > 2 else 0.0
    config = configuration(artifact)
    cache = 2 * config.num_hidden_layers * config.hidden_size * config.max_position_embeddings
    cache_mb = cache * (2 if artifact.format == "gguf" else 4) / 1e6
    allowed = artifact.file_bytes / 1e6 + cache_mb + 120
    peak = (peak_resident_bytes() or 0) / 1e6
    return {
        "suggestions": suggestions,
        "start_mb": seen[0][1],
        "end_mb": seen[-1][1],
        "slope_mb_per_1000": slope * 1000,
        "peak_mb": peak,
        "file_mb": artifact.file_bytes / 1e6,
        "cache_mb": cache_mb,
        "peak_to_file_cache_and_120": peak / allowed,
        "curve_mb": [round(mb, 2) for _, mb in seen],
    }


def configuration(artifact: Artifact) -> PhiConfig:
    if artifact.format == "gguf":
        return read_gguf_config(read_gguf_header(artifact.path))
    return read_config(artifact.folder)


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("what", nargs="*", default=["cancel", "cold", "memory"], metavar="cancel|cold|memory")
    arguments.add_argument("--model", default="phi-1-nano")
    arguments.add_argument("--quant", help="only this form (default: all; of cold the default form and onnx:int4)")
    arguments.add_argument("--rounds", type=int, default=40, help="of cancelling; a quarter of it of starting")
    arguments.add_argument("--suggestions", type=int, default=10_000)
    arguments.add_argument("--name", default="completion", help="of the result files (default: %(default)s)")
    arguments.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/results", help="folder to write to")
    given = arguments.parse_args()
    machine = this_machine()
    model = find_model(given.model)
    artifact = model.artifact(given.quant)
    given.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, object]] = {}
    if "cold" in given.what:
        started = {artifact, *(one for one in model.artifacts if one.name == "onnx:int4" and not given.quant)}
        for one in sorted(started, key=lambda one: one != artifact):
            with tempfile.TemporaryDirectory(prefix="completion-") as folder:
                results[f"cold {one.name}"] = cold(one, max(1, given.rounds // 4), Path(folder))
    if "cancel" in given.what:
        results["cancel"] = cancel(model, given.quant, given.rounds)
    if "memory" in given.what:
        for engine, form in every_engine(model, given.quant):
            print(f"memory: {engine}", file=sys.stderr)
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                results[f"memory {engine}"] = process.submit(memory, form, given.suggestions).result()
    document = {"command": command_line(), "commit": commit(), "machine": asdict(machine), "model": artifact.model,
                "form": artifact.name, **results}  # fmt: skip
    lines = ["| | |", "| --- | ---: |"]
    for name, figures in results.items():
        lines += [
            f"| {name}: {what} | {value:.4g} |" for what, value in figures.items() if isinstance(value, float | int)
        ]
    lines += ["", f"`{command_line()}`: {artifact.model}, {artifact.name}."]
    text = "\n".join([*lines, *([busy_line(machine)] if machine.busy else []), ""])
    atomic.write_bytes(given.out / f"{given.name}.json", f"{json.dumps(document, indent=2)}\n".encode())
    atomic.write_bytes(given.out / f"{given.name}.md", text.encode())
    print(text, end="")


if __name__ == "__main__":
    try:
        main()
    except EdgePhiError as error:
        sys.exit(f"completion.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
