"""Leaves out what is too close to a benchmark, and says which problems the rest comes near to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .ngrams import benchmark_ngrams, shared_problems, vocabulary_of
    from .references import Reference, read_references
    from .step import decontaminate

__all__ = [
    "Reference",
    "benchmark_ngrams",
    "decontaminate",
    "read_references",
    "shared_problems",
    "vocabulary_of",
]


def __getattr__(name: str) -> Any:
    """Load what needs Parquet only when it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import ngrams, references, step

    return next(getattr(module, name) for module in (step, references, ngrams) if hasattr(module, name))
