"""A cancel event that also reaches who cannot wait for it, because they wait for something else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Cancel(threading.Event):
    """An event; whoever asks with `calling` is called when it is set."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[Callable[[], object]] = []

    def set(self) -> None:
        """Set it, and call those who wait, in this thread."""
        super().set()
        for call in tuple(self._calls):
            call()

    @contextmanager
    def calling(self, call: Callable[[], object]) -> Iterator[None]:
        """In this block, `call` is called when the event is set, at once if it is; it may be called twice.

        Args:
            call: must not wait for another thread; whoever sets the event may draw the screen.
        """
        self._calls.append(call)
        try:
            if self.is_set():
                call()
            yield
        finally:
            self._calls.remove(call)
