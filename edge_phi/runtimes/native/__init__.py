"""edge-phi's own engine: C++ for one architecture, Phi, and weights of 4 or 8 bits, on the CPU.

It exists for what typing asks of a model: a few new tokens at a time. Logits are the same bits for any chunking and any
number of threads, so that what is computed ahead, or speculated, changes nothing. engine.h is its C interface.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ... import gguf_model
from ...cores import usable_cores
from ...errors import Cancelled, EdgePhiError, InvalidCall, InvalidFile, MissingExtra
from ...gguf_header import GgufHeader, read_gguf_header
from ...store import Artifact
from .. import RuntimeInfo, check_extend, check_rewind
from .library import CANCELLED, NO_MEMORY, OK, PAGE, PORTABLE, kernels, load_library
from .pages import Pages
from .weights import aligned_memory, geometry_of, open_weights

__all__ = ["NativeRuntime", "kernels", "open_suited"]

_POLL_S = 0.002  # how often a long call looks whether it is cancelled
_SHORT_BYTES = 100e6  # weights times tokens: calls below take a few milliseconds, and nobody watches them
_MAX_THREADS = 64
_CACHE_BITS = {"float16": 16, "int8": 8}
_SPARE_BYTES = 256 * 2**20  # of cache beyond a whole context, at most: what is remembered of other sequences


def open_suited(artifact: Artifact, threads: int | None = None) -> NativeRuntime | None:
    """Load a GGUF file if this engine computes such a model, and computes it fast here; else None.

    Raises:
        InvalidCall, InvalidFile, EdgePhiError: as `NativeRuntime`.
    """
    header = read_gguf_header(artifact.path)  # read once: a large vocabulary takes a sixth of a second
    if header.architecture != gguf_model.ARCHITECTURE:
        return None
    try:
        fast = kernels()[0] != PORTABLE or not importlib.util.find_spec("llama_cpp")
        if not fast or geometry_of(header) is None:
            return None
    except MissingExtra:
        return None
    return NativeRuntime(artifact, threads=threads, header=header)


class NativeRuntime:
    """A Q4_0 or Q8_0 GGUF file of a Phi model in our own engine; the protocol is `edge_phi.runtimes.Runtime`."""

    def __init__(
        self,
        artifact: Artifact,
        *,
        threads: int | None = None,
        kv: Literal["float16", "int8"] = "float16",
        kernels: str = "",
        header: GgufHeader | None = None,
    ) -> None:
        """Load `artifact`.

        Args:
            artifact: of format "gguf".
            threads: computing threads; as many as the cores this process may use if None.
            kv: what keys and values are kept in. int8, with a scale for each head and position, takes about half the
                memory and rounds more (docs/native.md says what that costs).
            kernels: a name of `kernels()`; the fastest if empty.
            header: the file's, if it has been read already.

        Raises:
            InvalidCall: no such file, fewer than one thread, or no such `kv`.
            InvalidFile: it is damaged, or not a Phi model of 4 or 8 bits.
            MissingExtra: the engine was not built when edge-phi was installed.
            EdgePhiError: there is not enough memory.
        """
        self._engine: int | None = None
        self._watcher: threading.Thread | None = None
        self._library = load_library()
        threads = usable_cores() if threads is None else threads
        if threads < 1:
            raise InvalidCall(f"{threads} threads cannot compute: give 1 or more")
        if kv not in _CACHE_BITS:
            raise InvalidCall(f"no cache of {kv!r}: there are {', '.join(_CACHE_BITS)}")
        header = header or read_gguf_header(artifact.path)
        geometry = geometry_of(header)
        if geometry is None:
            raise InvalidFile(
                f"{artifact.path}: the native engine computes matrices of Q4_0 and Q8_0 in whole blocks: use llama.cpp"
            )
        self.info = RuntimeInfo(
            engine="native",
            quant=artifact.quant,
            file_bytes=header.file_bytes,
            vocab_size=geometry.vocabulary,
            context_length=geometry.context,
            threads=min(threads, _MAX_THREADS),
        )
        geometry.cache_bits = _CACHE_BITS[kv]
        self._weights: Any = open_weights(header, geometry)
        plan, longest = self._weights.plan, -(-geometry.context // PAGE)
        spare = max(1, min(longest, _SPARE_BYTES // plan.page_bytes))
        cache = aligned_memory(
            (longest + spare) * plan.page_bytes, f"{artifact.path}: a cache of {geometry.context} tokens"
        )
        self._cache: Any = cache.reshape(-1, plan.page_bytes)
        self._pages = Pages(PAGE, longest, spare, self._copy_page)
        packed = self._weights.packed
        self._engine = self._library.phi_open(
            ctypes.byref(geometry),
            packed.ctypes.data,
            packed.size,
            cache.ctypes.data,
            longest + spare,
            kernels.encode(),
        )
        if not self._engine:
            self.close()
            if kernels and kernels not in _kernels():
                raise InvalidCall(f"no kernels {kernels!r} here: there are {', '.join(_kernels())}")
            raise EdgePhiError(f"{artifact.path}: not enough memory to compute it")

    @property
    def length(self) -> int:
        """Tokens now in the cache."""
        return self._pages.length

    @property
    def cache_bytes_per_token(self) -> float:
        """Memory that the keys and values of one token take."""
        self._check_open()
        return float(self._cache.shape[1] / PAGE)

    def extend(
        self, tokens: Sequence[int], *, all_logits: bool = False, cancel: threading.Event | None = None
    ) -> npt.NDArray[np.float32]:
        """Append `tokens` and return logits; see `Runtime.extend`. A call is cancelled within a few milliseconds."""
        self._check_open()
        check_extend(tokens, self.length, self.info)
        ids = np.asarray(tokens, np.int32)
        logits = np.empty((len(ids) if all_logits else 1, self.info.vocab_size), np.float32)
        if cancel and cancel.is_set():
            raise Cancelled("cancelled while reading the prompt")
        with self._stopped_by(cancel if len(ids) * self._weights.packed.size > _SHORT_BYTES else None) as flag:
            embedded = self._weights.embed(ids)
            self._pages.reserve(tokens)
            status = self._library.phi_forward(
                self._engine, embedded.ctypes.data, len(ids), self.length, self._pages.table.ctypes.data,
                logits.ctypes.data, len(logits), self.info.threads, flag,
            )  # fmt: skip
        if status != OK:
            self._pages.rewind(self.length)
        if status == CANCELLED:
            raise Cancelled("cancelled while reading the prompt")
        if status == NO_MEMORY:
            raise EdgePhiError(f"not enough memory for {self.info.threads} threads")
        if status != OK:
            raise EdgePhiError(f"the native engine failed with {status}")
        self._pages.keep(tokens)
        return logits

    def reuse(self, tokens: Sequence[int]) -> int:
        """Make the cache hold the longest start of `tokens` that was computed before, and return its length.

        That may be after a `rewind` or `reuse` that went elsewhere: as much as there is room for is remembered. What
        `extend` then gives is the same, bit for bit, as if all had been computed now.
        """
        self._check_open()
        return self._pages.reuse(tokens)

    def rewind(self, length: int) -> None:
        """Forget all tokens past `length`; see `Runtime.rewind`."""
        self._check_open()
        check_rewind(length, self.length)
        self._pages.rewind(length)

    def snapshot(self) -> bytes:
        """The sequence's tokens, as int32, and the pages that hold their keys and values; see `Snapshots.snapshot`."""
        self._check_open()
        tokens = np.array(self._pages.tokens, np.int32)
        pages: bytes = self._cache[self._pages.table[: -(-len(tokens) // PAGE)]].tobytes()
        return tokens.tobytes() + pages

    def restore(self, state: bytes, length: int) -> None:
        """Replace what is in the cache; see `Snapshots.restore`."""
        self._check_open()
        self._pages.rewind(0)
        count = -(-length // PAGE)
        if not 0 < length <= self.info.context_length or len(state) != 4 * length + count * self._cache.shape[1]:
            raise InvalidFile(f"{len(state)} bytes are no keys and values of {length} tokens of this model")
        tokens = np.frombuffer(state, np.int32, length).tolist()
        if min(tokens) < 0 or max(tokens) >= self.info.vocab_size:
            raise InvalidFile(f"a token of the state is outside the vocabulary of {self.info.vocab_size}")
        common = self._pages.reuse(tokens)
        self._pages.reserve(tokens[common:])
        pages = np.frombuffer(state, np.uint8, offset=4 * length).reshape(count, -1)
        first = common // PAGE  # what comes before is there
        self._cache[self._pages.table[first:count]] = pages[first:]
        self._pages.keep(tokens[common:])

    def close(self) -> None:
        """Free the model and end its threads; a second call does nothing."""
        if self._engine:
            self._library.phi_close(self._engine)
        if self._watcher is not None:
            self._watcher.join()
        self._engine = self._weights = self._cache = self._watcher = None

    def __del__(self) -> None:
        self.close()

    @contextlib.contextmanager
    def _stopped_by(self, cancel: threading.Event | None) -> Iterator[Any]:
        """A flag that `cancel` sets: the engine reads it before each piece of work, without the interpreter."""
        if cancel is None:
            yield None
            return
        flag, over = ctypes.c_int32(0), threading.Event()

        def watch() -> None:
            while not over.is_set():
                if cancel.wait(_POLL_S):
                    flag.value = 1
                    return

        self._watcher = threading.Thread(target=watch, name="native cancel", daemon=True)
        self._watcher.start()
        try:
            yield ctypes.byref(flag)
        finally:
            over.set()

    def _copy_page(self, number: int, to: int) -> None:
        self._cache[to] = self._cache[number]

    def _check_open(self) -> None:
        if self._engine is None:
            raise InvalidCall("this runtime is closed")


_kernels = kernels  # the constructor has an argument of that name
