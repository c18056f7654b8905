"""Where an artifact came from, hash by hash: `NAME.lineage.json` beside the file or folder NAME.

It names the checkpoint (by the hashes of its files) and the data that was trained on (by the hash of its manifest),
what was done to them with which tools, and the hash of every file that came out.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from . import checkpoint
from .atomic import write_bytes
from .errors import InvalidCall, InvalidFile

_MAX_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Lineage:
    """All hashes are SHA-256, in hexadecimal."""

    form: str  # format and precision, as in "gguf:q4_k_m"
    arguments: Mapping[str, Any]  # of the conversion
    tools: Mapping[str, str]  # package -> version
    source: Mapping[str, str]  # file of the checkpoint -> hash
    training_data: str | None  # hash of the training data's manifest, if the checkpoint has one
    files: Mapping[str, str]  # file of the artifact, seen from the lineage file's folder -> hash


def trace(
    files: Sequence[Path],
    checkpoint_folder: Path,
    *,
    form: str,
    arguments: Mapping[str, Any],
    packages: Sequence[str],
    beside: Path,
) -> Lineage:
    """Hash what a conversion read and wrote.

    Args:
        files: what it wrote, or what the artifact needs of files that were there.
        checkpoint_folder: what it read.
        form: format and precision, as in "gguf:q4_k_m".
        arguments: what the conversion was told beyond that.
        packages: installed packages whose versions decide the result.
        beside: the folder the lineage file will be in; `files` are named as seen from it.
    """
    names = (
        *checkpoint.weights_files(checkpoint_folder),
        checkpoint.CONFIG_FILE,
        checkpoint.TOKENIZER_FILE,
        checkpoint.LINEAGE_FILE,
    )
    source = {name: sha256_of(checkpoint_folder / name) for name in names if (checkpoint_folder / name).is_file()}
    return Lineage(
        form=form,
        arguments=dict(arguments),
        tools={package: importlib.metadata.version(package) for package in sorted(packages)},
        source=source,
        training_data=_training_data(checkpoint_folder),
        files={file.relative_to(beside).as_posix(): sha256_of(file) for file in sorted(files)},
    )


def lineage_path(artifact: Path) -> Path:
    """`model.q4_0.gguf` -> `model.q4_0.gguf.lineage.json`, `onnx-int4/` -> `onnx-int4.lineage.json`."""
    return artifact.with_name(f"{artifact.name}.lineage.json")


def write_lineage(lineage: Lineage, artifact: Path) -> Path:
    """Write `lineage` beside `artifact` and return the file.

    Raises:
        EdgePhiError: the folder cannot be written to.
    """
    path = lineage_path(artifact)
    write_bytes(path, (json.dumps(asdict(lineage), indent=2, sort_keys=True) + "\n").encode())
    return path


def read_lineage(artifact: Path) -> Lineage:
    """What the lineage file beside `artifact` says, unverified.

    Raises:
        InvalidCall: there is none.
        InvalidFile: it is damaged.
    """
    return _read(lineage_path(artifact))


def verify(artifact: Path) -> Lineage:
    """Hash the artifact's files again and return its lineage if every one is as it was written.

    Raises:
        InvalidCall: there is no lineage file beside it.
        InvalidFile: the lineage file is damaged, or a file is missing or has changed; names the first.
    """
    path = lineage_path(artifact)
    lineage = _read(path)
    for name, expected in lineage.files.items():
        pure = PurePosixPath(name)
        file = path.parent / pure
        if pure.is_absolute() or ".." in pure.parts or "\\" in name:
            raise InvalidFile(f"{path}: names a file outside its folder, {name[:80]!r}: do not trust it")
        if not file.is_file():
            raise InvalidFile(f"{file}: missing: convert or pull the model again")
        if sha256_of(file) != expected:
            raise InvalidFile(f"{file}: has changed since it was written: convert or pull the model again")
    return lineage


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        InvalidCall: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    except OSError as error:
        raise InvalidCall(f"{path}: {error.strerror}") from error
    return digest.hexdigest()


def _read(path: Path) -> Lineage:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InvalidFile(f"{path}: larger than {_MAX_BYTES >> 20} MiB: not a lineage file")
        raw = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidCall(f"{path}: {error.strerror}: nothing says where this artifact came from") from error
    except (ValueError, RecursionError) as error:
        raise InvalidFile(f"{path}: not readable as JSON ({error})") from error
    try:
        lineage = Lineage(**raw)
        if not lineage.files or not all(isinstance(digest, str) for digest in lineage.files.values()):
            raise TypeError("it lists no files")
    except (TypeError, AttributeError) as error:
        raise InvalidFile(f"{path}: not a lineage file ({error})") from error
    return lineage


def _training_data(folder: Path) -> str | None:
    """Hash of the manifest that training put into the checkpoint's lineage, in the form it has as a file."""
    try:
        manifest = json.loads((folder / checkpoint.LINEAGE_FILE).read_bytes())["data"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return None
    return hashlib.sha256((json.dumps(manifest, indent=2) + "\n").encode()).hexdigest()
