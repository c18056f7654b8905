"""Making an artifact again from its checkpoint, as its lineage says, to see that the same bytes come out."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from . import lineage
from .errors import EdgePhiError, InvalidCall
from .inventory import Verdict
from .lineage import Lineage
from .measure import process
from .store import Artifact, Model

# The command is run, not imported: the core knows nothing of the package that converts.
_CONVERT = "from edge_phi.cli import main; sys.exit(main())"


def rederive(model: Model, *, calibration: Path | None = None) -> list[Verdict]:
    """Convert every form of a model again, in a temporary folder, and compare all files byte for byte.

    Args:
        model: its checkpoint has to be there, unchanged.
        calibration: the text that forms were calibrated on, where it was not edge-phi's own.

    Raises:
        InvalidCall: the model has no checkpoint, or nothing that was made from it.
    """
    checkpoint = next((artifact.path for artifact in model.artifacts if artifact.format == "safetensors"), None)
    if checkpoint is None:
        raise InvalidCall(f"{model.name}: {model.folder} holds no checkpoint to make anything from again")
    made = [artifact for artifact in model.artifacts if artifact.format != "safetensors"]
    if not made:
        raise InvalidCall(f"{model.name}: nothing was made from its checkpoint yet: 'edge-phi convert' does")
    return [_rederive(artifact, checkpoint, calibration) for artifact in made]


def _rederive(artifact: Artifact, checkpoint: Path, calibration: Path | None) -> Verdict:
    try:
        found = lineage.verify(artifact.made, checkpoint_folder=checkpoint)
        options = _options(artifact, found.arguments, calibration)
        with tempfile.TemporaryDirectory(prefix="edge-phi-") as folder:
            command = ["convert", "--to", found.form, "--out", folder, *options, "--", os.fspath(checkpoint)]
            paths = process.run(process.python(_CONVERT, *command)).splitlines()
            _compare(artifact, found, lineage.read_lineage(Path(paths[-1])))
    except EdgePhiError as error:
        return Verdict(artifact.name, str(artifact.made), 0, str(error).removeprefix("edge-phi: "))
    return Verdict(artifact.name, str(artifact.made), len(found.files), "")


def _options(artifact: Artifact, arguments: Mapping[str, Any], calibration: Path | None) -> list[str]:
    """How `edge-phi convert` is told what a lineage says it was told.

    Raises:
        InvalidCall: it was calibrated on a text that is not at hand.
    """
    if arguments.get("imatrix"):
        raise InvalidCall(
            f"{artifact.made}: was weighed by {arguments['imatrix']}, which is not kept: convert it again"
        )
    text, sha256 = arguments.get("calibration"), arguments.get("calibration_sha256")
    if text is None:
        return ["--calibration", "none"]
    if text == "built-in":
        return []
    if calibration is None or lineage.sha256_of(calibration) != sha256:
        raise InvalidCall(
            f"{artifact.made}: calibrated on {text} with sha256 {str(sha256)[:16]}...: give it with --calibration"
        )
    return ["--calibration", os.fspath(calibration)]


def _compare(artifact: Artifact, before: Lineage, again: Lineage) -> None:
    """Hold the hashes of what was made again against those of what is there.

    GGUF files carry the model's name in theirs, so what is alone is compared with what is alone.

    Raises:
        EdgePhiError: they differ; says what else does.
    """
    alone = len(before.files) == len(again.files) == 1
    same = list(before.files.values()) == list(again.files.values()) if alone else before.files == again.files
    if same:
        return
    tools = [
        f"{name} {version} then, {_version(name)} now"
        for name, version in before.tools.items()
        if version != _version(name)
    ]
    told = [
        f"{key}: {before.arguments.get(key)} then, {again.arguments.get(key)} now"
        for key in sorted({*before.arguments, *again.arguments})
        if before.arguments.get(key) != again.arguments.get(key)
    ]
    why = "; ".join(tools + told) or "by the same versions of its tools"
    raise EdgePhiError(f"{artifact.made}: made again from its checkpoint, other bytes came out ({why})")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
