"""A GGUF file's weights in the engine's own layout: packed once, kept in the user's cache, mapped from there after.

The file has passed `read_gguf_header` and `gguf_model.read_config` before any of it is touched; the engine checks
every offset and size again.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import mmap
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import platformdirs

from ... import gguf_model
from ...atomic import atomic_file
from ...cores import usable_cores
from ...errors import EdgePhiError, InvalidFile
from ...gguf_header import GgufHeader
from . import library

_MAX_CONTEXT = 8192  # tokens; phi-2's geometry then takes 2.7 GB of cache
_CACHED_FROM_BYTES = 64 * 2**20  # smaller models are packed faster than a file is opened and written
_PAGE = 4096  # of a cache file: what it was packed from; the weights follow
_MAGIC = "edge-phi packed weights"
_SAMPLE_BYTES = 256  # of each tensor, to tell files of one size and one time apart
_LAYER_MATRICES = ("attn_qkv", "attn_output", "ffn_up", "ffn_down")


@dataclass(frozen=True)
class Weights:
    """Packed weights in memory, at an address that is a multiple of 64."""

    geometry: library.Geometry
    data: npt.NDArray[np.uint8]


def geometry_of(header: GgufHeader) -> library.Geometry | None:
    """What the engine needs to know of a Phi model, or None if it does not compute models of its types or shape.

    The matrices of the layers must be Q4_0 or Q8_0: both are packed without loss. The output head is computed in 8
    bits whatever it is stored in.

    Raises:
        InvalidFile: as `gguf_model.read_config`.
        MissingExtra: the engine was not built.
    """
    config = gguf_model.read_config(header)
    kinds = {
        header.tensors[f"blk.{layer}.{name}.weight"].type
        for layer in range(config.num_hidden_layers)
        for name in _LAYER_MATRICES
    }
    ends = {header.tensors[name].type for name in ("token_embd.weight", "output.weight")}
    if not kinds <= {"Q4_0", "Q8_0"} or not ends <= set(library.TYPES):
        return None
    geometry = library.Geometry(
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        heads=config.num_attention_heads,
        inner=config.intermediate_size,
        rotary=config.rotary_dim,
        vocabulary=config.vocab_size,
        context=min(config.max_position_embeddings, _MAX_CONTEXT),
        bits=4 if kinds == {"Q4_0"} else 8,
        embedding_type=library.TYPES[header.tensors["token_embd.weight"].type],
        epsilon=config.layer_norm_eps,
        theta=config.rope_theta,
    )
    fits = library.load_library().phi_packed_bytes(ctypes.byref(geometry)) > 0
    return geometry if fits else None


def open_weights(header: GgufHeader, geometry: library.Geometry) -> Weights:
    """The packed weights of a file: from the cache, or packed now, and cached if they are large.

    Raises:
        InvalidFile: a tensor is not what the header says.
        EdgePhiError: there is not enough memory.
    """
    total = library.load_library().phi_packed_bytes(ctypes.byref(geometry))
    if total < _CACHED_FROM_BYTES:
        return Weights(geometry, _pack(header, geometry, total))
    path, key = _cache_path(header), _key(header, geometry)
    cached = _mapped(path, key, total)
    if cached is None:
        cached = _pack(header, geometry, total)
        _keep(path, key, cached)
    return Weights(geometry, cached)


def _pack(header: GgufHeader, geometry: library.Geometry, total: int) -> npt.NDArray[np.uint8]:
    """Pack on all cores into fresh memory."""
    engine = library.load_library()
    tensors = [_entry(header, name) for name in _names(geometry.layers)]
    table = (library.Tensor * len(tensors))(*tensors)
    try:
        memory = np.empty(total + 64, np.uint8)
    except MemoryError as error:
        raise EdgePhiError(f"{header.path}: its weights take {total >> 20} MiB: not enough memory") from error
    packed = memory[-memory.ctypes.data % 64 :][:total]
    with header.path.open("rb") as file:
        source = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)

    def pack(part: int) -> int:
        status = engine.phi_pack(
            ctypes.byref(geometry),
            table,
            len(tensors),
            source.ctypes.data,
            source.size,
            packed.ctypes.data,
            total,
            part,
        )
        return int(status)

    with ThreadPoolExecutor(usable_cores(), thread_name_prefix="native pack") as pool:
        statuses = set(pool.map(pack, range(engine.phi_pack_parts(ctypes.byref(geometry)))))
    if library.NO_MEMORY in statuses:
        raise EdgePhiError(f"{header.path}: not enough memory to pack its weights")
    if statuses != {library.OK}:
        raise InvalidFile(f"{header.path}: its tensors are not as its header says: get the model again")
    return packed


def _names(layers: int) -> list[str]:
    """The tensors in the order of engine.h."""
    names = []
    for layer in range(layers):
        for part in ("attn_norm", *_LAYER_MATRICES):
            names += [f"blk.{layer}.{part}.weight", f"blk.{layer}.{part}.bias"]
    return [*names, "token_embd.weight", "output_norm.weight", "output_norm.bias", "output.weight", "output.bias"]


def _entry(header: GgufHeader, name: str) -> library.Tensor:
    tensor = header.tensors[name]
    rows, columns = (1, *tensor.shape)[-2:]
    return library.Tensor(tensor.offset, tensor.nbytes, rows, columns, library.TYPES[tensor.type], 0)


def _cache_path(header: GgufHeader) -> Path:
    folder = Path(platformdirs.user_cache_dir("edge-phi", appauthor=False)) / "native"
    source = str(header.path.resolve())
    return folder / f"{header.path.stem}-{hashlib.sha256(source.encode()).hexdigest()[:16]}.packed"


def _key(header: GgufHeader, geometry: library.Geometry) -> dict[str, Any]:
    """What must be the same for packed weights to be those of this file."""
    stat = header.path.stat()
    sample = hashlib.sha256()
    with header.path.open("rb") as file:
        for name in _names(geometry.layers):
            file.seek(header.tensors[name].offset)
            sample.update(file.read(_SAMPLE_BYTES))
    return {
        "magic": _MAGIC,
        "format": library.load_library().phi_format(),
        "source": str(header.path.resolve()),
        "bytes": stat.st_size,
        "modified_ns": stat.st_mtime_ns,
        "sample": sample.hexdigest(),
        "geometry": {field[0]: getattr(geometry, field[0]) for field in library.Geometry._fields_},
    }


def _mapped(path: Path, key: Mapping[str, Any], total: int) -> npt.NDArray[np.uint8] | None:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != _PAGE + total or _read_key(file.read(_PAGE)) != key:
                return None
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if hasattr(mmap, "MADV_HUGEPAGE"):  # a token reads every page: with large ones it is 7 % faster
            mapped.madvise(mmap.MADV_HUGEPAGE)
        # The array keeps the map, and the map the file, also when another process replaces it.
        return np.frombuffer(mapped, np.uint8, total, _PAGE)
    except OSError:
        return None


def _keep(path: Path, key: Mapping[str, Any], packed: npt.NDArray[np.uint8]) -> None:
    """Write a cache file if there is room; to go without it is no error."""
    head = json.dumps(key).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _forget_orphans(path.parent)
        if len(head) > _PAGE or shutil.disk_usage(path.parent).free < 2 * packed.size:
            return
        with atomic_file(path) as file:
            file.write(head.ljust(_PAGE))
            file.write(packed.data)
        if hasattr(os, "posix_fadvise"):  # what was written lies in small pages: let it be read anew, in large ones
            with path.open("rb") as written:
                os.posix_fadvise(written.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    except (OSError, EdgePhiError):
        return


def _forget_orphans(folder: Path) -> None:
    """Remove what was packed from files that are gone."""
    for path in folder.glob("*.packed"):
        with path.open("rb") as file:
            key = _read_key(file.read(_PAGE))
        source = key.get("source") if isinstance(key, dict) else None
        if not isinstance(source, str) or not Path(source).exists():
            path.unlink(missing_ok=True)


def _read_key(page: bytes) -> Any:
    try:
        return json.loads(page)
    except ValueError:
        return None
