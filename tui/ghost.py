"""Ghost text: a suggestion shown at the cursor that is not part of the text yet."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

_WORD = re.compile(r"\s*(?:\w+|[^\w\s]+|$)")  # with the white space before it, newlines included
_LINE = re.compile(r"\n*[^\n]*")


@dataclass(frozen=True)
class Ghost:
    """What one request has suggested so far, where it stands, and how much of it the user has typed themselves.

    It starts with an empty text when the request is sent; whatever makes it stale drops it, so that an answer which
    finds no ghost of its own ticket is late and is not shown.
    """

    ticket: int
    row: int
    column: int  # in characters
    text: str = ""
    typed: int = 0
    complete: bool = False

    @property
    def remaining(self) -> str:
        """What is still to be shown."""
        return self.text[self.typed :]

    def next_word(self) -> str:
        """The beginning of what remains, up to the end of a word or of a run of other signs."""
        return self._beginning(_WORD)

    def next_line(self) -> str:
        """The beginning of what remains, up to the end of the first line that is not empty."""
        return self._beginning(_LINE)

    def after_typing(self, inserted: str) -> Ghost | None:
        """The ghost after `inserted` went in at its place; None if that is not how the suggestion goes on."""
        if not self.remaining.startswith(inserted) or (self.complete and self.remaining == inserted):
            return None
        row, column = self.row, self.column + len(inserted)
        if "\n" in inserted:
            row, column = row + inserted.count("\n"), len(inserted) - inserted.rindex("\n") - 1
        return replace(self, row=row, column=column, typed=self.typed + len(inserted))

    def grown(self, text: str, *, complete: bool) -> Ghost | None:
        """The ghost once more of the answer is there; None if it departs from what was typed or nothing is left."""
        if not text.startswith(self.text[: self.typed]) or (complete and len(text) == self.typed):
            return None
        return replace(self, text=text, complete=complete)

    def _beginning(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.remaining)
        return match[0] if match else self.remaining
