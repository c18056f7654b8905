"""The engines behind the editor: each a worker, whose session is in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_phi.completion.worker import (
    WARM_UP_PROMPT,
    Ended,
    Event,
    Finished,
    Loaded,
    LoadFailed,
    Progress,
    SessionLike,
    Stopped,
)
from edge_phi.completion.worker import Worker as Engine

__all__ = [
    "WARM_UP_PROMPT",
    "Ended",
    "Engine",
    "EngineChoice",
    "Event",
    "Finished",
    "LoadFailed",
    "Loaded",
    "Progress",
    "SessionLike",
    "Stopped",
]


@dataclass(frozen=True)
class EngineChoice:
    """An engine that can be opened, and what it is called in the panel."""

    model: str
    engine: str  # "onnx", "llama_cpp", "torch"
    quant: str  # "int4", "float32" ...
    open_session: Callable[[], SessionLike]
    ahead: bool = False  # whether it may show known suggestions again and compute ahead; not one that is only timed
