"""Checkpoint to GGUF: float32 and float16 written here, smaller types by llama.cpp's own quantizer.

The quantizer always starts from a float32 file: half precision would clip what bfloat16 weights may hold.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_phi import gguf_model
from edge_phi.atomic import atomic_path
from edge_phi.checkpoint import Checkpoint, open_checkpoint
from edge_phi.errors import EdgePhiError, InvalidCall, MissingExtra
from edge_phi.runtimes.llama_cpp import missing_llama_cpp

from .gguf_vocabulary import Vocabulary, read_vocabulary

# Names of llama.cpp's file types with their numbers (enum llama_ftype).
FILE_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 7, "q4_k_m": 15}

_QUANTIZATION_VERSION = 2  # of ggml's block formats


def export_gguf(checkpoint_folder: Path, quant: str, out_path: Path) -> None:
    """Write the model of `checkpoint_folder` as one GGUF file that llama.cpp loads; always the same bytes.

    Args:
        checkpoint_folder: as `edge_phi.checkpoint` describes it.
        quant: "f32", "f16", "q8_0", "q4_0" or "q4_k_m".
        out_path: the file to write; whole or not at all.

    Raises:
        InvalidCall: an unknown `quant`, or no checkpoint there.
        InvalidFile: the checkpoint is damaged or its tokenizer is not GPT-2's kind.
        MissingExtra: the gguf package, or llama.cpp for its quantizer, is not installed.
        EdgePhiError: a weight does not fit float16, the quantizer failed, or the disk is full.
    """
    if quant not in FILE_TYPES:
        raise InvalidCall(f"unknown GGUF type {quant!r}: choose from {', '.join(FILE_TYPES)}")
    checkpoint = open_checkpoint(checkpoint_folder)
    vocabulary = read_vocabulary(checkpoint)
    with atomic_path(out_path) as partial:
        if not uses_quantizer(quant):
            _write(partial, checkpoint, vocabulary, quant)
            return
        if importlib.util.find_spec("llama_cpp") is None:
            raise missing_llama_cpp("GGUF quantization")
        with tempfile.TemporaryDirectory(prefix=f".{out_path.name}.", suffix=".part", dir=partial.parent) as folder:
            source = Path(folder) / "float32.gguf"
            _write(source, checkpoint, vocabulary, "f32")
            _quantize(source, partial, FILE_TYPES[quant])


def uses_quantizer(quant: str) -> bool:
    """Whether llama.cpp makes this type, from a float32 file."""
    return quant not in ("f32", "f16")


def _write(path: Path, checkpoint: Checkpoint, vocabulary: Vocabulary, quant: str) -> None:
    try:
        import gguf
    except ImportError as error:
        raise MissingExtra("writing GGUF needs the gguf package: run pip install 'edge-phi[convert]'") from error
    writer = gguf.GGUFWriter(path, gguf_model.ARCHITECTURE)
    try:
        _add_metadata(writer, checkpoint, vocabulary, quant)
        tensors = list(_tensors(gguf, checkpoint, quant))
        for tensor in tensors:
            writer.add_tensor_info(tensor.name, tensor.shape, tensor.dtype, tensor.nbytes)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in tensors:  # one at a time: a model larger than memory converts
            writer.write_tensor_data(tensor.read())
    finally:
        writer.close()


def _add_metadata(writer: Any, checkpoint: Checkpoint, vocabulary: Vocabulary, quant: str) -> None:
    config = checkpoint.config
    writer.add_type("model")
    writer.add_name(checkpoint.folder.resolve().name)
    writer.add_file_type(FILE_TYPES[quant])
    writer.add_quantization_version(_QUANTIZATION_VERSION)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_attention_heads)
    writer.add_layer_norm_eps(config.layer_norm_eps)
    writer.add_rope_dimension_count(config.rotary_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary.words)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(config.eos_token_id)
    writer.add_eos_token_id(config.eos_token_id)
    writer.add_unk_token_id(config.eos_token_id)
    writer.add_add_bos_token(False)


@dataclass(frozen=True)
class _Tensor:
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[], npt.NDArray[Any]]

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape)) * self.dtype.itemsize


def _tensors(gguf: Any, checkpoint: Checkpoint, quant: str) -> Iterator[_Tensor]:
    """Every tensor under its GGUF name; norms and biases stay float32, q, k and v become one."""
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.PHI2, checkpoint.config.num_hidden_layers)
    shapes = checkpoint.config.tensor_shapes()
    for source, shape in shapes.items():
        sources = [source]
        if ".k_proj." in source or ".v_proj." in source:
            continue
        if ".q_proj." in source:
            sources = [source.replace(".q_proj.", f".{part}_proj.") for part in "qkv"]
            source, shape = source.replace(".q_proj.", ".qkv_proj."), (3 * shape[0], *shape[1:])
        base, _, kind = source.rpartition(".")
        dtype = np.dtype("<f2" if quant == "f16" and len(shape) == 2 else "<f4")
        yield _Tensor(f"{names.get_name(base)}.{kind}", shape, dtype, _reader(checkpoint, sources, dtype))


def _reader(checkpoint: Checkpoint, names: list[str], dtype: np.dtype[Any]) -> Callable[[], npt.NDArray[Any]]:
    def read() -> npt.NDArray[Any]:
        parts = []
        for name in names:
            with np.errstate(over="ignore"):  # checked below
                parts.append(checkpoint.tensor(name).astype(dtype, copy=False))
            if dtype.itemsize == 2 and not np.isfinite(parts[-1]).all():
                raise EdgePhiError(
                    f"{checkpoint.path_of(name)}: {name} holds a value that is not finite in float16: convert to f32"
                )
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    return read


# llama.cpp prints, cannot be interrupted and may abort the process it runs in: so it gets one of its own.
_QUANTIZER = """
import ctypes, sys, llama_cpp
parameters = llama_cpp.llama_model_quantize_default_params()
parameters.ftype = int(sys.argv[3])
failed = llama_cpp.llama_model_quantize(sys.argv[1].encode(), sys.argv[2].encode(), ctypes.byref(parameters))
sys.exit(1 if failed else 0)
"""


def _quantize(source: Path, target: Path, file_type: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _QUANTIZER, str(source), str(target), str(file_type)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines() or [f"it ended with {done.returncode}"]
        raise EdgePhiError(f"llama.cpp's quantizer failed ({said[-1].strip()}): is there space on the disk?")
