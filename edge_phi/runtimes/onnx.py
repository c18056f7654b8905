"""ONNX folders that `edge_phi.convert.onnx` wrote, in ONNX Runtime on the CPU.

Every layer's past and present are the same buffer, as long as the context: attention writes new keys and values in
place, nothing is copied between calls, and forgetting tokens means counting fewer. Buffers that long make neither
prefill nor decode slower than buffers of the exact length.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..checkpoint import PhiConfig, open_checkpoint, read_config
from ..cores import usable_cores
from ..errors import Cancelled, EdgePhiError, InvalidCall, InvalidFile
from ..store import Artifact
from . import RuntimeInfo, check_extend, check_rewind, stoppable_chunk, worth_stopping
from .onnx_file import read_external_tensors

# From 1.29 on ONNX Runtime keeps a device id and reports each session to its makers, unless it is told not to before it
# is imported. Nothing here leaves this machine.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

_CHUNK = 128  # tokens computed at once: with 512 attention takes 1.6 times as long
_POLL_S = 0.002  # how often who watches for cancelling looks whether the call is over
_SPIN_BYTES, _SPIN_US = 64_000_000, 50  # up to what size threads spin within a call, and how long for each other
_SILENT = 4  # log severity: what goes wrong is raised, and said once


class OnnxRuntime:
    """An ONNX folder in ONNX Runtime; the protocol is `edge_phi.runtimes.Runtime`."""

    def __init__(self, artifact: Artifact, *, threads: int | None = None) -> None:
        """Load `artifact`.

        Args:
            artifact: of format "onnx".
            threads: computing threads; as many as the cores this process may use if None.

        Raises:
            InvalidCall: no such folder, or fewer than one thread.
            InvalidFile: a file of it is missing, damaged or truncated, or the graph is not of our making.
            EdgePhiError: there is no memory for its cache.
        """
        config = _checked(artifact)
        threads = usable_cores() if threads is None else threads
        if threads < 1:
            raise InvalidCall(f"{threads} threads cannot compute: give 1 or more")
        self.info = RuntimeInfo(
            engine="onnx",
            quant=artifact.quant,
            file_bytes=artifact.file_bytes,
            vocab_size=config.vocab_size,
            context_length=config.max_position_embeddings,
            threads=threads,
        )
        self.length = 0
        self._session: Any = _load(artifact, config, threads)
        self._binding: Any = self._session.io_binding()
        self._mask = np.ones((1, self.info.context_length), np.int64)
        self._masks: dict[int, Any] = {}  # length -> that much of it
        self._options = _silent_options()
        # One token at a time is what time matters for: its arrays stay the same, and bound while nothing else is.
        self._step = _Chunk(np.zeros((1, 1), np.int64), np.zeros((1, self.info.vocab_size), np.float32))
        self._step_is_bound = False
        self._cache: list[npt.NDArray[np.float32]] = []  # bindings share arrays' memory and do not keep it alive
        shape = (1, config.num_attention_heads, self.info.context_length, config.head_dim)
        for layer in range(config.num_hidden_layers):
            for part in ("key", "value"):
                try:
                    self._cache.append(np.zeros(shape, np.float32))  # takes no memory until it is written over
                except MemoryError as error:
                    raise EdgePhiError(
                        f"{artifact.path}: no memory for a context of {self.info.context_length} tokens: "
                        "lower max_position_embeddings in config.json"
                    ) from error
                buffer = onnxruntime.OrtValue.ortvalue_from_numpy(self._cache[-1])
                self._binding.bind_ortvalue_input(f"past_key_values.{layer}.{part}", buffer)
                self._binding.bind_ortvalue_output(f"present.{layer}.{part}", buffer)

    def extend(
        self, tokens: Sequence[int], *, all_logits: bool = False, cancel: threading.Event | None = None
    ) -> npt.NDArray[np.float32]:
        """Append `tokens` and return logits; see `Runtime.extend`. Cancelled, it stops after a node of the graph."""
        self._check_open()
        check_extend(tokens, self.length, self.info)
        start = self.length
        try:
            if len(tokens) == 1:
                if cancel and cancel.is_set():
                    raise Cancelled("cancelled before the token")
                with self._stopped_by(cancel) as options:
                    self._run_step(tokens[0], options)
                return np.array(self._step.logits)
            logits = np.empty((len(tokens) if all_logits else 1, self.info.vocab_size), np.float32)
            self._run_chunks(tokens, logits, all_logits, cancel)
            return logits
        except BaseException as error:
            self.length = start
            if isinstance(error, EdgePhiError) or not isinstance(error, Exception):
                raise
            if cancel and cancel.is_set():
                raise Cancelled("cancelled while reading the prompt") from error
            raise EdgePhiError(f"ONNX Runtime failed: {_one_line(error)}") from error

    def rewind(self, length: int) -> None:
        """Forget all tokens past `length`; see `Runtime.rewind`."""
        self._check_open()
        check_rewind(length, self.length)
        self.length = length

    def snapshot(self) -> bytes:
        """The keys and values of all tokens in the cache; see `Snapshots.snapshot`."""
        self._check_open()
        return b"".join(part[:, :, : self.length].tobytes() for part in self._cache)

    def restore(self, state: bytes, length: int) -> None:
        """Replace what is in the cache; see `Snapshots.restore`."""
        self._check_open()
        self.length = 0
        _, heads, context, size = self._cache[0].shape
        values = np.frombuffer(state, np.float32) if len(state) % 4 == 0 else np.empty(0, np.float32)
        if not 0 < length <= context or values.size != len(self._cache) * heads * length * size:
            raise InvalidFile(f"{len(state)} bytes are no keys and values of {length} tokens of this model")
        for part, stored in zip(self._cache, values.reshape(len(self._cache), heads, length, size), strict=True):
            part[0, :, :length] = stored
        self.length = length

    def close(self) -> None:
        """Free the model; a second call does nothing."""
        self._binding = self._session = None
        self._cache.clear()
        self._masks.clear()

    def _run_step(self, token: int, options: Any) -> None:
        """Compute one token into the logits of `_step`."""
        if not self._step_is_bound:
            self._step.bind_to(self._binding)
            self._step_is_bound = True
        self._step.ids[...] = token
        self._run(1, options)

    def _run_chunks(
        self, tokens: Sequence[int], logits: npt.NDArray[np.float32], all_logits: bool, cancel: threading.Event | None
    ) -> None:
        """Compute `tokens` in chunks; `logits` [rows, vocabulary] takes those of all, or of the last."""
        self._step_is_bound = False
        size = _CHUNK if cancel is None else stoppable_chunk(_CHUNK, self.info)
        with self._stopped_by(cancel, len(tokens)) as options:
            for done in range(0, len(tokens), size):
                part = tokens[done : done + size]
                if cancel and cancel.is_set():
                    raise Cancelled("cancelled while reading the prompt")
                rows = logits[done : done + len(part)] if all_logits else logits
                chunk = _Chunk(np.array([part], np.int64), rows)
                chunk.bind_to(self._binding)
                self._run(len(part), options)

    def _run(self, count: int, options: Any) -> None:
        """Compute the `count` tokens that are bound."""
        length = self.length + count
        if length not in self._masks:  # kept: an editor's completions come back to the same lengths
            self._masks[length] = onnxruntime.OrtValue.ortvalue_from_numpy(self._mask[:, :length])
        self._binding.bind_ortvalue_input("attention_mask", self._masks[length])
        self._session.run_with_iobinding(self._binding, options)
        self.length = length

    @contextlib.contextmanager
    def _stopped_by(self, cancel: threading.Event | None, count: int = 1) -> Iterator[Any]:
        """Options of a run that `cancel` stops: ONNX Runtime looks at their flag before every node of the graph."""
        if cancel is None or not worth_stopping(count, self.info):
            yield self._options
            return
        options, over = _silent_options(), threading.Event()

        def watch() -> None:
            while not over.is_set():
                if cancel.wait(_POLL_S):
                    options.terminate = True
                    return

        threading.Thread(target=watch, name="onnx cancel", daemon=True).start()
        try:
            yield options
        finally:
            over.set()

    def _check_open(self) -> None:
        if self._session is None:
            raise InvalidCall("this runtime is closed")


class _Chunk:
    """Tokens to compute and where the logits of the last of them go; keeps alive what is bound."""

    def __init__(self, ids: npt.NDArray[np.int64], logits: npt.NDArray[np.float32]) -> None:
        """`ids` is [1, tokens], `logits` is [rows, vocabulary] with at most as many rows."""
        self.ids = ids
        self.logits = logits
        value = onnxruntime.OrtValue.ortvalue_from_numpy
        first = np.array([ids.shape[1] - len(logits)], np.int64)
        self._inputs = {"input_ids": value(ids), "logits_from": value(first)}
        self._output = value(logits[None])

    def bind_to(self, binding: Any) -> None:
        for name, value in self._inputs.items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_ortvalue_output("logits", self._output)


def _silent_options() -> Any:
    options = onnxruntime.RunOptions()
    options.log_severity_level = _SILENT
    # The default of what only GPUs use; where it is not said, each run looks for it by an exception that takes 0.1 ms.
    options.add_run_config_entry("gpu_graph_id", "0")
    return options


def _checked(artifact: Artifact) -> PhiConfig:
    """The model's configuration, once every file the native loader will open has been looked at."""
    if not artifact.path.is_dir():
        raise InvalidCall(f"{artifact.path}: no such folder: give one that 'edge-phi convert' made")
    graph = artifact.graph
    tensors = read_external_tensors(graph)
    if not any(tensor.file.endswith(".safetensors") for tensor in tensors):
        return read_config(artifact.folder)
    checkpoint = open_checkpoint(artifact.path)
    for tensor in tensors:
        stored = checkpoint.tensors.get(tensor.name)
        if not stored or (stored.file, stored.offset, stored.nbytes) != (tensor.file, tensor.offset, tensor.nbytes):
            raise InvalidFile(
                f"{graph}: was made for other weights than {artifact.path} holds now: convert the model again"
            )
    return checkpoint.config


def _load(artifact: Artifact, config: PhiConfig, threads: int) -> Any:
    graph = artifact.graph
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _SILENT
    options.enable_mem_pattern = False  # plans one layout of memory for each shape of inputs, and here each is new
    # In a small model waking a thread takes as long as its share of the work, so who waits spins for a moment: a
    # sixth faster alone, as fast beside one busy process, slower beside several. A large model gains nothing and loses
    # a quarter beside one, so its threads sleep. After a call all do: an editor's core must not burn for milliseconds.
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(artifact.file_bytes <= _SPIN_BYTES)))
    options.add_session_config_entry("session.intra_op.spin_duration_us", str(_SPIN_US))
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common base of their own
        raise InvalidFile(f"{graph}: ONNX Runtime does not load it ({_one_line(error)})") from error
    shapes = {value.name: value.shape for value in (*session.get_inputs(), *session.get_outputs())}
    cache = [config.num_attention_heads, config.head_dim]
    names = [f"{name}.{layer}.{part}" for name in ("past_key_values", "present")
             for layer in range(config.num_hidden_layers) for part in ("key", "value")]  # fmt: skip
    if (
        set(shapes) != {"input_ids", "attention_mask", "logits", *names}
        or any(shapes[name][1::2] != cache for name in names)
        or shapes["logits"][-1] != config.vocab_size
        or [value.name for value in session.get_overridable_initializers()] != ["logits_from"]
    ):
        raise InvalidFile(f"{graph}: its inputs and outputs do not fit config.json: convert the model again")
    return session


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
