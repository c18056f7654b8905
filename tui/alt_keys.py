"""Alt with a sign such as ], where the terminal sends Esc and then the sign.

Textual 8.2 knows Alt with letters and digits there; of other signs it forgets the Alt, so that Alt+] would type a
bracket.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable

from textual import constants, events
from textual._xterm_parser import XTermParser


class AltParser(XTermParser):
    """Textual's parser of what a terminal sends, which keeps the Alt of every sign."""

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[events.Key]:
        for event in super()._sequence_to_key_events(sequence, alt):
            if alt and "+" not in event.key and event.is_printable:
                yield events.Key(f"alt+{event.key}", None)
            else:
                yield event


def install() -> None:
    """Let Textual's driver for terminals use this parser, or the one for browsers where that was asked for."""
    if constants.DRIVER:
        name = constants.DRIVER.partition(":")[0]
    elif sys.platform != "win32":
        name = "textual.drivers.linux_driver"
    else:
        return
    module = importlib.import_module(name)
    if hasattr(module, "XTermParser"):
        setattr(module, "XTermParser", AltParser)  # noqa: B010 - a name that the module only imports
