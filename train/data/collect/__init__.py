"""Collect: from raw text to record shards whose licence, form and origin are known, everything else counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .run import collect_records
    from .sources import Source, parse_sources

__all__ = ["Source", "collect_records", "parse_sources"]


def __getattr__(name: str) -> Any:
    """Load what needs Parquet only when it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import run, sources

    return getattr(run if name == "collect_records" else sources, name)
