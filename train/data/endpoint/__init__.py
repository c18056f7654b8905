"""What a model behind an OpenAI-compatible endpoint writes: labels, textbooks, exercises.

Every answer is kept in a journal before it counts, so that nothing is paid twice; every exercise is run before it is
kept.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .budget import Caps
    from .exercises import ask_exercises
    from .labels import ask_labels
    from .request import Endpoint
    from .textbooks import ask_textbooks

__all__ = ["Caps", "Endpoint", "ask_exercises", "ask_labels", "ask_textbooks"]

_MODULES = {
    "Caps": "budget",
    "Endpoint": "request",
    "ask_exercises": "exercises",
    "ask_labels": "labels",
    "ask_textbooks": "textbooks",
}


def __getattr__(name: str) -> Any:
    """On first use: the HTTP client and the sandbox take a while to load, and the other commands need neither."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
