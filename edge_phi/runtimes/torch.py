"""The full-precision baseline: transformers' own Phi in float32 through PyTorch, on the CPU.

The weights come through `edge_phi.checkpoint`, which checks them; transformers reads no file here, opens no socket and
has nothing to print.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..checkpoint import Checkpoint, open_checkpoint
from ..cores import usable_cores
from ..errors import Cancelled, InvalidCall, MissingExtra
from ..store import Artifact
from . import RuntimeInfo, check_extend, check_rewind, stoppable_chunk

_CHUNK = 256  # tokens computed at once


class TorchRuntime:
    """A checkpoint folder in PyTorch; the protocol is `edge_phi.runtimes.Runtime`."""

    def __init__(self, artifact: Artifact, *, threads: int | None = None) -> None:
        """Load `artifact`.

        Args:
            artifact: of format "safetensors".
            threads: computing threads, of PyTorch as a whole; as many as the cores this process may use if None.

        Raises:
            InvalidCall: no checkpoint there, or fewer than one thread.
            InvalidFile: it is damaged, or not a Phi model.
            MissingExtra: PyTorch or transformers is not installed.
        """
        checkpoint = open_checkpoint(artifact.path)
        threads = usable_cores() if threads is None else threads
        if threads < 1:
            raise InvalidCall(f"{threads} threads cannot compute: give 1 or more")
        self.info = RuntimeInfo(
            engine="torch",
            quant="float32",
            file_bytes=artifact.file_bytes,
            vocab_size=checkpoint.config.vocab_size,
            context_length=checkpoint.config.max_position_embeddings,
            threads=threads,
        )
        self.length = 0
        try:
            import torch
            from transformers import DynamicCache
        except ImportError as error:
            raise MissingExtra(
                "full precision through PyTorch needs torch and transformers: run pip install 'edge-phi[train]'"
            ) from error
        self._torch: Any = torch
        torch.set_num_threads(threads)
        self._model: Any = build_model(checkpoint)
        self._cache: Any = DynamicCache()
        self._cancel: threading.Event | None = None
        for module in self._model.modules():
            if isinstance(module, torch.nn.Linear):
                module.register_forward_pre_hook(self._stop_here)

    def extend(
        self, tokens: Sequence[int], *, all_logits: bool = False, cancel: threading.Event | None = None
    ) -> npt.NDArray[np.float32]:
        """Append `tokens` and return logits; see `Runtime.extend`. Cancelled, it stops before the next matrix."""
        self._check_open()
        check_extend(tokens, self.length, self.info)
        start, self._cancel = self.length, cancel
        chunk = _CHUNK if cancel is None else stoppable_chunk(_CHUNK, self.info)
        logits = []
        try:
            for done in range(0, len(tokens), chunk):
                part = tokens[done : done + chunk]
                with self._torch.inference_mode():
                    output = self._model(
                        input_ids=self._torch.tensor([list(part)]),
                        past_key_values=self._cache,
                        use_cache=True,
                        logits_to_keep=0 if all_logits else 1,  # 0 is all of them
                    )
                self.length += len(part)
                logits.append(output.logits[0].numpy())
        except BaseException:
            self._cache.crop(start)
            self.length = start
            raise
        return np.concatenate(logits) if all_logits else logits[-1]

    def rewind(self, length: int) -> None:
        """Forget all tokens past `length`; see `Runtime.rewind`."""
        self._check_open()
        check_rewind(length, self.length)
        self._cache.crop(length)
        self.length = length

    def close(self) -> None:
        """Free the model; a second call does nothing."""
        self._model = self._cache = None

    def _stop_here(self, *_: object) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise Cancelled("cancelled while reading the prompt")

    def _check_open(self) -> None:
        if self._model is None:
            raise InvalidCall("this runtime is closed")


def build_model(checkpoint: Checkpoint) -> Any:
    """transformers' `PhiForCausalLM` with the weights of a checkpoint, in float32 on the CPU."""
    import torch
    from transformers import PhiConfig, PhiForCausalLM
    from transformers.modeling_utils import no_init_weights

    config = PhiConfig(**checkpoint.config.to_json(), attn_implementation="sdpa")
    with no_init_weights():  # each is replaced below
        model = PhiForCausalLM(config)
    weights = {name: torch.from_numpy(checkpoint.tensor(name)) for name in checkpoint.config.tensor_shapes()}
    model.load_state_dict(weights, assign=True)
    return model.eval()
