"""Text from outside on its way to a terminal, which obeys some characters instead of showing them."""

from __future__ import annotations

import re

# C0 but tab and newline, DEL, C1 (whose CSI starts a sequence as ESC [ does), line and paragraph separators, and the
# characters that reorder what is read: CVE-2021-42574, Unicode Technical Report 36.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(text: str) -> str:
    """`text` with U+FFFD for every character that would command the terminal.

    Character by character, so that a sequence split across two calls is no way around it.
    """
    return _OBEYED.sub("\N{REPLACEMENT CHARACTER}", text)


def one_line(text: str) -> str:
    """`text` for a message: as `shown`, and on one line."""
    return shown(text.replace("\n", " "))
