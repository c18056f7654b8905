"""Models of other architectures: what llama.cpp and optimum make of them by themselves, as they do it.

Nothing of edge-phi's own is applied: no calibration, no budget, no fused graph. A GGUF file of any architecture that
llama.cpp knows is quantized by llama.cpp; a folder that optimum knows is exported by optimum, in float32.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from edge_phi.atomic import atomic_folder, atomic_path
from edge_phi.checkpoint import CONFIG_FILE
from edge_phi.errors import EdgePhiError, InvalidCall, InvalidFile, MissingExtra
from edge_phi.gguf_header import read_gguf_header
from edge_phi.runtimes.llama_cpp import missing_llama_cpp

PHI = "PhiForCausalLM"
_FULL_PRECISION = ("F32", "F16", "BF16")
_MAX_CONFIG_BYTES = 16 * 2**20

# Both print, neither can be interrupted, and either may abort its process: so each gets one of its own.
_LLAMA_CPP = """
import ctypes, sys, llama_cpp
parameters = llama_cpp.llama_model_quantize_default_params()
parameters.ftype = int(sys.argv[3])
failed = llama_cpp.llama_model_quantize(sys.argv[1].encode(), sys.argv[2].encode(), ctypes.byref(parameters))
sys.exit(1 if failed else 0)
"""
_OPTIMUM = """
import sys
from optimum.exporters.onnx import main_export
main_export(sys.argv[1], sys.argv[2], task="text-generation-with-past", trust_remote_code=False, local_files_only=True)
"""


def architecture_of(folder: Path) -> str:
    """What a folder's config.json calls its architecture, as in "LlamaForCausalLM"; empty if it names none.

    A configuration that cannot be read counts as one that names none: opening the checkpoint says what is wrong.
    """
    path = folder / CONFIG_FILE
    try:
        if path.stat().st_size > _MAX_CONFIG_BYTES:
            return ""
        names = json.loads(path.read_bytes())["architectures"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return ""
    return names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""


def quantize_gguf(source: Path, file_type: int, out: Path) -> None:
    """Quantize a GGUF file as `llama-quantize` does without further options.

    Args:
        source: a GGUF file in float32, float16 or bfloat16.
        file_type: llama.cpp's number of the type to make (enum llama_ftype).
        out: the file to write; whole or not at all.

    Raises:
        InvalidCall: there is no such file, or its weights are quantized already.
        InvalidFile: it is damaged.
        MissingExtra: llama.cpp is not installed.
        EdgePhiError: llama.cpp does not know the architecture, or the disk is full.
    """
    header = read_gguf_header(source)
    rounded = {tensor.type for tensor in header.tensors.values()} - set(_FULL_PRECISION)
    if rounded:
        raise InvalidCall(
            f"{source}: quantized already ({', '.join(sorted(rounded))}): start from a file in float16 or float32"
        )
    if importlib.util.find_spec("llama_cpp") is None:
        raise missing_llama_cpp("GGUF quantization")
    with atomic_path(out) as partial:
        said = _child(_LLAMA_CPP, os.fspath(source), os.fspath(partial), str(file_type))
        if said is not None:
            architecture = header.architecture or "that names no architecture"
            raise EdgePhiError(f"{source}: llama.cpp cannot quantize this {architecture} model ({said})")


def export_by_optimum(folder: Path, out: Path) -> None:
    """Export a folder as optimum does, in float32, with keys and values as inputs and outputs.

    Args:
        folder: what transformers loads without running code of the folder's.
        out: the folder to write; whole or not at all, an earlier one is replaced.

    Raises:
        MissingExtra: optimum-onnx is not installed.
        EdgePhiError: optimum does not know the architecture, or the disk is full.
    """
    if importlib.util.find_spec("optimum") is None or importlib.util.find_spec("optimum.exporters.onnx") is None:
        raise MissingExtra("exporting this architecture needs optimum: run pip install 'edge-phi[foreign]'")
    if out.exists() and not (out / "model.onnx").is_file():
        raise InvalidCall(f"{out}: holds something else than an ONNX export: give another --out")
    with atomic_folder(out) as partial:
        said = _child(_OPTIMUM, os.fspath(folder), os.fspath(partial))
        if said is not None:
            name = architecture_of(folder) or "a model that names no architecture"
            raise EdgePhiError(f"{folder}: optimum cannot export {name} ({said})")
        if not (partial / "model.onnx").is_file():
            raise InvalidFile(f"{folder}: optimum made no model.onnx of {architecture_of(folder)}")


def _child(code: str, *arguments: str) -> str | None:
    """Run `code` in a process of its own; the last line it wrote if it failed, None if it did not."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.path = [folder for folder in sys.path if folder]\n" + code, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"},
    )
    if not done.returncode:
        return None
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    return lines[-1][:300] if lines else f"it ended with {done.returncode}"
