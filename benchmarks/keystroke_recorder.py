"""Record an editing trace while somebody edits: `edge-phi open`, and what is done to the text, with its times.

    python benchmarks/keystroke_recorder.py FILE TRACE [--model MODEL] [--quant QUANT]

TRACE is what `keystrokes.py` replays (`keystroke_traces.py` says of what it is made); --folder there names a folder of
such. It has the file's text in it. What comes at once and is no line's end, such as a suggestion that is taken, is a
look at what is suggested, and then its keys.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keystroke_traces import KEY_MS, common_characters
from textual.widgets import TextArea

from edge_phi import atomic
from edge_phi.errors import EdgePhiError
from edge_phi.store import DEFAULT_MODEL
from edge_phi.tui import app as app_module
from edge_phi.tui.cli import open_editor

_FEWEST_TAKEN = 3  # characters that come at once when a suggestion is taken


class Recorder:
    """Finds out from the text and the cursor after each change what was done."""

    def __init__(self, text: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.start = text
        self.events: list[dict[str, object]] = []
        self._text, self._cursor, self._clock, self._last = text, 0, clock, clock()

    def saw(self, text: str, cursor: int) -> None:
        """What there is now; `cursor` in characters."""
        old, at = self._text, self._cursor
        if text == old:
            if cursor != at:
                self._move(cursor)
            return
        # What is the same on both sides; where that is open, what came ends at the cursor.
        tail = text[cursor:] if old.endswith(text[cursor:]) else ""
        tail = tail or text[len(text) - common_characters(old[::-1], text[::-1]) :]
        head = common_characters(old[: len(old) - len(tail)], text[: len(text) - len(tail)])
        gone, come = old[head : len(old) - len(tail)], text[head : len(text) - len(tail)]
        if at != head + len(gone):
            self._move(head + len(gone))
        if gone:
            self._add(delete=len(gone))
        if len(come) >= _FEWEST_TAKEN and not come.startswith("\n"):
            self._add(look=True)
            for key in come:
                self.events.append({"ms": KEY_MS, "type": key})
        elif come:
            self._add(type=come)
        self._text, self._cursor = text, head + len(come)
        if cursor != self._cursor:
            self._move(cursor)

    def lines(self, name: str) -> str:
        """The trace."""
        header = {"path": name, "text": self.start, "cursor": 0}
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in (header, *self.events))

    def _move(self, cursor: int) -> None:
        if self.events and "move" in self.events[-1]:  # on the way
            self.events[-1]["move"] = cursor
        else:
            self._add(move=cursor)
        self._cursor = cursor

    def _add(self, **event: object) -> None:
        now = self._clock()
        self.events.append({"ms": round((now - self._last) * 1e3), **event})
        self._last = now


class RecordedApp(app_module.EdgePhiApp):
    """The editor, with somebody who looks over the shoulder."""

    recorder: Recorder | None = None

    def __init__(self, document: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(document, *arguments, **options)
        self.recorder = RecordedApp.recorder = Recorder(document.text)

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """A change of the text."""
        self._look(event.text_area)

    def on_text_area_selection_changed(self, event: TextArea.SelectionChanged) -> None:
        """A move of the cursor."""
        self._look(event.text_area)

    def _look(self, area: TextArea) -> None:
        if self.recorder is not None and area is self.editor_screen.editor:
            row, column = area.cursor_location
            cursor = sum(len(line) + 1 for line in area.document.lines[:row]) + column
            self.recorder.saw("\n".join(area.document.lines), cursor)


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("file", type=Path)
    arguments.add_argument("trace", type=Path)
    arguments.add_argument("--model", default=DEFAULT_MODEL)
    arguments.add_argument("--quant", default="")
    given = arguments.parse_args()
    app_module.EdgePhiApp = RecordedApp  # type: ignore[misc]
    open_editor(given.file, given.model, given.quant)
    recorder = RecordedApp.recorder
    assert recorder is not None  # the editor has run
    given.trace.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(given.trace, recorder.lines(given.file.name).encode())
    print(f"{given.trace}: {len(recorder.events)} events", file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except EdgePhiError as error:
        sys.exit(f"keystroke_recorder.py: {error}")
