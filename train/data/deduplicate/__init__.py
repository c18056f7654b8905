"""Leaves out what is there already: exact copies and near-duplicates."""

from __future__ import annotations

from .step import deduplicate

__all__ = ["deduplicate"]
