"""The weights of a checkpoint folder: `model.safetensors`, or an index and the shards it names.

The format is 8 bytes of header length, a JSON header, then the tensors without a gap (huggingface.co/docs/safetensors).
The index maps each tensor to a shard. Both come from outside: before a byte of a tensor is used, each is known to lie
whole in one file of the folder, under a name that occurs once.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import InvalidCall, InvalidFile

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"

_BYTES_PER_ELEMENT = {"F32": 4, "F16": 2, "BF16": 2}
_MAX_HEADER_BYTES = 64 * 2**20  # of a header, and of an index
_SHARD_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,250}\.safetensors")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass(frozen=True)
class StoredTensor:
    """Where one tensor's bytes lie."""

    file: str  # name in the folder
    dtype: str  # F32, F16 or BF16
    shape: tuple[int, ...]
    offset: int  # bytes from the start of the file
    nbytes: int


def has_weights(folder: Path) -> bool:
    """Whether there is a `model.safetensors`, or an index."""
    return any((folder / name).is_file() for name in (WEIGHTS_FILE, INDEX_FILE))


def weights_files(folder: Path) -> list[str]:
    """Names of the files that hold the weights: `model.safetensors`, or the index and every shard, which are there.

    Where both are there the index does not count, as in transformers.

    Raises:
        InvalidCall: there are no weights.
        InvalidFile: there are only pickled ones, or the index is damaged or names a file that is missing or elsewhere.
    """
    if (folder / WEIGHTS_FILE).is_file():
        return [WEIGHTS_FILE]
    if (folder / INDEX_FILE).is_file():
        return [INDEX_FILE, *sorted(set(_read_index(folder / INDEX_FILE).values()))]
    refuse_pickles(folder)
    raise InvalidCall(f"{folder}: {WEIGHTS_FILE} is missing: give the folder of a trained model")


def refuse_pickles(folder: Path) -> None:
    """Say of a folder without readable weights what is wrong with those it has.

    Raises:
        InvalidFile: it holds pickled ones.
    """
    for pattern in _PICKLES:
        for path in sorted(folder.glob(pattern)):
            raise InvalidFile(f"{path}: pickled weights can run code and are not read: save as {WEIGHTS_FILE}")


def read_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Where each tensor of a checkpoint folder lies.

    Raises:
        InvalidCall: there are no weights.
        InvalidFile: as `weights_files`, or a file is damaged, truncated, or does not hold what the index says.
    """
    files = weights_files(folder)
    if files == [WEIGHTS_FILE]:
        return _read_header(folder / WEIGHTS_FILE)
    index = folder / INDEX_FILE
    places = _read_index(index)
    tensors: dict[str, StoredTensor] = {}
    for file in files[1:]:
        for name, stored in _read_header(folder / file).items():
            if places.get(name) != file:
                said = f"to be in {places[name]}" if name in places else "nothing of"
                raise InvalidFile(
                    f"{folder / file}: holds tensor {_short(name)}, which {INDEX_FILE} says {said}: get the model again"
                )
            tensors[name] = stored
    for name, file in places.items():
        if name not in tensors:
            raise InvalidFile(
                f"{folder / file}: tensor {_short(name)} is missing, {INDEX_FILE} says it is here: get the model again"
            )
    return tensors


def _read_index(path: Path) -> dict[str, str]:
    """Tensor -> shard. The total size in it says nothing that the headers do not; some published ones are wrong."""
    try:
        if path.stat().st_size > _MAX_HEADER_BYTES:
            raise InvalidFile(f"{path}: larger than {_MAX_HEADER_BYTES >> 20} MiB: not an index of weights")
        places = json.loads(path.read_bytes(), object_pairs_hook=_each_once)["weight_map"]
        if not places or not all(isinstance(file, str) for file in places.values()):
            raise TypeError("weight_map names no files")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidFile(f"{path}: damaged, not an index of weights ({_short(error)}): get the model again") from error
    for file in sorted(set(places.values())):
        _check_shard(path, file)
    return dict(places)


def _check_shard(index: Path, file: str) -> None:
    shard = index.parent / file
    if not _SHARD_NAME.fullmatch(file):
        raise InvalidFile(f"{index}: names {file[:80]!r}, which is no shard of its folder: do not trust it")
    if not shard.is_file():
        raise InvalidFile(f"{shard}: missing, and {index.name} names it: get this file of the model again")
    # A shard may be a link inside the folder, or what the Hub's cache makes of it: snapshots/REVISION/NAME is a link to
    # blobs/HASH of the same model.
    here, there = index.parent.resolve(), shard.resolve().parent
    if there != here and not (here.parent.name == "snapshots" and there == here.parent.parent / "blobs"):
        raise InvalidFile(f"{shard}: a link out of its folder: not read, put the file itself there")


def _read_header(path: Path) -> dict[str, StoredTensor]:
    damaged = f"{path}: damaged or truncated"
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _MAX_HEADER_BYTES):
            raise InvalidFile(f"{damaged} (header of {length} bytes in a file of {size}): get the model again")
        raw = file.read(length)
    tensors = {}
    try:
        header = json.loads(raw, object_pairs_hook=_each_once)
        header.pop("__metadata__", None)
        for name, entry in header.items():
            begin, end = _whole_numbers(entry["data_offsets"])
            shape = tuple(_whole_numbers(entry["shape"]))
            dtype = str(entry["dtype"])
            if dtype not in _BYTES_PER_ELEMENT:
                raise InvalidFile(
                    f"{path}: tensor {_short(name)} is {dtype[:20]}: only F32, F16 and BF16 are supported"
                )
            nbytes = math.prod(shape) * _BYTES_PER_ELEMENT[dtype]
            if end - begin != nbytes or 8 + length + end > size:
                raise InvalidFile(f"{damaged} (tensor {_short(name)} lies outside the file): get the model again")
            tensors[name] = StoredTensor(path.name, dtype, shape, 8 + length + begin, nbytes)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidFile(f"{damaged} (its header is not valid: {_short(error)}): get the model again") from error
    at = 8 + length
    for name, stored in sorted(tensors.items(), key=lambda item: (item[1].offset, item[1].nbytes)):
        if stored.offset != at:
            raise InvalidFile(f"{damaged} (a gap or an overlap before tensor {_short(name)}): get the model again")
        at += stored.nbytes
    if at != size:
        raise InvalidFile(f"{damaged} ({size - at} bytes after the last tensor): get the model again")
    return tensors


def _each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """JSON readers differ on which of two equal keys counts, so neither does."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)} is there twice")
    return found


def _whole_numbers(values: Any) -> list[int]:
    if not isinstance(values, list) or not all(type(value) is int and value >= 0 for value in values):
        raise TypeError(f"{values} are no sizes")
    return values


def _short(text: object) -> str:
    return str(text)[:120]
