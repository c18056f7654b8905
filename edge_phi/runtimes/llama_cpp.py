"""llama.cpp through llama-cpp-python's low-level API: files are checked, a prefill can be stopped, the log is kept.

The high-level class is left aside: it cannot interrupt a prefill, and keeps the logits of every token.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import dataclasses
import functools
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import gguf_model
from ..cores import usable_cores
from ..errors import Cancelled, EdgePhiError, InvalidCall, InvalidFile, MissingExtra
from ..gguf_header import read_gguf_header
from ..store import Artifact
from . import RuntimeInfo, check_extend, check_rewind, stoppable_chunk, worth_stopping

_CHUNK = 512  # tokens llama.cpp computes at once
_ROWS = 64  # of logits at once, when all are wanted: llama.cpp reserves memory for so many
_MAX_CONTEXT = 8192  # tokens; phi-2's geometry then takes 2.7 GB of cache
_POLL_S = 0.002  # how often a long call looks whether it is cancelled

_ERROR_LEVEL, _ABORTED = 4, 2  # of enum ggml_log_level; of llama_decode's results
_OVERRIDE_WHOLE, _OVERRIDE_TEXT = 0, 3

_errors: collections.deque[str] = collections.deque(
    maxlen=8
)  # what llama.cpp said of the last failure, for our messages


class LlamaCppRuntime:
    """A GGUF file in llama.cpp, on the CPU; the protocol is `edge_phi.runtimes.Runtime`."""

    def __init__(self, artifact: Artifact, *, threads: int | None = None) -> None:
        """Load `artifact`.

        Args:
            artifact: of format "gguf".
            threads: computing threads; as many as the cores this process may use if None.

        Raises:
            InvalidCall: no such file, or fewer than one thread.
            InvalidFile: it is damaged, or llama.cpp does not know its architecture.
            MissingExtra: llama-cpp-python is not installed.
        """
        header = read_gguf_header(artifact.path)
        vocabulary, context = gguf_model.read_geometry(header)
        threads = usable_cores() if threads is None else threads
        if threads < 1:
            raise InvalidCall(f"{threads} threads cannot compute: give 1 or more")
        self.info = RuntimeInfo(
            engine="llama_cpp",
            quant=artifact.quant,
            file_bytes=header.file_bytes,
            vocab_size=vocabulary,
            context_length=min(context, _MAX_CONTEXT),
            threads=threads,
        )
        self.length = 0
        self._llama = load_llama_cpp()
        self._model: Any = None
        self._context: Any = None
        self._batch: Any = None
        try:
            self._load(str(artifact.path), is_phi=header.architecture == gguf_model.ARCHITECTURE)
        except BaseException:
            self.close()
            raise

    def extend(
        self, tokens: Sequence[int], *, all_logits: bool = False, cancel: threading.Event | None = None
    ) -> npt.NDArray[np.float32]:
        """Append `tokens` and return logits; see `Runtime.extend`. Cancelled, it stops after a node of the graph."""
        self._check_open()
        check_extend(tokens, self.length, self.info)
        start = self.length
        chunk = _ROWS if all_logits else _CHUNK if cancel is None else stoppable_chunk(_CHUNK, self.info)
        logits = np.empty((len(tokens) if all_logits else 1, self.info.vocab_size), np.float32)
        try:
            with self._stopped_by(cancel if worth_stopping(len(tokens), self.info) else None):
                for done in range(0, len(tokens), chunk):
                    part = tokens[done : done + chunk]
                    rows = len(part) if all_logits else int(done + chunk >= len(tokens))
                    if cancel and cancel.is_set():
                        raise Cancelled("cancelled while reading the prompt")
                    self._decode(part, rows)
                    self.length += len(part)
                    if rows:
                        target = logits[done:] if all_logits else logits
                        first = self._llama.llama_get_logits_ith(self._context, len(part) - rows)
                        ctypes.memmove(target.ctypes.data, first, rows * self.info.vocab_size * 4)
        except BaseException:
            self._forget_from(start)
            self.length = start
            raise
        return logits

    def rewind(self, length: int) -> None:
        """Forget all tokens past `length`; see `Runtime.rewind`."""
        self._check_open()
        check_rewind(length, self.length)
        if length < self.length:
            self._forget_from(length)
            self.length = length

    def use_threads(self, threads: int) -> None:
        """Compute with so many threads from now on; see `AdjustsThreads`."""
        self._check_open()
        self._llama.llama_set_n_threads(self._context, threads, threads)
        self.info = dataclasses.replace(self.info, threads=threads)

    def snapshot(self) -> bytes:
        """The state of all tokens in the cache; see `Snapshots.snapshot`."""
        self._check_open()
        size = self._llama.llama_state_seq_get_size(self._context, 0)
        state = (ctypes.c_uint8 * size)()
        written = self._llama.llama_state_seq_get_data(self._context, state, size, 0)
        if written != size:
            raise EdgePhiError(f"llama.cpp gave {written} of {size} bytes of its state ({_reason()})")
        return bytes(state)

    def restore(self, state: bytes, length: int) -> None:
        """Replace what is in the cache; see `Snapshots.restore`. llama.cpp checks what it reads against its model."""
        self._check_open()
        self._llama.llama_memory_clear(self._memory, False)  # so that tokens lie as if they had been read
        self.length = 0
        data = (ctypes.c_uint8 * len(state)).from_buffer_copy(state)
        _errors.clear()
        read = self._llama.llama_state_seq_set_data(self._context, data, len(state), 0)
        last = self._llama.llama_memory_seq_pos_max(self._memory, 0)
        if not length or read != len(state) or last != length - 1:
            self._llama.llama_memory_clear(self._memory, False)
            raise InvalidFile(f"llama.cpp does not take a state of {length} tokens back ({_reason()})")
        self.length = length

    def close(self) -> None:
        """Free the model; a second call does nothing."""
        if self._batch is not None:
            self._llama.llama_batch_free(self._batch)
        if self._context is not None:
            self._llama.llama_free(self._context)
        if self._model is not None:
            self._llama.llama_model_free(self._model)
        self._model = self._context = self._batch = None

    def _load(self, path: str, *, is_phi: bool) -> None:
        llama, info = self._llama, self.info
        _errors.clear()
        parameters = llama.llama_model_default_params()
        parameters.n_gpu_layers = 0
        # Of a Phi the words stay unread: the tokenizer is ours, and hostile ones never reach native code.
        overrides = (llama.llama_model_kv_override * 3)()  # the third, empty, ends the list
        overrides[0].tag, overrides[0].key = _OVERRIDE_TEXT, b"tokenizer.ggml.model"
        overrides[0].value.val_str = b"no_vocab"
        overrides[1].tag, overrides[1].key = _OVERRIDE_WHOLE, b"phi2.vocab_size"
        overrides[1].value.val_i64 = info.vocab_size
        if is_phi:
            parameters.kv_overrides = overrides
        self._model = llama.llama_model_load_from_file(path.encode(), parameters)
        if not self._model:
            raise InvalidFile(f"{path}: llama.cpp does not load it ({_reason()})")

        # Left as they are: flash attention (on where the processor gains by it) and a float16 cache, because a float32
        # one was slower and no closer to the baseline, for float32 weights too.
        settings = llama.llama_context_default_params()
        settings.n_ctx = info.context_length
        settings.n_batch = settings.n_ubatch = min(_CHUNK, info.context_length)
        settings.n_outputs_max = min(_ROWS, info.context_length)
        settings.n_threads = settings.n_threads_batch = info.threads
        self._context = llama.llama_init_from_model(self._model, settings)
        if not self._context:
            raise EdgePhiError(f"{path}: llama.cpp makes no context for it ({_reason()}): is there enough memory?")
        self._memory: Any = llama.llama_get_memory(self._context)

        self._batch = llama.llama_batch_init(_CHUNK, 0, 1)
        self._token_ids: npt.NDArray[np.int32] = np.ctypeslib.as_array(self._batch.token, (_CHUNK,))
        self._positions: npt.NDArray[np.int32] = np.ctypeslib.as_array(self._batch.pos, (_CHUNK,))
        self._wants_logits: npt.NDArray[np.int8] = np.ctypeslib.as_array(self._batch.logits, (_CHUNK,))
        for row in range(_CHUNK):
            self._batch.n_seq_id[row] = 1
            self._batch.seq_id[row][0] = 0

    def _decode(self, tokens: Sequence[int], rows: int) -> None:
        """Compute one chunk, keeping the logits of its last `rows` tokens."""
        count = len(tokens)
        self._token_ids[:count] = tokens
        self._positions[:count] = np.arange(self.length, self.length + count)
        self._wants_logits[:count] = 0
        self._wants_logits[count - rows : count] = 1
        self._batch.n_tokens = count
        status = self._llama.llama_decode(self._context, self._batch)
        if status == _ABORTED:
            raise Cancelled("cancelled while reading the prompt")
        if status:
            raise EdgePhiError(f"llama.cpp failed with {status} ({_reason()})")

    @contextlib.contextmanager
    def _stopped_by(self, cancel: threading.Event | None) -> Iterator[None]:
        """Let `cancel` stop a `llama_decode` in this block.

        llama.cpp asks its abort callback before every node of the graph. One in Python would take the interpreter's
        lock each time, and wait for it while another thread computes in Python. So the callback is C's own `strlen`
        on a text that is empty (go on) until a watching thread makes it one byte long (stop). Each block has a text of
        its own, so nobody waits for the watcher to end.
        """
        if cancel is None:
            yield
            return
        text, over = ctypes.create_string_buffer(2), threading.Event()

        def watch() -> None:
            while not over.is_set():
                if cancel.wait(_POLL_S):
                    text[0] = b"\1"
                    return

        threading.Thread(target=watch, name="llama.cpp cancel", daemon=True).start()
        self._llama.llama_set_abort_callback(self._context, _c_strlen(), ctypes.addressof(text))
        try:
            yield
        finally:
            over.set()
            self._llama.llama_set_abort_callback(self._context, self._llama.ggml_abort_callback(), None)

    def _forget_from(self, position: int) -> None:
        self._llama.llama_memory_seq_rm(self._memory, 0, position, -1)

    def _check_open(self) -> None:
        if self._context is None:
            raise InvalidCall("this runtime is closed")


def missing_llama_cpp(what: str) -> MissingExtra:
    """The message for a machine without llama-cpp-python; `what` is the work that needs it."""
    return MissingExtra(
        f"{what} needs llama.cpp: run pip install 'edge-phi[gguf]' (it is compiled on this machine: that needs a C++ "
        "compiler and CMake, and about six minutes on two cores)"
    )


@functools.cache
def load_llama_cpp() -> Any:
    """Import llama_cpp's low-level API once, with its log kept from the terminal.

    Raises:
        MissingExtra: llama-cpp-python is not installed, or its library does not load.
    """
    try:
        import llama_cpp
    except ImportError as error:
        raise missing_llama_cpp("a GGUF model") from error
    except (OSError, RuntimeError) as error:
        raise MissingExtra(
            f"llama.cpp is installed but does not load ({error}): "
            "run pip install --force-reinstall --no-cache-dir 'edge-phi[gguf]'"
        ) from error
    llama_cpp.llama_log_set(_log_callback(llama_cpp), None)
    llama_cpp.llama_backend_init()
    return llama_cpp


@functools.cache  # what C holds a pointer to must not be collected
def _log_callback(llama_cpp: Any) -> Any:
    def log(level: int, text: bytes, _: object) -> None:
        if level == _ERROR_LEVEL:
            _errors.append(text.decode("utf-8", errors="replace").strip())

    return llama_cpp.llama_log_callback(log)


@functools.cache
def _c_strlen() -> Any:
    library = ctypes.CDLL("msvcrt" if sys.platform == "win32" else None)
    return ctypes.cast(library.strlen, load_llama_cpp().ggml_abort_callback)


def _reason() -> str:
    """llama.cpp's first word on a failure; what follows it only repeats that there was one."""
    return " ".join((_errors[0] if _errors else "it gives no reason").split())[:200]
