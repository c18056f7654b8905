"""Checkpoint -> ONNX: a fused graph written node by node from the checkpoint's own bytes.

No torch and no exporter stands between the weights and the graph, so the same checkpoint always gives the same bytes.
One folder serves every program: onnxruntime, optimum and transformers.js find the graph where the Hub's folders have it
(`onnx/model_q4.onnx`, its weights in `model_q4.onnx_data`), onnxruntime-genai where genai_config.json says. float32 is
a graph beside the checkpoint, which names the bytes of its `model.safetensors` or shards as its weights.
"""

from __future__ import annotations

import math
from pathlib import Path

from edge_phi.atomic import atomic_folder, write_bytes
from edge_phi.checkpoint import Checkpoint, open_checkpoint
from edge_phi.errors import InvalidCall, InvalidFile
from edge_phi.store import ONNX_GRAPHS

from .calibration import Calibration
from .onnx_folder import copy_beside, copy_weights, refuse_foreign, refuse_links
from .onnx_graph import Weights, make_model
from .onnx_weights import BlockWeights, HalfWeights, StoredWeights
from .space import check_space
from .walk import Working, in_silence

QUANTS = tuple(ONNX_GRAPHS)

_ROTARY_MULTIPLE = 16  # GroupQueryAttention: "cos_cache dimension 1 must be ... a multiple of 8", which is half of them


def export_onnx(
    checkpoint_folder: Path,
    quant: str,
    out_folder: Path,
    *,
    calibration: Calibration | None = None,
    working: Working = in_silence,
) -> None:
    """Write a checkpoint as an ONNX folder: the graph, its weights, configurations and the tokenizer.

    Args:
        checkpoint_folder: config.json, model.safetensors or its shards, and tokenizer.json.
        quant: "float32", "float16", "int8" or "int4".
        out_folder: float16, int8 and int4 replace it whole, if it holds nothing but an earlier export. float32 adds to
            it, and to the checkpoint's own folder only model.onnx; elsewhere the weights are copied (a hard link would
            be cheaper, but the onnx package refuses to read weights that have two names).
        calibration: text whose tokens say what matters, for int4: rounding errors are made up for by the weights that
            are rounded later. Without it every weight is rounded by itself.
        working: told what begins while the calibration text is read, as by `walk`.

    Raises:
        InvalidCall: no checkpoint there, an unknown `quant`, or an `out_folder` that holds something else.
        InvalidFile: the checkpoint is damaged, a weight is not a finite number, or ONNX Runtime cannot rotate so few
            dimensions.
        EdgePhiError: a weight does not fit float16, the folder cannot be written to, or the disk is or will be full.
    """
    if quant not in QUANTS:
        raise InvalidCall(f"ONNX has no form {quant!r} here: choose from {', '.join(QUANTS)}")
    if calibration is not None and quant != "int4":
        raise InvalidCall(f"ONNX {quant} takes no calibration: leave it out")
    checkpoint = open_checkpoint(checkpoint_folder)
    rotated = checkpoint.config.rotary_dim
    if rotated % _ROTARY_MULTIPLE:
        raise InvalidFile(
            f"{checkpoint.folder}: rotates {rotated} dimensions of a head, ONNX Runtime's attention only multiples of "
            f"{_ROTARY_MULTIPLE}: convert to GGUF"
        )
    out = Path(out_folder).resolve()
    if out.exists() and not out.is_dir():
        raise InvalidCall(f"{out}: is a file: an ONNX export is a folder, give another name")
    check_space(out, _least_bytes(checkpoint, quant, out))
    if quant == "float32":
        _export_float32(checkpoint, out)
    else:
        _export_folder(checkpoint, quant, out, calibration, working)


def _least_bytes(checkpoint: Checkpoint, quant: str, out: Path) -> int:
    """What the weights take at least: scales, biases and the graph come on top."""
    if quant == "float32":
        here = out == checkpoint.folder.resolve()
        return 0 if here else sum(tensor.nbytes for tensor in checkpoint.tensors.values())
    in_layers, outside = 0, 0
    for name, shape in checkpoint.config.tensor_shapes().items():
        if len(shape) == 2 and name.startswith("model.layers."):
            in_layers += math.prod(shape)
        elif len(shape) == 2:
            outside += math.prod(shape)
    if quant == "int4":
        return in_layers // 2 + outside  # which has 8 bits
    return (in_layers + outside) * {"float16": 2, "int8": 1}[quant]


def _export_float32(checkpoint: Checkpoint, out: Path) -> None:
    """model.onnx comes last: a folder that has it has all it needs."""
    for name in checkpoint.config.tensor_shapes():
        checkpoint.tensor(name)  # refused here if it is not finite: nothing else would look at its values
    if out == checkpoint.folder.resolve():
        refuse_links(checkpoint)
    else:
        copy_weights(checkpoint, out)
        copy_beside(checkpoint, out)
    model = make_model(checkpoint.config, StoredWeights(checkpoint))
    write_bytes(out / ONNX_GRAPHS["float32"], model.SerializeToString(deterministic=True))


def _export_folder(
    checkpoint: Checkpoint, quant: str, out: Path, calibration: Calibration | None, working: Working
) -> None:
    refuse_foreign(out)
    with atomic_folder(out) as folder:
        graph = folder / ONNX_GRAPHS[quant]
        graph.parent.mkdir()
        weights: Weights
        with (data := graph.with_name(f"{graph.name}_data")).open("wb") as file:
            if quant == "float16":
                weights = HalfWeights(checkpoint, file, data.name)
            else:
                bits = 4 if quant == "int4" else 8
                weights = BlockWeights(checkpoint, bits, file, data.name, calibration, working)
            model = make_model(checkpoint.config, weights)
        graph.write_bytes(model.SerializeToString(deterministic=True))
        copy_beside(checkpoint, folder, quant)
