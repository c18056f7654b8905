"""What lies beside an ONNX graph: the weights, the tokenizer, and a configuration that says what is true."""

from __future__ import annotations

import filecmp
import json
import shutil
from pathlib import Path
from typing import Any

from edge_phi.atomic import atomic_file, write_bytes
from edge_phi.checkpoint import CONFIG_FILE, INDEX_FILE, TOKENIZER_FILE, WEIGHTS_FILE, Checkpoint, weights_files
from edge_phi.errors import EdgePhiError, InvalidCall, InvalidFile

_GENERATION_FILE = "generation_config.json"
BESIDE = (CONFIG_FILE, TOKENIZER_FILE, "tokenizer_config.json", _GENERATION_FILE)


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


def copy_beside(checkpoint: Checkpoint, out: Path) -> None:
    """Copy configuration and tokenizer; a configuration that was read other than it is written is written so.

    What transformers 5 nests is said under the keys of transformers 4 too: other programs read these folders.
    """
    config = checkpoint.config.to_json()
    end = {name: config[name] for name in ("bos_token_id", "eos_token_id")}
    for name in BESIDE:
        source = checkpoint.folder / name
        if not source.is_file():
            continue
        changes = {CONFIG_FILE: config, _GENERATION_FILE: end}.get(name, {})
        said = _read_json(source) if changes else {}
        if said | changes != said:
            write_bytes(out / name, (json.dumps(said | changes, indent=2) + "\n").encode())
        else:
            _copy(source, out / name)


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
