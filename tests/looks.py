"""How a screen looks, as text: each cell's sign and colours, held against a file in `unit/tui/looks`.

EDGE_PHI_UPDATE_LOOKS=1 writes the files anew; a change of them is to be looked at as any other.
"""

from __future__ import annotations

import os
import re
import string
from pathlib import Path

from textual.app import App

SIZES = [(60, 20), (100, 30), (160, 50)]
THEMES = ["textual-dark", "high-contrast-light"]

_LOOKS = Path(__file__).parent / "unit" / "tui" / "looks"
_LETTERS = string.ascii_letters + string.digits
_TIME = re.compile(r" *\d+(?:\.\d+)? m?s\b")


def look(app: App[None]) -> str:
    """The screen's signs, below them for each cell a letter, and what the letters' colours are.

    Times of this machine differ in their digits, and with them in how many blanks stand before them.
    """
    letters: dict[str, str] = {}
    signs, styles = [], []
    for strip in app.screen._compositor.render_strips():
        row = ""
        for segment in strip:
            style = segment.style
            colours = "" if style is None else f"{_name(style.color)} on {_name(style.bgcolor)}"
            for name in ("bold", "italic", "underline", "reverse", "dim"):
                colours += f" {name}" if style is not None and getattr(style, name) else ""
            row += letters.setdefault(colours, _LETTERS[len(letters)]) * segment.cell_length
        signs.append(re.sub("[▁▂▃▄▅▆▇█]+", "▄", _TIME.sub(" # ms", strip.text)).rstrip())
        styles.append(re.sub(r"(.)\1{3,}", lambda match: f"{match[1]}*{len(match[0])} ", row))
    return "\n".join([*signs, "", *styles, "", *(f"{letter} {colours}" for colours, letter in letters.items()), ""])


def check(name: str, found: str) -> None:
    """Hold what was found against what the file of that name says."""
    path = _LOOKS / f"{name}.txt"
    if os.environ.get("EDGE_PHI_UPDATE_LOOKS"):
        _LOOKS.mkdir(exist_ok=True)
        path.write_text(found)
    assert found == path.read_text()


def _name(colour: object) -> str:
    triplet = getattr(colour, "triplet", None)
    return triplet.hex if triplet else getattr(colour, "name", "-")
