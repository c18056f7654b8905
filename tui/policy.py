"""When to ask for a suggestion."""

from __future__ import annotations

PAUSE_SECONDS = 0.25  # without a key before a suggestion comes by itself
IDLE_SECONDS = 0.6  # without a key before full precision is timed: what comes after accepting is computed first
_MAX_CHARACTERS_RIGHT = 8  # more right of the cursor: editing in the middle, do not interrupt (llama.vim's rule)


def worth_asking(before: str) -> bool:
    """Whether there is anything to continue."""
    return bool(before.strip())


def comes_by_itself(before: str, after: str) -> bool:
    """Whether to ask without being asked: not in the middle of a line, where a suggestion is mostly in the way."""
    return worth_asking(before) and len(after.split("\n", 1)[0].rstrip()) <= _MAX_CHARACTERS_RIGHT
