"""What was measured once for each model, engine and machine, and kept in the user's cache folder.

It depends on the processor and on the engine's version, so both are in the name under which it is kept. It is thrown
away freely: whoever finds none measures again.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import platformdirs

from .. import __version__
from ..atomic import write_bytes
from ..errors import EdgePhiError
from ..runtimes import RuntimeInfo
from ..store import Artifact

_MODULES = {"torch": "torch", "onnx": "onnxruntime", "llama_cpp": "llama_cpp"}  # which say their versions
_MAX_BYTES = 64 * 1024

Key = Sequence[str | int | float]


def engine_key(artifact: Artifact, info: RuntimeInfo) -> Key:
    """Which model file in which engine, as far as it can be told without reading the file."""
    module = _MODULES.get(info.engine)
    version = str(importlib.import_module(module).__version__) if module else __version__
    changed = artifact.made.stat().st_mtime_ns
    return (str(artifact.made), info.file_bytes, changed, info.engine, version)


def machine_key(artifact: Artifact, info: RuntimeInfo) -> Key:
    """Which model file in which engine on which processor."""
    return (*engine_key(artifact, info), _processor())


def recall(kind: str, key: Key) -> object:
    """The document of some kind that was kept under `key`; None if there is none that can be read."""
    path = _path(kind, key)
    try:
        if path.stat().st_size > _MAX_BYTES:
            return None
        document: object = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return document


def keep(kind: str, key: Key, document: object) -> None:
    """Keep a document; where the cache folder cannot be written to, it is measured again the next time."""
    path = _path(kind, key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, f"{json.dumps(document)}\n".encode())
    except (OSError, EdgePhiError):
        return


def _processor() -> str:
    """What tells this machine's processor from that of another with the same home folder."""
    if sys.platform != "linux":
        return platform.processor()
    try:  # Python would start a program to find out; /proc/cpuinfo asks every core how fast it is, which takes a while
        return Path("/sys/devices/system/cpu/modalias").read_text()
    except (OSError, ValueError):
        return ""


def _path(kind: str, key: Key) -> Path:
    digest = hashlib.sha256(json.dumps(list(key)).encode()).hexdigest()[:32]
    return Path(platformdirs.user_cache_dir("edge-phi", appauthor=False)) / kind / f"{digest}.json"
