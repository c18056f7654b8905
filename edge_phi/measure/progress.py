"""How a long measurement tells its user how far it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from .report import printable


class Progress(Protocol):
    """Whom a measurement tells what it does."""

    def note(self, line: str) -> None:
        """Something to know, now and afterwards."""

    def working(self, what: str, done: int, total: int) -> None:
        """`what` begins, after `done` of `total` steps."""

    def finished(self, line: str) -> None:
        """One form has all its figures."""


@contextlib.contextmanager
def progress_on_stderr() -> Iterator[Progress]:
    """A live line in a terminal, gone at the end; elsewhere a line for each form that is finished."""
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        yield _Lines(console)
        return
    # Drawn only when something is said: a spinner would take turns on the cores that are being measured.
    with Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False) as live:
        yield _LiveLine(live)


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console

    def note(self, line: str) -> None:
        self._console.print(printable(line))

    def working(self, what: str, done: int, total: int) -> None:
        pass

    def finished(self, line: str) -> None:
        self.note(line)


class _LiveLine:
    def __init__(self, live: Live) -> None:
        self._live = live

    def note(self, line: str) -> None:
        self._live.console.print(printable(line))

    def working(self, what: str, done: int, total: int) -> None:
        self._live.update(Text(f"[{done}/{total}] {what}", overflow="ellipsis", no_wrap=True), refresh=True)

    def finished(self, line: str) -> None:
        pass
