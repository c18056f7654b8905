"""edge-phi: complete code locally with small quantized models.

    import edge_phi

    print(edge_phi.complete("def mean(values):\\n").text)

    with edge_phi.open_model("phi-1-nano", quant="int4") as session:
        suggestion = session.complete(before, after)

Names are loaded when they are used: importing this package imports no engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import Cancelled, EdgePhiError, InvalidCall, InvalidFile, MissingExtra

if TYPE_CHECKING:
    from .completion.decode import DecodeSettings
    from .completion.session import Session, Suggestion, Timing, complete
    from .completion.session import open_session as open_model

__version__ = "0.1.0"

__all__ = [
    "Cancelled",
    "DecodeSettings",
    "EdgePhiError",
    "InvalidCall",
    "InvalidFile",
    "MissingExtra",
    "Session",
    "Suggestion",
    "Timing",
    "complete",
    "open_model",
]

_LAZY = {
    "DecodeSettings": ("completion.decode", "DecodeSettings"),
    "Session": ("completion.session", "Session"),
    "Suggestion": ("completion.session", "Suggestion"),
    "Timing": ("completion.session", "Timing"),
    "complete": ("completion.session", "complete"),
    "open_model": ("completion.session", "open_session"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name]
    return getattr(import_module(f".{module}", __name__), attribute)


def __dir__() -> list[str]:
    return [*globals(), *_LAZY]
