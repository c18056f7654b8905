"""Small Python exercises drawn from a grammar: a docstring to complete and a solution that was run.

No model writes them: an exercise is a composition of small pieces of meaning, each of which is code and
English at once, so that the docstring says what the solution does.
"""

from __future__ import annotations

from .stream import Exercise, Report, generate, normalized
from .verify import verify

__all__ = ["Exercise", "Report", "generate", "normalized", "verify"]
