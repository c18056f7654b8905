"""The append curve of a runtime: measured once for each model, engine and machine, and kept.

What it says depends on the processor, on the threads and on the engine's version, so all of these are in the name under
which it is kept, in the user's cache folder. It is thrown away freely: whoever finds none measures again.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import platform
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import platformdirs

from .. import __version__
from ..atomic import write_bytes
from ..errors import EdgePhiError
from ..runtimes import Runtime, RuntimeInfo
from ..store import Artifact
from .speculate import LONGEST_DRAFT, AppendCurve

_MODULES = {"torch": "torch", "onnx": "onnxruntime", "llama_cpp": "llama_cpp"}  # which say their versions

_SIZES = (1, 2, 3, 4, 6, LONGEST_DRAFT + 1)  # tokens that are timed; those between are interpolated
_ROUNDS = 5
_BEFORE = 128  # tokens in the cache while it is measured: what the cache adds is the same for few tokens as for one
_TIE_FACTOR = 4  # of the largest difference seen in a few positions: a larger one may come in others
_LEAST_TIE = 1e-4
_MAX_BYTES = 64 * 1024


Key = Sequence[str | int | float]


def engine_key(artifact: Artifact, info: RuntimeInfo) -> Key:
    """Which model file in which engine, as far as it can be told without reading the file."""
    module = _MODULES.get(info.engine)
    version = str(importlib.import_module(module).__version__) if module else __version__
    changed = artifact.made.stat().st_mtime_ns
    return (str(artifact.made), info.file_bytes, changed, info.engine, version)


def curve_key(artifact: Artifact, info: RuntimeInfo) -> Key:
    """What the curve of a loaded artifact depends on."""
    return (*engine_key(artifact, info), info.threads, _processor())


def measure_curve(runtime: Runtime, cancel: threading.Event | None = None) -> AppendCurve:
    """Time appends of a few sizes, the least of interleaved rounds.

    What is in the cache stays there, unless it fills the context. Takes as long as some 130 tokens one by one and,
    where little is in the cache, a prompt of 128.

    Raises:
        Cancelled: `cancel` was set.
        EdgePhiError: the engine fails.
    """
    room = runtime.info.context_length - max(_SIZES)
    kept = min(runtime.length, room)
    before = max(kept, min(_BEFORE, room))
    tokens = [(7 * place) % runtime.info.vocab_size for place in range(before - kept + max(_SIZES))]
    prompt, more = tokens[: before - kept], tokens[before - kept :]
    runtime.rewind(kept)
    try:
        if prompt:
            runtime.extend(prompt, cancel=cancel)
        times: dict[int, list[float]] = {size: [] for size in _SIZES}
        rows = {}
        for _ in range(_ROUNDS):
            for size in _SIZES:
                start = time.perf_counter_ns()
                rows[size] = runtime.extend(more[:size], all_logits=True, cancel=cancel)
                times[size].append((time.perf_counter_ns() - start) / 1e6)
                runtime.rewind(before)
        alone = [runtime.extend([token], cancel=cancel)[0] for token in more]
    finally:
        runtime.rewind(kept)
    differences = [
        float(np.abs(row - one).max()) for several in rows.values() for row, one in zip(several, alone, strict=False)
    ]
    # The least of the rounds: what else the machine does only ever adds to it, and more tokens cost no less.
    least = np.maximum.accumulate([min(times[size]) for size in _SIZES])
    costs = np.interp(range(1, LONGEST_DRAFT + 2), _SIZES, least)
    return AppendCurve(tuple(costs.tolist()), max(_LEAST_TIE, _TIE_FACTOR * max(differences)))


def stored_curve(key: Key) -> AppendCurve | None:
    """The curve that was kept under `key`; None if there is none, or what is there cannot be one."""
    path = _path(key)
    try:
        if path.stat().st_size > _MAX_BYTES:
            return None
        document = json.loads(path.read_bytes())
        ms, tie = [float(value) for value in document["ms"]], float(document["tie"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    if len(ms) != LONGEST_DRAFT + 1 or not all(0 < value < math.inf for value in ms) or not 0 <= tie < math.inf:
        return None
    return AppendCurve(tuple(ms), tie)


def store_curve(key: Key, curve: AppendCurve) -> None:
    """Keep a curve; where the cache folder cannot be written to, it is measured again the next time."""
    path = _path(key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, f"{json.dumps({'ms': curve.ms, 'tie': curve.tie})}\n".encode())
    except (OSError, EdgePhiError):
        return


def _processor() -> str:
    """What tells this machine's processor from that of another with the same home folder."""
    if sys.platform != "linux":
        return platform.processor()
    try:  # Python would start a program to find out, and that mostly says nothing
        with Path("/proc/cpuinfo").open("rb") as file:
            lines = file.read(2048).splitlines()
    except OSError:
        return ""
    return b" ".join(line for line in lines if line.startswith((b"model name", b"CPU part"))).decode("utf-8", "replace")


def _path(key: Key) -> Path:
    digest = hashlib.sha256(json.dumps(list(key)).encode()).hexdigest()[:32]
    return Path(platformdirs.user_cache_dir("edge-phi", appauthor=False)) / "append-curves" / f"{digest}.json"
