"""Where a model came from, hash by hash.

`NAME.lineage.json` beside an artifact, the file or folder NAME, names the checkpoint (by the hashes of its files) and
the data that was trained on (by the hash of its manifest), what was done to them with which tools, and the hash of
every file that came out. `lineage.json` in a checkpoint's folder says how it was trained, and the hash of every file.

Both end with the hash of themselves, so that a bit that changes anywhere is seen. That is no signature: it finds
damage, not the author.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from . import checkpoint
from .atomic import write_bytes
from .errors import InvalidCall, InvalidFile

_MAX_BYTES = 16 * 2**20
_SEAL = "sha256"  # key of a lineage file's own hash


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
    source: Path,
    *,
    form: str,
    arguments: Mapping[str, Any],
    packages: Sequence[str],
    beside: Path,
) -> Lineage:
    """Hash what a conversion read and wrote.

    Args:
        files: what it wrote, or what the artifact needs of files that were there.
        source: the checkpoint's folder, or the file, that it read.
        form: format and precision, as in "gguf:q4_k_m".
        arguments: what the conversion was told beyond that.
        packages: installed packages whose versions decide the result.
        beside: the folder the lineage file will be in; `files` are named as seen from it.
    """
    here = [source]
    if source.is_dir():
        others = (checkpoint.CONFIG_FILE, checkpoint.TOKENIZER_FILE, checkpoint.LINEAGE_FILE)
        here = [source / name for name in (*checkpoint.weights_files(source), *others) if (source / name).is_file()]
    return Lineage(
        form=form,
        arguments=dict(arguments),
        tools={package: importlib.metadata.version(package) for package in sorted(packages)},
        source={path.name: sha256_of(path) for path in here},
        training_data=_training_data(source),
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
    write_bytes(path, _sealed(json.loads(json.dumps(asdict(lineage), sort_keys=True))))
    return path


def write_checkpoint_lineage(folder: Path, document: Mapping[str, Any]) -> Path:
    """Write `lineage.json`: what `document` says, and the hashes of the files that are in `folder` now.

    Raises:
        EdgePhiError: the folder cannot be written to.
    """
    path = folder / checkpoint.LINEAGE_FILE
    files = {file.name: sha256_of(file) for file in sorted(folder.iterdir()) if file.is_file() and file != path}
    write_bytes(path, _sealed({**document, "files": files}))
    return path


def read_lineage(artifact: Path) -> Lineage:
    """What the lineage file beside `artifact` says, unverified.

    Raises:
        InvalidCall: there is none.
        InvalidFile: it is damaged.
    """
    path = lineage_path(artifact)
    return _lineage(path, _document(path)[0])


def read_checkpoint_lineage(folder: Path) -> dict[str, Any]:
    """What the `lineage.json` of a checkpoint says, unverified.

    Raises:
        InvalidCall: there is none.
        InvalidFile: it is damaged.
    """
    return _document(folder / checkpoint.LINEAGE_FILE)[0]


def verify(
    artifact: Path, *, checkpoint_folder: Path | None = None, hash_file: Callable[[Path], str] | None = None
) -> Lineage:
    """Hash the artifact's files again and return its lineage if every one is as it was written.

    Args:
        artifact: the file or folder.
        checkpoint_folder: what it was made from, if it is there; its files are hashed too.
        hash_file: `sha256_of`, or what remembers its results.

    Raises:
        InvalidCall: there is no lineage file beside it.
        InvalidFile: the lineage file is damaged, or a file is missing, has changed or was added; names the first.
    """
    path = lineage_path(artifact)
    document, raw = _document(path)
    _check_seal(path, document, raw)
    lineage = _lineage(path, document)
    hash_file = hash_file or sha256_of
    _check_files(path, path.parent, lineage.files, hash_file, "since it was written")
    if artifact.is_dir():
        for file in sorted(artifact.rglob("*")):
            if file.is_file() and file.relative_to(path.parent).as_posix() not in lineage.files:
                raise InvalidFile(f"{file}: was not there when {artifact.name} was made: move it away")
    if checkpoint_folder:
        _check_files(path, checkpoint_folder, lineage.source, hash_file, f"since {artifact.name} was made from it")
    return lineage


def verify_checkpoint(folder: Path, *, hash_file: Callable[[Path], str] | None = None) -> dict[str, Any]:
    """Hash a checkpoint's files again and return its lineage if every one is as training wrote it.

    Raises:
        InvalidCall: it has no `lineage.json`.
        InvalidFile: that is damaged, or a file is missing or has changed; names the first.
    """
    path = folder / checkpoint.LINEAGE_FILE
    document, raw = _document(path)
    _check_seal(path, document, raw)
    files = document.get("files")
    if not _is_texts(files) or not files:
        raise InvalidFile(f"{path}: not a lineage file (it lists no files): train or pull the model again")
    _check_files(path, folder, files, hash_file or sha256_of, "since it was written")
    return document


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


def _check_files(
    lineage: Path, folder: Path, files: Mapping[str, str], hash_file: Callable[[Path], str], since: str
) -> None:
    for name, expected in files.items():
        pure = PurePosixPath(name)
        file = folder / pure
        if pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name:
            raise InvalidFile(f"{lineage}: names a file outside its folder, {name[:80]!r}: do not trust it")
        if not file.is_file():
            raise InvalidFile(f"{file}: missing: convert or pull the model again")
        if hash_file(file) != expected:
            raise InvalidFile(f"{file}: has changed {since}: convert or pull the model again")


def _sealed(document: dict[str, Any]) -> bytes:
    """The document as JSON, at its end the hash of all before it in the same form."""
    return _text({**document, _SEAL: hashlib.sha256(_text(document)).hexdigest()})


def _text(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2) + "\n").encode()


def _check_seal(path: Path, document: dict[str, Any], raw: bytes) -> None:
    """Bytes are compared, not values: JSON can say the same in many ways, and only one was written."""
    if f'"{_SEAL}": "'.encode() not in raw[-100:]:
        raise InvalidFile(
            f"{path}: does not end with its own hash, as what is written now does: convert the model again"
        )
    try:
        same = _sealed(document) == raw
    except RecursionError:  # nested deeper than anything that was written here
        same = False
    if not same:
        raise InvalidFile(f"{path}: has changed since it was written: convert or pull the model again")


def _document(path: Path) -> tuple[dict[str, Any], bytes]:
    """What a lineage file says, without the hash of itself; and its bytes."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InvalidFile(f"{path}: larger than {_MAX_BYTES >> 20} MiB: not a lineage file")
        raw = path.read_bytes()
        document = json.loads(raw)
    except OSError as error:
        raise InvalidCall(f"{path}: {error.strerror}: nothing says where this model came from") from error
    except (ValueError, RecursionError) as error:
        raise InvalidFile(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(document, dict):
        raise InvalidFile(f"{path}: not a lineage file (it holds no JSON object)")
    document.pop(_SEAL, None)
    return document, raw


def _lineage(path: Path, document: dict[str, Any]) -> Lineage:
    try:
        lineage = Lineage(**document)
    except TypeError as error:
        raise InvalidFile(f"{path}: not a lineage file ({error})") from error
    if not lineage.files or not _is_texts(lineage.files) or not _is_texts(lineage.source):
        raise InvalidFile(f"{path}: not a lineage file (it lists no files)")
    if not isinstance(lineage.form, str) or not _is_texts(lineage.tools) or not isinstance(lineage.arguments, dict):
        raise InvalidFile(f"{path}: not a lineage file (it does not say how it was made)")
    return lineage


def _is_texts(value: object) -> bool:
    """Names and what belongs to each, both text."""
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


def _training_data(folder: Path) -> str | None:
    """Hash of the manifest that training put into the checkpoint's lineage, in the form it has as a file."""
    try:
        manifest = json.loads((folder / checkpoint.LINEAGE_FILE).read_bytes())["data"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return None
    return hashlib.sha256((json.dumps(manifest, indent=2) + "\n").encode()).hexdigest()
