"""Educational value: a classifier on hidden states learns it from labels, and keeps what has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .report import report
    from .step import quality

__all__ = ["quality", "report"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "report":
        from . import report as found
    else:
        from . import step as found  # type: ignore[no-redef]

    return getattr(found, name)
