"""Colours of Python code: one set for dark themes, one for light ones, on the background the app's theme gives."""

from __future__ import annotations

from rich.style import Style
from textual.widgets.text_area import TextAreaTheme

_DARK = {
    "comment": "#7f8c98 italic",
    "string": "#a5d6a7",
    "string.escape": "#80cbc4",
    "number": "#f5b97f",
    "boolean": "#f5b97f",
    "constant": "#f5b97f",
    "keyword": "#82aaff",
    "function": "#ffd580",
    "type": "#7fdbca",
    "builtin": "#c3a6ff",
    "parameter": "#e8c9a0",
}
_LIGHT = {
    "comment": "#6a737d italic",
    "string": "#0a6b2d",
    "string.escape": "#00695c",
    "number": "#a3480a",
    "boolean": "#a3480a",
    "constant": "#a3480a",
    "keyword": "#0b4fb3",
    "function": "#7a4b00",
    "type": "#006b75",
    "builtin": "#6a31b5",
    "parameter": "#5f4020",
}
_CAPTURES = {
    "comment": ["comment", "preproc"],
    "string": ["string"],
    "string.escape": ["string.escape", "punctuation.special"],
    "number": ["number", "float"],
    "boolean": ["boolean", "constant.builtin"],
    "constant": ["constant"],
    "keyword": [
        "keyword", "keyword.function", "keyword.return", "keyword.operator", "conditional", "repeat", "exception",
        "include",
    ],
    "function": ["function", "method", "function.call", "method.call", "attribute", "attribute.builtin"],
    "type": ["type", "type.class", "type.definition", "constructor"],
    "builtin": ["type.builtin", "function.builtin", "variable.builtin"],
    "parameter": ["parameter"],
}  # fmt: skip


def code_theme(name: str, *, dark: bool) -> TextAreaTheme:
    """A TextArea theme named `name` that sets only the colours of code."""
    colours = _DARK if dark else _LIGHT
    styles = {capture: Style.parse(colours[group]) for group, captures in _CAPTURES.items() for capture in captures}
    return TextAreaTheme(name=name, syntax_styles=styles)
