"""The engines there are, and which of them loads which form of a model on this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .errors import InvalidCall

# Built with the package where there is a compiler.
NATIVE_LIBRARY = Path(__file__).parent / "runtimes" / "native" / "engine.so"

# Chooses the engine of every GGUF file: for comparing, and where one of them is in trouble.
VARIABLE = "EDGE_PHI_GGUF_ENGINE"


@dataclass(frozen=True)
class Engine:
    """What is to be known of an engine without loading it; `edge_phi.runtimes` has a module of its name."""

    form: str  # what the names of the forms it loads begin with; see `store.Artifact.name`
    packages: tuple[str, ...]  # whose versions change its figures
    extra: str = ""  # of edge-phi, which installs it; without one it comes with the package


# The one to be used by default, where a model has forms for several, comes first.
ENGINES = {
    "native": Engine("gguf", ("edge-phi",)),
    "onnx": Engine("onnx", ("onnxruntime",)),
    "llama_cpp": Engine("gguf", ("llama-cpp-python",), "gguf"),
    "torch": Engine("torch", ("torch", "transformers"), "train"),
}

_ENGINE = {"safetensors": "torch", "onnx": "onnx", "gguf": "llama_cpp"}
_NATIVE_QUANTS = ("q4_0",)  # what the native engine is faster at than llama.cpp


def engine_for(format_: str, quant: str) -> str:
    """The runtime that loads a form: "onnx", "native", "llama_cpp" or "torch".

    A file that "native" turns out not to compute, or a processor it has no kernels for, goes to llama.cpp all the same;
    `RuntimeInfo.engine` says what was loaded.

    Raises:
        InvalidCall: the environment variable names no engine of GGUF files.
    """
    if format_ != "gguf":
        return _ENGINE[format_]
    return asked_for() or ("native" if quant in _NATIVE_QUANTS and NATIVE_LIBRARY.is_file() else "llama_cpp")


def asked_for() -> str | None:
    """The engine of GGUF files that the environment asks for.

    Raises:
        InvalidCall: it names another.
    """
    asked = os.environ.get(VARIABLE)
    if asked and asked not in ("native", "llama_cpp"):
        raise InvalidCall(f"{VARIABLE}={asked}: the engines of GGUF files are native and llama_cpp")
    return asked or None
