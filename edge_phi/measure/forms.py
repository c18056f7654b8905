"""The forms of a model that a report should show, and the making of those that are missing."""

from __future__ import annotations

import importlib.metadata
import os
from dataclasses import replace
from pathlib import Path

from ..checkpoint import weights_files
from ..errors import EdgePhiError
from ..lineage import read_lineage, sha256_of
from ..store import Artifact, Model, find_model, user_folder
from . import process
from .figures import NotMeasured
from .progress import Progress

# Full precision in both engines that have it, then what people use: the order of a report.
STANDARD_FORMS = (
    "torch:float32", "onnx:float32", "onnx:int4", "gguf:f16", "gguf:q8_0", "gguf:q4_k_m", "gguf:q4_0",
)  # fmt: skip

# A checkpoint up to this size is converted unasked: all forms of it take seconds to make and about three times its
# size to keep. Those of phi-1 (2.8 GB) take minutes and gigabytes, which is for the user to say.
SMALL_CHECKPOINT_BYTES = 256 * 2**20

_CONVERT = "from edge_phi.cli import main; sys.exit(main())"


def in_report_order(artifacts: tuple[Artifact, ...]) -> list[Artifact]:
    """The standard forms in their order, then all others as they come."""
    order = {name: place for place, name in enumerate(STANDARD_FORMS)}
    return sorted(artifacts, key=lambda artifact: order.get(artifact.name, len(order)))


def make_missing(name: str, progress: Progress) -> tuple[Model, tuple[NotMeasured, ...]]:
    """The model with the standard forms made that it lacked, and those that could not be, each with the reason.

    A form that was made from other weights than the checkpoint has now counts as lacking. Nothing is made of a model
    without a checkpoint, nor of a checkpoint over `SMALL_CHECKPOINT_BYTES`; what to type is said instead.

    Raises:
        InvalidCall: there is no such model.
        InvalidFile: its checkpoint's weights are in shards, and one is missing or their index is damaged.
    """
    model = find_model(name)
    checkpoint = next((artifact for artifact in model.artifacts if artifact.format == "safetensors"), None)
    if checkpoint is None:
        return model, ()
    states = _lacking(
        model.artifacts, {file: sha256_of(checkpoint.path / file) for file in weights_files(checkpoint.path)}
    )
    left: list[NotMeasured] = []
    if _convert_is_installed() and checkpoint.file_bytes <= SMALL_CHECKPOINT_BYTES:
        # What is named by its path stays together; the bundled models lie in a package that may be read-only.
        by_path = len(Path(name).parts) > 1 or Path(name).is_dir()
        folder = checkpoint.path if by_path else user_folder() / model.name
        for form, state in states.items():
            progress.note(f"{form}: {state}: making it in {folder}")
            try:
                arguments = ["convert", "--to", form, "--out", os.fspath(folder), "--", name]
                process.run(process.python(_CONVERT, *arguments))
            except EdgePhiError as error:
                # As in all that a report publishes, no path of this machine.
                reason = str(error).removeprefix("edge-phi: ").replace(f"{folder}{os.sep}", "")
                left.append(NotMeasured(form, f"could not be made: {reason}"))
    else:
        left = [
            NotMeasured(form, f"{state}: 'edge-phi convert {name} --to {form}' makes it")
            for form, state in states.items()
        ]
    for one in left:
        progress.note(f"{one.name}: {one.reason}")
    unmade = {one.name for one in left}
    model = find_model(name)
    return replace(model, artifacts=tuple(one for one in model.artifacts if one.name not in unmade)), tuple(left)


def _lacking(artifacts: tuple[Artifact, ...], weights: dict[str, str]) -> dict[str, str]:
    """Forms to make -> why: standard ones that are not there, and any that came from other weights than these.

    Args:
        artifacts: what is there.
        weights: file of the checkpoint -> SHA-256.
    """
    names = {artifact.name for artifact in artifacts}
    states = {form: "not made yet" for form in STANDARD_FORMS if form not in names}
    for artifact in artifacts:
        try:
            source = read_lineage(artifact.made).source
        except EdgePhiError:
            continue  # the checkpoint itself, or a file that does not say
        if any(source.get(file) != digest for file, digest in weights.items()):
            states[artifact.name] = "made from other weights than the model has now"
    return states


def _convert_is_installed() -> bool:
    return bool(importlib.metadata.entry_points(group="edge_phi.commands", name="convert"))
