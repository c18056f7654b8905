"""Suggestions that were made before, found again without the model: while the user types them along, goes back to where
one was made, or accepts one whose continuation was computed ahead.

A suggestion made at a cursor also answers what comes of typing its beginning: the answer is then the rest of it. So it
is looked for at the cursor and at up to 128 characters before, as llama.vim does (https://github.com/ggml-org/llama.vim).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .suggestion import Suggestion

_MOST = 256  # suggestions kept, those used last
_LOOK_BACK = 128  # characters typed since
# Characters at the cursor that have to be the same: about what a context of 2,048 tokens holds, and what shapes a text.
_BEFORE, _AFTER = 8192, 4096
_KEY = 32  # characters next to the cursor by which candidates are found; hashing more, 129 times a key, takes too long


@dataclass(frozen=True)
class _Made:
    before: str
    after: str
    suggestion: Suggestion


class Known:
    """A few hundred suggestions by where they were made. Not thread-safe."""

    def __init__(self) -> None:
        self._made: OrderedDict[tuple[str, str], _Made] = OrderedDict()

    def add(self, before: str, after: str, suggestion: Suggestion) -> None:
        """Remember what was suggested between two texts; that there is nothing to suggest is known then, too."""
        # Of two places that have the same characters next to them the later one is kept.
        key = before[-_KEY:], after[:_KEY]
        self._made[key] = _Made(before[-_BEFORE:], after[:_AFTER], suggestion)
        self._made.move_to_end(key)
        while len(self._made) > _MOST:
            self._made.popitem(last=False)

    def find(self, before: str, after: str) -> Suggestion | None:
        """What was suggested here, or of what was suggested a little earlier the rest; None if nothing is known.

        Takes some 30 microseconds.
        """
        near = after[:_KEY]
        for typed in range(min(_LOOK_BACK, len(before)) + 1):
            start = len(before) - typed
            key = before[max(0, start - _KEY) : start], near
            made = self._made.get(key)
            if made is None:
                continue
            text = made.suggestion.text
            # The end of an earlier one is not the answer to what comes after it.
            if typed and not (len(text) > typed and text.startswith(before[start:])):
                continue
            if before[max(0, start - _BEFORE) : start] == made.before and after[:_AFTER] == made.after:
                self._made.move_to_end(key)
                return replace(made.suggestion, text=text[typed:])
        return None
