"""The screen without colours, as NO_COLOR asks for (no-color.org): what they say is said by dim and reverse."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from rich.color import Color as RichColor
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

# Shares of white. All themes' surfaces are nearer to black or white than the first; selections and cursors are not.
_STANDS_OUT = 0.2
_FAINT = 0.55  # a text that is no further from its background: a suggestion, a comment, a remark


class NoColour(LineFilter):
    """Keeps bold, italic and underlined; Textual's own filter for NO_COLOR keeps colours, in grey."""

    def __init__(self, is_dark: Callable[[], bool]) -> None:
        self._is_dark = is_dark
        super().__init__()

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same signs, in the terminal's own two colours."""
        dark = self._is_dark()
        return [
            Segment(text, None if style is None else _plain(style, dark), control) for text, style, control in segments
        ]


@lru_cache(2048)
def _plain(style: Style, dark: bool) -> Style:
    below = 0.0 if style.bgcolor is None else _shade(style.bgcolor, dark)
    above = 1.0 if style.color is None else _shade(style.color, dark)
    reverse = below > _STANDS_OUT
    return Style(
        bold=style.bold,
        italic=style.italic,
        underline=style.underline,
        strike=style.strike,
        reverse=reverse != bool(style.reverse),
        dim=not reverse and above - below < _FAINT,
        meta=style.meta or None,
    )


def _shade(colour: RichColor, dark: bool) -> float:
    """How far a colour is from the background that themes of its kind have: 0 to 1."""
    if colour.is_default:
        return 0.0
    red, green, blue = colour.get_truecolor()
    white = (0.299 * red + 0.587 * green + 0.114 * blue) / 255
    return white if dark else 1 - white
