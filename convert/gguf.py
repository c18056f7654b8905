"""Checkpoint to GGUF, piece by piece: little of the model is in memory at a time, and no file lies between.

Without calibration every tensor's bytes are those that llama.cpp's own quantizer makes of the same checkpoint. An
importance matrix is used as llama.cpp uses it. With calibration text the rounding errors of a matrix are made up for
by its later columns (`compensate`), and each layer is fitted to what quantization has done to the layers before it.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from edge_phi import gguf_model
from edge_phi.atomic import atomic_path
from edge_phi.checkpoint import Checkpoint, open_checkpoint
from edge_phi.errors import EdgePhiError, InvalidCall

from . import ggml
from .calibration import Calibration
from .gguf_tensors import FileTensor, data_bytes, file_tensors, load_gguf
from .gguf_vocabulary import Vocabulary, read_vocabulary
from .gguf_weights import write_calibrated, write_plain
from .imatrix import Imatrix
from .mixture import FILE_TYPES, tensor_types

_QUANTIZATION_VERSION = 2  # of ggml's block formats


def export_gguf(
    checkpoint_folder: Path,
    quant: str,
    out_path: Path,
    *,
    calibration: Calibration | None = None,
    imatrix: Imatrix | None = None,
) -> dict[str, Any]:
    """Write the model of `checkpoint_folder` as one GGUF file that llama.cpp loads; always the same bytes.

    Args:
        checkpoint_folder: as `edge_phi.checkpoint` describes it.
        quant: a key of `FILE_TYPES`, as in "q4_k_m".
        out_path: the file to write; whole or not at all.
        calibration: text to fit the rounding to. Types without blocks make no use of it.
        imatrix: what llama.cpp's own way of rounding is to weigh errors with, if there is no `calibration`.

    Returns:
        What beyond `quant` decides the bytes, for the lineage: "method", which is "plain", "importance" or
        "compensated", and of the text that used its name and hash.

    Raises:
        InvalidCall: an unknown `quant`, or no checkpoint there.
        InvalidFile: the checkpoint is damaged or its tokenizer is not GPT-2's kind.
        MissingExtra: the gguf package, or llama.cpp for its block formats, is not installed.
        EdgePhiError: a weight does not fit the type, or the disk is or will be full.
    """
    if quant not in FILE_TYPES:
        raise InvalidCall(f"unknown GGUF type {quant!r}: choose from {', '.join(FILE_TYPES)}")
    checkpoint = open_checkpoint(checkpoint_folder)
    vocabulary = read_vocabulary(checkpoint)
    if not uses_quantizer(quant):
        calibration = imatrix = None
    types = tensor_types(checkpoint.config, quant, with_importance=imatrix is not None)
    if any(map(ggml.needs_library, types.values())):
        ggml.check_library()
    tensors = file_tensors(checkpoint.config, types)
    _check_space(out_path, data_bytes(tensors))
    with atomic_path(out_path) as partial:
        _write_header(partial, checkpoint, vocabulary, quant, tensors)
        with partial.open("r+b") as file:
            if calibration:
                write_calibrated(file, checkpoint, tensors, calibration)
            else:
                write_plain(file, checkpoint, tensors, imatrix.importance if imatrix else {})
    if calibration:
        return {"method": "compensated", "calibration": calibration.name, "calibration_sha256": calibration.sha256}
    if imatrix:
        return {"method": "importance", "imatrix": imatrix.dataset, "imatrix_sha256": imatrix.digest}
    return {"method": "plain"}


def uses_quantizer(quant: str) -> bool:
    """Whether this type needs llama.cpp's library."""
    return ggml.needs_library(FILE_TYPES[quant].plain)


def _check_space(out_path: Path, needed: int) -> None:
    try:
        free = shutil.disk_usage(out_path.parent).free
    except OSError:
        return  # there is no such folder, as is said where the file is made
    if free < needed:
        raise EdgePhiError(
            f"{out_path}: needs {needed / 1e6:.0f} MB of space and {free / 1e6:.0f} MB are free: free some, or choose "
            "another folder or a smaller type"
        )


def _write_header(
    path: Path, checkpoint: Checkpoint, vocabulary: Vocabulary, quant: str, tensors: list[FileTensor]
) -> None:
    gguf = load_gguf()
    writer = gguf.GGUFWriter(path, gguf_model.ARCHITECTURE)
    try:
        _add_metadata(writer, checkpoint, vocabulary, quant)
        for tensor in tensors:
            type_ = gguf.GGMLQuantizationType[tensor.type]
            writer.add_tensor_info(tensor.name, tensor.shape, None, tensor.nbytes, raw_dtype=type_)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
    finally:
        writer.close()


def _add_metadata(writer: Any, checkpoint: Checkpoint, vocabulary: Vocabulary, quant: str) -> None:
    config = checkpoint.config
    writer.add_type("model")
    writer.add_name(checkpoint.folder.resolve().name)
    writer.add_file_type(FILE_TYPES[quant].number)
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
