"""How long a user waits for a line: from a cursor in a file to a whole line of the suggestion.

The cursors stand where code is written in the prompts of the bench, each file from its first line to its end, in a
completion session that keeps what the model has read, as an editor's does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from ..completion.decode import DecodeSettings, Step
from ..completion.session import Session
from .prompts import PROMPTS

_SETTINGS = DecodeSettings(max_tokens=64)  # more than a line has
_CURSORS_PER_PROMPT = 6

Clock = Callable[[], int]


def cursors() -> tuple[str, ...]:
    """What stands before each cursor: of every prompt five of its lines' beginnings, spread evenly, and its end."""
    found = []
    for text in PROMPTS.values():
        starts = [place + 1 for place, character in enumerate(text[:-1]) if character == "\n"]
        kept = min(_CURSORS_PER_PROMPT - 1, len(starts))
        found += [text[: starts[len(starts) * place // kept]] for place in range(kept)]
        found.append(text)
    return tuple(found)


def first_line_ms(session: Session, before: str, *, clock: Clock = time.perf_counter_ns) -> float | None:
    """Milliseconds from asking for a suggestion after `before` until its first line is there whole.

    The work is cancelled where a second line begins. None where the model suggests nothing.

    Raises:
        EdgePhiError: the model fails.
    """
    cancel = threading.Event()
    shown: list[tuple[int, int]] = []  # after each token, the time and how many characters were there
    text = ""

    def look(step: Step) -> None:
        nonlocal text
        text += step.text
        shown.append((clock(), len(text)))
        if "\n" in text.lstrip():
            cancel.set()

    start = clock()
    session.complete(before, settings=_SETTINGS, cancel=cancel, on_step=look)
    if not text.strip():
        return None
    blank = len(text) - len(text.lstrip())
    whole = blank + len(text.lstrip().partition("\n")[0])
    return (next(at for at, characters in shown if characters >= whole) - start) / 1e6


def first_lines_ms(session: Session, befores: Sequence[str]) -> tuple[float | None, ...]:
    """`first_line_ms` at each cursor, one after the other."""
    return tuple(first_line_ms(session, before) for before in befores)
