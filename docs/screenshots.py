"""Draws docs/images/editor-*.svg: the editor as it is, with a real model, after a real suggestion.

python docs/screenshots.py [--model NAME]
"""

from __future__ import annotations

import argparse
import asyncio
import re
from pathlib import Path

from edge_phi.store import DEFAULT_MODEL
from edge_phi.tui.app import EdgePhiApp
from edge_phi.tui.cli import choose_engines
from edge_phi.tui.document import Document

SOURCE = '''\
"""Numbers and words."""


def mean(values):
    """Return the arithmetic mean of `values`."""
    return sum(values) / len(values)


def words_longer_than(words, limit):
    """Return the words that have more than limit characters."""
    result = []
'''

# name, columns, lines, theme
SCENES = [("wide", 116, 30, "textual-dark"), ("narrow", 80, 24, "textual-light")]


async def draw(name: str, size: tuple[int, int], theme: str, model: str, folder: Path) -> None:
    """Ask for a suggestion at the end of the source, wait for both engines, and write the screen as an SVG file."""
    app = EdgePhiApp(
        Document(Path("numbers_and_words.py"), text=SOURCE), *choose_engines(model, None), pause_seconds=3600
    )
    async with app.run_test(size=size) as pilot:
        app.theme = theme
        screen = app.editor_screen
        screen.editor.move_cursor(screen.editor.document.end)
        await pilot.press("tab", "ctrl+n")
        while screen.panel.baseline.suggestion is None:
            await pilot.pause(0.1)
        await pilot.pause(0.5)
        picture = app.export_screenshot(title="edge-phi", simplify=True)
    # Fonts from a server: those who look at the picture should not be sent there.
    picture = re.sub(r"@font-face\s*\{.*?\}\s*", "", picture, flags=re.DOTALL)
    picture = picture.replace("Fira Code", "Fira Code, DejaVu Sans Mono, Menlo, Consolas")
    (folder / f"editor-{name}.svg").write_text(picture)


def main() -> None:
    """Draw all scenes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, columns, lines, theme in SCENES:
        asyncio.run(draw(name, (columns, lines), theme, arguments.model, arguments.out))


if __name__ == "__main__":
    main()
