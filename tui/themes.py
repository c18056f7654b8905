"""Themes of our own beside Textual's; without colour the terminal's own is kept (NO_COLOR)."""

from __future__ import annotations

from textual.theme import Theme

DARK, LIGHT, CONTRAST, CONTRAST_LIGHT = "textual-dark", "textual-light", "high-contrast", "high-contrast-light"

THEMES = (
    Theme(
        name=CONTRAST,
        primary="#66ccff",
        secondary="#ffffff",
        accent="#ffff00",
        warning="#ffff00",
        error="#ff6666",
        success="#00ff66",
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#1c1c1c",
        dark=True,
        variables={
            "footer-key-foreground": "#ffff00",
            "footer-description-foreground": "#ffffff",
            "text-muted": "#ffffff",
            "block-cursor-background": "#ffff00",
            "block-cursor-foreground": "#000000",
        },
    ),
    Theme(
        name=CONTRAST_LIGHT,
        primary="#0000aa",
        secondary="#000000",
        accent="#0000aa",
        warning="#7a3b00",
        error="#aa0000",
        success="#005500",
        foreground="#000000",
        background="#ffffff",
        surface="#ffffff",
        panel="#e4e4e4",
        dark=False,
        variables={
            "footer-key-foreground": "#0000aa",
            "footer-description-foreground": "#000000",
            "text-muted": "#000000",
            "block-cursor-background": "#000000",
            "block-cursor-foreground": "#ffffff",
        },
    ),
)

CYCLE = (DARK, LIGHT, CONTRAST, CONTRAST_LIGHT)  # what the theme's key goes through; the palette has all
