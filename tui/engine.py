"""The engines behind the editor: each a worker that owns a session in a thread of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from edge_phi.completion.worker import (
    WARM_UP_PROMPT,
    Event,
    Finished,
    Loaded,
    LoadFailed,
    Progress,
    SessionLike,
    Stopped,
    Worker,
)

__all__ = [
    "WARM_UP_PROMPT",
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

# A token comes back from native code and waits for the interpreter while the screen is drawn: with Python's 5 ms a
# small model gives half the tokens per second.
_SWITCH_SECONDS = 0.0005
_NICE = 5


@dataclass(frozen=True)
class EngineChoice:
    """An engine that can be opened, and what it is called in the panel."""

    model: str
    engine: str  # "onnx", "llama_cpp", "torch"
    quant: str  # "int4", "float32" ...
    open_session: Callable[[], SessionLike]
    ahead: bool = False  # whether it may show known suggestions again and compute ahead; not one that is only timed


class Engine(Worker):
    """A worker beside a screen."""

    def __init__(
        self,
        open_session: Callable[[], SessionLike],
        report: Callable[[Event], None],
        name: str,
        *,
        ahead: bool = False,
    ) -> None:
        """As `Worker`; with `ahead`, known suggestions are shown again and the next one is computed ahead."""

        def opened() -> SessionLike:
            give_way()
            return open_session()

        super().__init__(opened, report, name, ahead=ahead)

    def start(self) -> None:
        """Begin loading, if that has not been asked before."""
        sys.setswitchinterval(_SWITCH_SECONDS)
        super().start()


def give_way() -> None:
    """Let this thread, and those it starts, yield to the one that draws: on few cores two engines take all of them."""
    if sys.platform == "linux":  # elsewhere a thread has no priority of its own that can be set so
        with suppress(OSError):
            os.nice(_NICE)
