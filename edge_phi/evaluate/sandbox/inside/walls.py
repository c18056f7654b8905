"""The walls around a program, put up in the order in which the kernel allows it."""

from __future__ import annotations

import os
import resource
from typing import Any


class Walls:
    """Those of the walls that this machine has; each method is a moment in the life of worker, examiner or candidate."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def enter(self) -> None:
        """Around the worker."""

    def fork_first(self) -> int:
        return os.fork()

    def prepare_examiner(self) -> None:
        pass

    def fork_candidate(self) -> int:
        return os.fork()

    def make_folder(self, limits: dict[str, Any]) -> None:
        pass

    def confine_examiner(self, limits: dict[str, Any], keep: tuple[int, ...]) -> None:
        pass

    def confine_candidate(self, limits: dict[str, Any], keep: tuple[int, ...]) -> None:
        pass

    def kill_rest(self, pid: int) -> None:
        pass
