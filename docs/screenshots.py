"""Draws docs/images/*.svg: the editor and its screens as they are, with a real model, after a real suggestion.

python docs/screenshots.py [--model NAME] [SCENE ...]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from textual.pilot import Pilot

from edge_phi.store import DEFAULT_MODEL
from edge_phi.tui.app import EdgePhiApp
from edge_phi.tui.document import Document
from edge_phi.tui.memory import Memory
from edge_phi.tui.picture import picture
from edge_phi.tui.screens.bench import BenchScreen
from edge_phi.tui.screens.models import ModelsScreen
from edge_phi.tui.screens.race import RaceScreen
from edge_phi.tui.start import choose_engines
from edge_phi.tui.themes import CONTRAST, DARK, LIGHT
from edge_phi.tui.widgets.table import Table

SOURCE = '''\
"""Numbers and words."""


def mean(values):
    """Return the arithmetic mean of `values`."""
    return sum(values) / len(values)


def words_longer_than(words, limit):
    """Return the words that have more than limit characters."""
    result = []
'''


async def suggested(app: EdgePhiApp, pilot: Pilot[None]) -> None:
    """Ask at the end of the source, and wait for both engines."""
    screen = app.editor_screen
    screen.editor.move_cursor(screen.editor.document.end)
    await pilot.press("tab", "ctrl+n")
    while screen.panel.baseline.suggestion is None:
        await pilot.pause(0.1)


async def raced(app: EdgePhiApp, pilot: Pilot[None]) -> None:
    """A race, one after the other."""
    await suggested(app, pilot)
    await pilot.press("f2")
    while not (isinstance(app.screen, RaceScreen) and app.screen.race is not None and app.screen.race.over):
        await pilot.pause(0.1)
    await pilot.pause(0.5)
    await pilot.press("t")
    while not app.screen.race.over:
        await pilot.pause(0.1)


async def measured(app: EdgePhiApp, pilot: Pilot[None]) -> None:
    """A bench, to its end."""
    await pilot.press("f8")
    await pilot.pause(1)
    await pilot.press("enter")
    while not (isinstance(app.screen, BenchScreen) and (app.screen.bench.json or app.screen.bench.failure)):
        await pilot.pause(0.5)
    await pilot.press("s")


async def listed(app: EdgePhiApp, pilot: Pilot[None]) -> None:
    """All models."""
    await pilot.press("f9")
    while not (isinstance(app.screen, ModelsScreen) and app.screen.query_one(Table).row_count):
        await pilot.pause(0.1)


def pressed(*keys: str) -> Callable[[EdgePhiApp, Pilot[None]], Awaitable[None]]:
    """Only keys."""

    async def press(app: EdgePhiApp, pilot: Pilot[None]) -> None:
        await pilot.press(*keys)
        await pilot.pause(1.5)

    return press


@dataclass(frozen=True)
class Scene:
    """A picture."""

    size: tuple[int, int]
    theme: str
    act: Callable[[EdgePhiApp, Pilot[None]], Awaitable[None]]


SCENES = {
    "editor-wide": Scene((116, 34), DARK, suggested),
    "editor-narrow": Scene((80, 24), LIGHT, suggested),
    "editor-contrast": Scene((60, 20), CONTRAST, suggested),
    "race": Scene((100, 26), DARK, raced),
    "bench": Scene((116, 34), DARK, measured),
    "models": Scene((100, 26), DARK, listed),
    "help": Scene((100, 36), DARK, pressed("f1")),
    "tour": Scene((80, 24), DARK, pressed("f10")),
}


async def draw(name: str, scene: Scene, model: str, folder: Path) -> None:
    """Act, and write the screen as an SVG file."""
    document = Document(Path("numbers_and_words.py"), text=SOURCE)
    quantized, baseline = choose_engines(model, None)
    memory = Memory(tour_seen=True)
    app = EdgePhiApp(
        document, quantized, baseline, pause_seconds=3600, memory=memory, model=model, choose=choose_engines
    )
    async with app.run_test(size=scene.size) as pilot:
        app.theme = scene.theme
        await scene.act(app, pilot)
        await pilot.pause(0.5)
        (folder / f"{name}.svg").write_text(picture(app, "edge-phi"))


def main() -> None:
    """Draw all scenes, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help=", ".join(SCENES))
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.scenes or SCENES:
        # Nobody's unsaved text is offered, not that of the scene before either, nobody's models are listed, and paths
        # begin where this repository lies.
        with tempfile.TemporaryDirectory() as folder:
            os.environ |= {f"XDG_{kind}_HOME": folder for kind in ("STATE", "DATA", "CACHE", "CONFIG")}
            os.environ["HOME"] = str(Path(__file__).resolve().parents[2])
            asyncio.run(draw(name, SCENES[name], arguments.model, arguments.out))


if __name__ == "__main__":
    main()
