"""edge-phi's engines beside the programs of the field, for `engines.py`: same weights, same threads, in turns.

- llama.cpp's own `llama-bench` on the same GGUF file and with the libraries that our binding loads, and our runtime on
  it, and the native engine. Where no `llama-bench` is given, its loop stands in: the same calls, through ctypes.
- onnxruntime-genai on what its builder makes of the checkpoint, and our runtime on our int4 folder.

Prompts of random tokens, read in one call; then single tokens after it, random ones beside `llama-bench`, as it does,
and greedy ones beside onnxruntime-genai. Every round asks each side once; medians.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import genai
import numpy as np
from native import bandwidth

from edge_phi.errors import EdgePhiError
from edge_phi.gguf_header import read_gguf_header
from edge_phi.runtimes import Runtime
from edge_phi.runtimes.llama_cpp import LlamaCppRuntime, load_llama_cpp
from edge_phi.runtimes.native import NativeRuntime
from edge_phi.runtimes.onnx import OnnxRuntime
from edge_phi.runtimes.onnx_file import read_external_tensors
from edge_phi.store import Artifact

NEW = 64  # tokens decoded
_REST_S = 0.05  # between two sides: threads of the one before go to sleep
_EMBEDDING = ("embed", "token_embd")  # of names of matrices of which a token reads one row only

Rates = dict[str, float]  # what -> tokens a second


@dataclass(frozen=True)
class PeerRow:
    """One side and, where it has one, the other; medians of tokens a second."""

    what: str  # "prefill 512", "decode after 512"
    side: str
    tokens_per_s: float
    peer: str | None
    peer_tokens_per_s: float | None
    ratio: float | None  # ours to theirs
    bandwidth_share: float | None  # of decoding: matrices read for a token, to what this machine reads


def compare_peers(
    gguf: Artifact, onnx: Artifact | None, built: Path | None, llama_bench: Path | None, threads: int, rounds: int
) -> tuple[list[PeerRow], float]:
    """All rows, and the limit they are a share of: GB/s of reading memory.

    Args:
        gguf: a Q4_0 file.
        onnx: the same model as an int4 folder, if there is one.
        built: what onnxruntime-genai's builder made of the same checkpoint, if that is to be compared.
        llama_bench: the program.
        threads: of every side.
        rounds: beside a first one that warms up.
    """
    limit = bandwidth(threads)
    native, llama = NativeRuntime(gguf, threads=threads), LlamaCppRuntime(gguf, threads=threads)
    prompt = min(512, native.info.context_length - NEW)
    theirs = "llama-bench" if llama_bench else "llama.cpp's loop"
    sides: dict[str, Callable[[], Rates]] = {
        "llama_cpp": lambda: raw_rates(llama, prompt),
        theirs: lambda: bench_rates(llama_bench, gguf, threads, prompt) if llama_bench else loop_rates(llama, prompt),
        "native": lambda: raw_rates(native, prompt),
    }
    peers, read = (
        {"llama_cpp": theirs, "native": theirs},
        dict.fromkeys(("llama_cpp", theirs, "native"), gguf_bytes(gguf)),
    )
    if onnx is not None:
        ours = OnnxRuntime(onnx, threads=threads)
        sides["onnx"] = lambda: greedy_rates(ours, prompt)
        read["onnx"] = sum(
            tensor.nbytes
            for tensor in read_external_tensors(onnx.graph)
            if not any(e in tensor.name for e in _EMBEDDING)
        )
        if built is not None:
            model = genai.open_model(built, threads)
            sides["onnxruntime-genai"] = lambda: genai_rates(model, prompt, ours.info.vocab_size)
            peers["onnx"] = "onnxruntime-genai"
    found = in_turns(sides, rounds)
    rows = []
    for name in (name for name in sides if name not in peers.values()):
        for what, rate in found[name].items():
            peer = peers.get(name)
            other = found[peer].get(what) if peer else None
            share = rate * read[name] / 1e9 / limit if what.startswith("decode") else None
            rows.append(PeerRow(what, name, rate, peer, other, rate / other if other else None, share))
    return rows, limit


def in_turns(sides: dict[str, Callable[[], Rates]], rounds: int) -> dict[str, Rates]:
    """The medians of each side; who is first changes from round to round."""
    found: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in sides}
    names = list(sides)
    for number in range(rounds + 1):
        for place in range(len(names)):
            name = names[(number + place) % len(names)]
            time.sleep(_REST_S)
            rates = sides[name]()
            for what, rate in rates.items() if number else ():
                found[name][what].append(rate)
    return {name: {what: median(rates) for what, rates in all_.items()} for name, all_ in found.items()}


def raw_rates(runtime: Runtime, prompt: int) -> Rates:
    """Random tokens: what comes out is not looked at."""
    tokens = random_tokens(runtime, prompt + NEW)
    runtime.rewind(0)
    alone = seconds(lambda: [runtime.extend([token]) for token in tokens[:NEW]])
    runtime.rewind(0)
    prefill = seconds(lambda: runtime.extend(tokens[:prompt]))
    after = seconds(lambda: [runtime.extend([token]) for token in tokens[prompt:]])
    return {f"prefill {prompt}": prompt / prefill, "decode": NEW / alone, f"decode after {prompt}": NEW / after}


def greedy_rates(runtime: Runtime, prompt: int) -> Rates:
    """Each token the most probable one, as onnxruntime-genai chooses it itself."""
    found: Rates = {}
    for name, count in ((f"decode after {prompt}", prompt), ("decode", 1)):
        runtime.rewind(0)
        start = time.perf_counter()
        token = int(runtime.extend(random_tokens(runtime, count)).argmax())
        first = time.perf_counter()
        for _ in range(NEW):
            token = int(runtime.extend([token]).argmax())
        found[name] = NEW / (time.perf_counter() - first)
        if count > 1:
            found[f"prefill {prompt}"] = count / (first - start)
    return found


def genai_rates(model: Any, prompt: int, vocabulary: int) -> Rates:
    tokens = np.random.default_rng(0).integers(0, vocabulary, prompt).tolist()
    first_ms, rate = genai.decode(model, tokens, NEW)
    _, alone = genai.decode(model, tokens[:1], NEW)
    return {f"prefill {prompt}": prompt / first_ms * 1e3, f"decode after {prompt}": rate, "decode": alone}


def bench_rates(program: Path, artifact: Artifact, threads: int, prompt: int) -> Rates:
    """What the program says of one repetition of each test, after its own warm-up.

    Raises:
        EdgePhiError: it fails.
    """
    libraries = str(Path(load_llama_cpp().__file__).parent / "lib")  # those that our binding loads
    environment = {**os.environ, "LD_LIBRARY_PATH": os.environ.get("LLAMA_CPP_LIB_PATH", libraries)}
    found: Rates = {}
    for test in (["-p", str(prompt), "-n", str(NEW)], ["-p", "0", "-n", str(NEW), "-d", str(prompt)]):
        command = [str(program), "-m", str(artifact.path), "-t", str(threads), "-r", "1", "-o", "json", *test]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise EdgePhiError(f"{program}: ends with {done.returncode}: {done.stderr[-300:]}")
        for one in json.loads(done.stdout):
            after = f" after {one['n_depth']}" if one["n_depth"] else ""
            found["decode" + after if one["n_gen"] else f"prefill {one['n_prompt']}"] = one["avg_ts"]
    return found


def loop_rates(runtime: LlamaCppRuntime, prompt: int) -> Rates:
    """What llama-bench does, with the runtime's own model and context: nothing checked, no logits taken out."""
    llama, context, batch = load_llama_cpp(), runtime._context, runtime._batch
    tokens = random_tokens(runtime, prompt + NEW)

    def decode(some: list[int], position: int) -> None:
        for row, token in enumerate(some):
            batch.token[row], batch.pos[row], batch.logits[row] = token, position + row, row == len(some) - 1
        batch.n_tokens = len(some)
        llama.llama_decode(context, batch)
        llama.llama_synchronize(context)

    def forget() -> None:
        llama.llama_memory_clear(llama.llama_get_memory(context), False)

    found: Rates = {}
    runtime.rewind(0)
    forget()
    found["decode"] = NEW / seconds(lambda: [decode([token], at) for at, token in enumerate(tokens[:NEW])])
    forget()
    found[f"prefill {prompt}"] = prompt / seconds(lambda: decode(tokens[:prompt], 0))
    last = tokens[prompt:]
    found[f"decode after {prompt}"] = NEW / seconds(lambda: [decode([t], prompt + at) for at, t in enumerate(last)])
    forget()
    return found


def random_tokens(runtime: Runtime, count: int) -> list[int]:
    tokens: list[int] = np.random.default_rng(0).integers(0, runtime.info.vocab_size, count).tolist()
    return tokens


def gguf_bytes(artifact: Artifact) -> int:
    """Of the matrices that each token reads whole."""
    tensors = read_gguf_header(artifact.path).tensors.items()
    return sum(t.nbytes for name, t in tensors if len(t.shape) == 2 and not name.startswith(_EMBEDDING))


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
