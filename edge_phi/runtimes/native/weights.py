"""A GGUF file's weights in the engine's own layout: packed once, kept in the user's cache, mapped from there after.

The file has passed `read_gguf_header` and `gguf_model.read_config` before any of it is touched, and is read through
arrays that know their ends.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
import shutil
from collections.abc import Iterator, Mapping
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
from ...gguf_rows import TYPES, Bytes, split
from . import library
from .packing import BLOCK, FORMAT, PAIR_BYTES, PANEL_ROWS, pack

_MAX_CONTEXT = 8192  # tokens; phi-2's geometry then takes 2.7 GB of cache
_CACHED_FROM_BYTES = 64 * 2**20  # smaller models are packed faster than a file is opened and written
_PAGE = 4096  # of a cache file: what it was packed from; the weights follow
_MAGIC = "edge-phi packed weights"
_SAMPLE_BYTES = 256  # of each tensor, to tell files of one size and one time apart
_PANELS_AT_ONCE = 8
_LAYER_MATRICES = ("attn_qkv", "attn_output", "ffn_up", "ffn_down")


@dataclass(frozen=True)
class Weights:
    """Packed weights in memory, at an address that is a multiple of 64."""

    geometry: library.Geometry
    plan: library.Plan
    packed: Bytes  # what the plan lays out
    scales: npt.NDArray[np.float32]  # of the embedding, as `split` gives them
    codes: npt.NDArray[Any]

    def embed(self, tokens: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """The embeddings of some tokens, [tokens, width]."""
        with np.errstate(all="ignore"):  # a file may hold what is no number
            rows: npt.NDArray[np.float32] = (self.scales[tokens, :, None] * self.codes[tokens]).reshape(len(tokens), -1)
        return rows


def geometry_of(header: GgufHeader) -> library.Geometry | None:
    """What the engine needs to know of a Phi model, or None if it does not compute models of its types or shape.

    The matrices of the layers must be Q4_0 or Q8_0: both are packed without loss. The output head is computed in 8
    bits whatever it is stored in. The cache is of float16.

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
    if not kinds <= {"Q4_0", "Q8_0"} or not ends <= set(TYPES):
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
        epsilon=config.layer_norm_eps,
        theta=config.rope_theta,
        cache_bits=16,
    )
    return geometry if library.plan_of(geometry) else None


def open_weights(header: GgufHeader, geometry: library.Geometry) -> Weights:
    """The packed weights of a file: from the cache, or packed now, and cached if they are large.

    Raises:
        InvalidFile: a tensor is not what the header says.
        EdgePhiError: there is not enough memory.
    """
    plan = library.plan_of(geometry)
    assert plan is not None  # `geometry_of` has seen to it
    dtype, block = TYPES[header.tensors["token_embd.weight"].type]
    block = block or geometry.width
    scales = (geometry.vocabulary, geometry.width // block)
    codes_at = plan.total + math.prod(scales) * 4
    total = codes_at + geometry.vocabulary * geometry.width * np.dtype(dtype).itemsize
    data = None
    if total >= _CACHED_FROM_BYTES:
        path, key = _cache_path(header), _key(header, geometry)
        data = _mapped(path, key, total)
    if data is None:
        data = _packed(header, geometry, plan, total)
        if total >= _CACHED_FROM_BYTES:
            _keep(path, key, data)
    return Weights(
        geometry,
        plan,
        packed=data[: plan.total],
        scales=data[plan.total : codes_at].view("<f4").reshape(scales),
        codes=data[codes_at:].view(dtype).reshape(*scales, block),
    )


def aligned_memory(nbytes: int, what: str) -> Bytes:
    """Zeroed memory that begins at a multiple of 64 bytes; what is not touched costs nothing.

    Raises:
        EdgePhiError: there is not enough.
    """
    try:
        memory = np.zeros(nbytes + 64, np.uint8)
    except MemoryError as error:
        raise EdgePhiError(f"{what}: {nbytes >> 20} MiB: not enough memory") from error
    return memory[-memory.ctypes.data % 64 :][:nbytes]


def _packed(header: GgufHeader, geometry: library.Geometry, plan: library.Plan, total: int) -> Bytes:
    """Pack on all cores into fresh memory."""
    memory = aligned_memory(total, f"{header.path}: its weights")
    try:
        with header.path.open("rb") as file:
            source = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
        with ThreadPoolExecutor(usable_cores(), thread_name_prefix="native pack") as pool:
            list(pool.map(lambda job: pack(*job), _jobs(header, geometry, plan, source, memory)))
    except MemoryError as error:
        raise EdgePhiError(f"{header.path}: not enough memory to pack its weights") from error
    except (ValueError, OSError) as error:  # a part of the file is not there
        raise InvalidFile(f"{header.path}: its tensors are not as its header says: get the model again") from error
    return memory


def _jobs(
    header: GgufHeader, geometry: library.Geometry, plan: library.Plan, source: Bytes, memory: Bytes
) -> Iterator[tuple[str, Bytes, Bytes, int]]:
    """Lay out all that is no matrix, and say what is left to `pack`: pieces that fit a processor's cache."""
    width, inner, words = geometry.width, geometry.inner, geometry.vocabulary

    def rows(name: str) -> Bytes:
        tensor = header.tensors[name]
        data = source[tensor.offset : tensor.offset + tensor.nbytes]
        if data.size != tensor.nbytes:
            raise ValueError(f"{name} ends after {data.size} bytes")
        whole: Bytes = data.reshape(1, *tensor.shape[:-1], -1)[0]
        return whole

    def put(at: int, *names: str) -> None:
        values = np.concatenate([rows(name) for name in names])
        memory[at : at + values.size] = values

    def panels(at: int, rows: int, columns: int, bits: int) -> Bytes:
        shape = (-(-rows // PANEL_ROWS), columns // (2 * BLOCK), PAIR_BYTES[bits])
        return memory[at : at + math.prod(shape)].reshape(shape)

    def pieces(name: str, panels: Bytes, bits: int) -> Iterator[tuple[str, Bytes, Bytes, int]]:
        matrix = rows(f"{name}.weight")
        for first in range(0, len(panels), _PANELS_AT_ONCE):
            piece = panels[first : first + _PANELS_AT_ONCE]
            part = matrix[first * PANEL_ROWS :][: len(piece) * PANEL_ROWS]
            missing = len(piece) * PANEL_ROWS - len(part)  # rows of the head's last panel
            if missing:
                part = np.concatenate([part, np.zeros((missing, part.shape[1]), np.uint8)])
            yield header.tensors[f"{name}.weight"].type, part, piece, bits

    for layer in range(geometry.layers):
        at, name = layer * plan.layer_bytes, f"blk.{layer}."
        put(at + plan.norm_weight, f"{name}attn_norm.weight")
        put(at + plan.norm_bias, f"{name}attn_norm.bias")
        put(at + plan.first_bias, f"{name}attn_qkv.bias", f"{name}ffn_up.bias")
        both = (rows(f"{name}{part}.bias").view("<f4") for part in ("attn_output", "ffn_down"))
        with np.errstate(all="ignore"):
            memory[at + plan.second_bias :][: width * 4].view("<f4")[:] = sum(both)
        first = panels(at + plan.first, 3 * width + inner, width, geometry.bits)
        second = panels(at + plan.second, width, width + inner, geometry.bits)
        turn, half = 3 * width // PANEL_ROWS, width // (2 * BLOCK)
        yield from pieces(f"{name}attn_qkv", first[:turn], geometry.bits)
        yield from pieces(f"{name}ffn_up", first[turn:], geometry.bits)
        yield from pieces(f"{name}attn_output", second[:, :half], geometry.bits)
        yield from pieces(f"{name}ffn_down", second[:, half:], geometry.bits)
    put(plan.last_norm_weight, "output_norm.weight")
    put(plan.last_norm_bias, "output_norm.bias")
    memory[plan.head_bias : plan.last_norm_weight] = 0
    put(plan.head_bias, "output.bias")
    parts = split(header.tensors["token_embd.weight"].type, rows("token_embd.weight"))
    memory[plan.total :] = np.concatenate([np.ascontiguousarray(part).view(np.uint8).reshape(-1) for part in parts])
    yield from pieces("output", panels(plan.head, words, width, 8), 8)


def _cache_path(header: GgufHeader) -> Path:
    folder = Path(platformdirs.user_cache_dir("edge-phi", appauthor=False)) / "native"
    source = str(header.path.resolve())
    return folder / f"{header.path.stem}-{hashlib.sha256(source.encode()).hexdigest()[:16]}.packed"


def _key(header: GgufHeader, geometry: library.Geometry) -> dict[str, Any]:
    """What must be the same for packed weights to be those of this file."""
    stat = header.path.stat()
    sample = hashlib.sha256()
    with header.path.open("rb") as file:
        for tensor in header.tensors.values():
            file.seek(tensor.offset)
            sample.update(file.read(_SAMPLE_BYTES))
    return {
        "magic": _MAGIC,
        "format": FORMAT,
        "source": str(header.path.resolve()),
        "bytes": stat.st_size,
        "modified_ns": stat.st_mtime_ns,
        "sample": sample.hexdigest(),
        "geometry": {name: getattr(geometry, name) for name, *_ in library.Geometry._fields_ if name != "cache_bits"},
    }


def _mapped(path: Path, key: Mapping[str, Any], total: int) -> Bytes | None:
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


def _keep(path: Path, key: Mapping[str, Any], packed: Bytes) -> None:
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
