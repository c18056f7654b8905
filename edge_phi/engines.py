"""Which engine loads which form of a model on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import InvalidCall

# Built with the package where there is a compiler.
NATIVE_LIBRARY = Path(__file__).parent / "runtimes" / "native" / "engine.so"

# Chooses the engine of every GGUF file: for comparing, and where one of them is in trouble.
VARIABLE = "EDGE_PHI_GGUF_ENGINE"

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
