"""Checkpoint to GGUF, piece by piece: little of the model is in memory at a time, and no file lies between.

Without calibration every tensor's bytes are those that llama.cpp's own quantizer makes of the same checkpoint. An
importance matrix is used as llama.cpp uses it. With calibration text the rounding errors of a matrix are made up for
by its later columns (`compensate`), and each layer is fitted to what quantization has done to the layers before it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_phi import gguf_model
from edge_phi.atomic import atomic_path
from edge_phi.checkpoint import Checkpoint, open_checkpoint
from edge_phi.errors import InvalidCall

from . import ggml
from .budget import types_within
from .calibration import Calibration
from .gguf_tensors import FileTensor, aligned, data_bytes, file_tensors, load_gguf
from .gguf_vocabulary import Vocabulary, read_vocabulary
from .gguf_weights import write_calibrated, write_plain
from .imatrix import Imatrix
from .mixture import FILE_TYPES, FileType, tensor_types
from .space import check_space
from .walk import Working, in_silence

_QUANTIZATION_VERSION = 2  # of ggml's block formats


def export_gguf(
    checkpoint_folder: Path,
    quant: str,
    out_path: Path,
    *,
    calibration: Calibration | None = None,
    imatrix: Imatrix | None = None,
    budget_bytes: int | None = None,
    working: Working = in_silence,
) -> dict[str, str]:
    """Write the model of `checkpoint_folder` as one GGUF file that llama.cpp loads; always the same bytes.

    Args:
        checkpoint_folder: as `edge_phi.checkpoint` describes it.
        quant: a key of `FILE_TYPES`, as in "q4_k_m"; not looked at where there is a budget.
        out_path: the file to write; whole or not at all.
        calibration: text to fit the rounding to. Types without blocks make no use of it.
        imatrix: what llama.cpp's own way of rounding is to weigh errors with, if there is no `calibration`.
        budget_bytes: the file's size at most. Each tensor's type is chosen by what it is measured to do to the model
            on the calibration text, which must be given.
        working: told what begins while the calibration text is read, as by `walk`.

    Returns:
        The type that each tensor has in the file, under its GGUF name.

    Raises:
        InvalidCall: an unknown `quant`, no checkpoint there, or a budget that is too small.
        InvalidFile: the checkpoint is damaged or its tokenizer is not GPT-2's kind.
        MissingExtra: the gguf package, or llama.cpp for its block formats, is not installed.
        EdgePhiError: a weight does not fit the type, or the disk is or will be full.
    """
    if budget_bytes is None and quant not in FILE_TYPES:
        raise InvalidCall(f"unknown GGUF type {quant!r}: choose from {', '.join(FILE_TYPES)}")
    checkpoint = open_checkpoint(checkpoint_folder)
    vocabulary = read_vocabulary(checkpoint)
    if budget_bytes is not None or uses_quantizer(quant):
        ggml.check_library()
    else:
        calibration = imatrix = None
    with atomic_path(out_path) as partial:
        if budget_bytes is None:
            types = tensor_types(checkpoint.config, quant, with_importance=imatrix is not None)
        else:
            types = _types_within(budget_bytes, partial, checkpoint, vocabulary, calibration, working)
        tensors = file_tensors(checkpoint.config, types)
        check_space(out_path, data_bytes(tensors))
        file_type = FILE_TYPES[quant] if budget_bytes is None else _prevailing(tensors)
        _write_header(partial, checkpoint, vocabulary, tensors, file_type)
        with partial.open("r+b") as file:
            if calibration:
                write_calibrated(file, checkpoint, tensors, calibration, working)
            else:
                write_plain(file, checkpoint, tensors, imatrix.importance if imatrix else {})
    return types


def uses_quantizer(quant: str) -> bool:
    """Whether a named type needs llama.cpp's library, and can make use of calibration."""
    return ggml.needs_library(FILE_TYPES[quant].plain)


def _types_within(
    nbytes: int,
    path: Path,
    checkpoint: Checkpoint,
    vocabulary: Vocabulary,
    calibration: Calibration | None,
    working: Working,
) -> dict[str, str]:
    if calibration is None:
        raise InvalidCall("a budget is shared out by what types do to the model on calibration text: give one")
    tensors = file_tensors(checkpoint.config, tensor_types(checkpoint.config, "f32"))
    _write_header(path, checkpoint, vocabulary, tensors, FILE_TYPES["f32"])  # as long as with any other types
    return types_within(nbytes, aligned(path.stat().st_size), checkpoint, calibration, working)


def _prevailing(tensors: list[FileTensor]) -> FileType:
    """The file type whose plain type has most of the bytes."""
    return max(FILE_TYPES.values(), key=lambda known: sum(t.nbytes for t in tensors if t.type == known.plain))


def _write_header(
    path: Path, checkpoint: Checkpoint, vocabulary: Vocabulary, tensors: list[FileTensor], file_type: FileType
) -> None:
    gguf = load_gguf()
    writer = gguf.GGUFWriter(path, gguf_model.ARCHITECTURE)
    try:
        _add_metadata(writer, checkpoint, vocabulary, file_type)
        for tensor in tensors:
            type_ = gguf.GGMLQuantizationType[tensor.type]
            writer.add_tensor_info(tensor.name, tensor.shape, None, tensor.nbytes, raw_dtype=type_)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
    finally:
        writer.close()


def _add_metadata(writer: Any, checkpoint: Checkpoint, vocabulary: Vocabulary, file_type: FileType) -> None:
    config = checkpoint.config
    writer.add_type("model")
    writer.add_name(checkpoint.folder.resolve().name)
    writer.add_file_type(file_type.number)
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
