"""What lies beside an ONNX graph: the weights, the tokenizer, and a configuration that says what is true."""

from __future__ import annotations

import filecmp
import json
import shutil
from pathlib import Path
from typing import Any

from edge_phi.atomic import atomic_file, write_bytes
from edge_phi.checkpoint import (
    CONFIG_FILE,
    INDEX_FILE,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    Checkpoint,
    PhiConfig,
    weights_files,
)
from edge_phi.errors import EdgePhiError, InvalidCall, InvalidFile
from edge_phi.store import ONNX_GRAPHS

_GENERATION_FILE = "generation_config.json"
_GENAI_FILE = "genai_config.json"
_BESIDE = (CONFIG_FILE, TOKENIZER_FILE, "tokenizer_config.json", _GENERATION_FILE)
_EARLIER = ("model.onnx", "model.onnx.data")  # where exports had their graph once
# The names that transformers.js has for the forms, and that it picks the graph's file by.
_JAVASCRIPT_DTYPES = {"float16": "fp16", "int8": "int8", "int4": "q4"}


def refuse_foreign(out: Path) -> None:
    """Refuse to replace a folder that holds more than an export.

    Raises:
        InvalidCall: it does; names the first such file.
    """
    graphs = [name for quant, name in ONNX_GRAPHS.items() if quant in _JAVASCRIPT_DTYPES]
    ours = {*_BESIDE, _GENAI_FILE, *_EARLIER, *graphs, *(f"{graph}_data" for graph in graphs)}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if name not in ours and not (path.is_dir() and any(one.startswith(f"{name}/") for one in ours)):
            raise InvalidCall(f"{out}: holds {name}, which is no part of an ONNX export: give another folder")


def refuse_links(checkpoint: Checkpoint) -> None:
    """Refuse to name weights in a graph that are links out of their folder: ONNX Runtime does not follow them.

    Raises:
        InvalidCall: there is such a link.
    """
    here = checkpoint.folder.resolve()
    for name in weights_files(here):
        if (here / name).resolve().parent != here:
            raise InvalidCall(
                f"{here / name}: a link to another folder, which ONNX Runtime refuses to follow: "
                "export to another folder"
            )


def copy_weights(checkpoint: Checkpoint, out: Path) -> None:
    """Copy the files that hold the weights, those that are there already left as they are.

    Raises:
        InvalidCall: `out` holds other weights.
        EdgePhiError: it cannot be made or written to.
    """
    here, names = checkpoint.folder, weights_files(checkpoint.folder)
    for name in (WEIGHTS_FILE, INDEX_FILE, *names):
        same = name in names and (out / name).exists() and filecmp.cmp(here / name, out / name, shallow=False)
        if (out / name).exists() and not same:
            raise InvalidCall(f"{out / name}: another model's weights: export to another folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgePhiError(f"{out}: cannot be made ({error.strerror}): choose another folder") from error
    for name in reversed(names):  # an index after the shards that it names
        if not (out / name).exists():
            _copy(here / name, out / name)


def copy_beside(checkpoint: Checkpoint, out: Path, quant: str = "float32") -> None:
    """Copy configuration and tokenizer; a configuration that was read other than it is written is written so.

    What transformers 5 nests is said under the keys of transformers 4 too: other programs read these folders. For a
    form of its own folder, transformers.js and onnxruntime-genai are told where the graph is.
    """
    config = checkpoint.config.to_json()
    end = {name: config[name] for name in ("bos_token_id", "eos_token_id")}
    if quant in _JAVASCRIPT_DTYPES:
        config["transformers.js_config"] = {"dtype": _JAVASCRIPT_DTYPES[quant], "use_external_data_format": True}
        write_bytes(out / _GENAI_FILE, _json(_genai_config(checkpoint.config, quant)))
    for name in _BESIDE:
        source = checkpoint.folder / name
        if not source.is_file():
            continue
        changes = {CONFIG_FILE: config, _GENERATION_FILE: end}.get(name, {})
        said = _read_json(source) if changes else {}
        if said | changes != said:
            write_bytes(out / name, _json(said | changes))
        else:
            _copy(source, out / name)


def _genai_config(config: PhiConfig, quant: str) -> dict[str, Any]:
    """How onnxruntime-genai drives the graph: one cache as long as the context, greedy unless it is told otherwise."""
    return {
        "model": {
            "type": "phi",
            "vocab_size": config.vocab_size,
            "context_length": config.max_position_embeddings,
            "bos_token_id": config.eos_token_id,
            "eos_token_id": config.eos_token_id,
            "pad_token_id": config.eos_token_id,
            "decoder": {
                "filename": ONNX_GRAPHS[quant],
                # 0 is a thread for each core. Left out, genai takes half of the cores.
                "session_options": {"intra_op_num_threads": 0, "log_id": "edge-phi", "provider_options": []},
                "hidden_size": config.hidden_size,
                "head_size": config.head_dim,
                "num_attention_heads": config.num_attention_heads,
                "num_key_value_heads": config.num_attention_heads,
                "num_hidden_layers": config.num_hidden_layers,
                "inputs": {
                    "input_ids": "input_ids",
                    "attention_mask": "attention_mask",
                    "past_key_names": "past_key_values.%d.key",
                    "past_value_names": "past_key_values.%d.value",
                },
                "outputs": {
                    "logits": "logits",
                    "present_key_names": "present.%d.key",
                    "present_value_names": "present.%d.value",
                },
            },
        },
        "search": {
            "max_length": config.max_position_embeddings,
            "past_present_share_buffer": True,
            "do_sample": False,
            "num_beams": 1,
        },
    }


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InvalidFile(f"{path}: not readable as JSON ({error}): get the model again") from error
    if not isinstance(value, dict):
        raise InvalidFile(f"{path}: it holds no JSON object: get the model again")
    return value


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as file, atomic_file(target) as copy:
        shutil.copyfileobj(file, copy, 2**22)
