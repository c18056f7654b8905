"""What this machine has: every form of a model, where it came from, and whether it is still what was written."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import lineage
from .checkpoint import CONFIG_FILE, LINEAGE_FILE, TOKENIZER_FILE, open_checkpoint, weights_files
from .errors import EdgePhiError, InvalidCall, InvalidFile
from .store import Artifact, Model

_STORED = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True)
class Entry:
    """One form of a model."""

    form: str  # as `--quant` takes it
    precision: str  # of the weights on disk
    file_bytes: int | None  # None where a file is missing
    path: str
    made: str  # by what and from what, in a few words; empty where nothing says
    lineage: dict[str, Any] | None  # all that the lineage file says
    problem: str  # why it cannot be read, empty if it can


@dataclass(frozen=True)
class Verdict:
    """Whether one form of a model is as it was written."""

    form: str
    path: str
    files: int  # hashed and found the same
    damage: str  # what is not as it was written, empty if all is


def entries(model: Model) -> list[Entry]:
    """Every form of a model; what is damaged is listed with what is wrong with it."""
    return [_entry(artifact) for artifact in model.artifacts]


def verify_model(model: Model) -> list[Verdict]:
    """Hash every file of every form and hold it against the lineage beside it; the forms' source too, if it is here.

    A form whose lineage file is gone counts as damaged, as does a checkpoint that has no lineage of its own and that
    nothing was made from: nothing says what it was.
    """
    hash_file = functools.cache(lineage.sha256_of)
    checkpoint = next((artifact.path for artifact in model.artifacts if artifact.format == "safetensors"), None)
    known: dict[str, str] = {}  # file of the checkpoint -> hash, by the forms that were made from it
    verdicts = {}
    for artifact in model.artifacts:
        if artifact.format != "safetensors":
            verdicts[artifact] = _verify(artifact, checkpoint, hash_file, known)
    for artifact in model.artifacts:
        if artifact.format == "safetensors":
            verdicts[artifact] = _verify_checkpoint(artifact, hash_file, known)
    return [verdicts[artifact] for artifact in model.artifacts]


def _verify(
    artifact: Artifact, checkpoint: Path | None, hash_file: Callable[[Path], str], known: dict[str, str]
) -> Verdict:
    try:
        found = lineage.verify(artifact.made, checkpoint_folder=checkpoint, hash_file=hash_file)
    except EdgePhiError as error:
        return Verdict(artifact.name, str(artifact.made), 0, str(error))
    known.update(found.source)
    return Verdict(artifact.name, str(artifact.made), len(found.files), "")


def _verify_checkpoint(artifact: Artifact, hash_file: Callable[[Path], str], known: dict[str, str]) -> Verdict:
    folder = artifact.path
    try:
        if (folder / LINEAGE_FILE).exists():
            count = len(lineage.verify_checkpoint(folder, hash_file=hash_file)["files"])
        else:  # from elsewhere: what was made from it says what it was
            names = [*weights_files(folder), CONFIG_FILE, TOKENIZER_FILE]
            if not known.keys() >= {name for name in names if (folder / name).is_file()}:
                raise InvalidCall(
                    f"{folder / LINEAGE_FILE}: missing, and nothing was made from this checkpoint that says what it "
                    "was: get it again, or convert it to know it from now on"
                )
            count = len(known)
    except EdgePhiError as error:
        return Verdict(artifact.name, str(folder), 0, str(error))
    return Verdict(artifact.name, str(folder), count, "")


def _entry(artifact: Artifact) -> Entry:
    precision, size, problem = artifact.quant, None, ""
    made, says = "", None
    try:
        size = artifact.file_bytes
        if artifact.format == "safetensors":
            precision = _STORED[open_checkpoint(artifact.path).dtype]
    except EdgePhiError as error:
        problem = str(error)
    try:
        if artifact.format == "safetensors":
            says = lineage.read_checkpoint_lineage(artifact.path)
            made = _trained(says)
        else:
            found = lineage.read_lineage(artifact.made)
            says = dict(vars(found))
            made = _converted(found)
    except InvalidCall:
        pass  # there is none
    except InvalidFile as error:
        problem = problem or str(error)
    return Entry(artifact.name, precision, size, str(artifact.made), made, says, problem)


def _trained(says: dict[str, Any]) -> str:
    recipe = says.get("recipe")
    name = recipe.get("name") if isinstance(recipe, dict) else None
    return f"trained by {says.get('made_by', 'unknown')}" + (f", recipe {name}" if name else "")


def _converted(found: lineage.Lineage) -> str:
    weights = [digest for name, digest in sorted(found.source.items()) if name.endswith(".safetensors")]
    tools = ", ".join(f"{name} {version}" for name, version in found.tools.items())
    return f"from weights {weights[0][:8]} by {tools}" if weights else f"by {tools}"
