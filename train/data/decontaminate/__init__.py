"""Leaves out what is too close to a benchmark, and says which problems the rest comes near to."""

from __future__ import annotations

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
