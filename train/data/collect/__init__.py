"""Collect: from raw text to record shards whose licence, form and origin are known, everything else counted."""

from __future__ import annotations

from .run import collect_records
from .sources import Source, parse_sources

__all__ = ["Source", "collect_records", "parse_sources"]
