"""Collect: from raw text to record shards whose licence, form and origin are known, everything else counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .documents import (
    Collection,
    Document,
    benchmark_ngrams,
    collect,
    source_files,
    standard_library,
    text_folder,
    text_lines,
    write_documents,
)

if TYPE_CHECKING:
    from .run import collect_records as collect_records
    from .sources import Source as Source
    from .sources import parse_sources as parse_sources

__all__ = [
    "Collection",
    "Document",
    "Source",
    "benchmark_ngrams",
    "collect",
    "collect_records",
    "parse_sources",
    "source_files",
    "standard_library",
    "text_folder",
    "text_lines",
    "write_documents",
]


def __getattr__(name: str) -> Any:
    """Load what needs Parquet only when it is asked for."""
    if name == "collect_records":
        from .run import collect_records

        return collect_records
    if name in ("Source", "parse_sources"):
        from . import sources

        return getattr(sources, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
