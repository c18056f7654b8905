"""The race: int4 and full precision write the same completion side by side, each with its clock."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Digits, Label, Static

from ..characters import clean
from ..keys import bindings
from ..race import Lane, Lender, Race, outcome
from ..widgets.key_bar import KeyBar

_FRAMES_PER_S = 12  # while it runs; each frame takes time from the racers
_CONTEXT_LINES = 3  # of the text before the cursor


class LaneView(Widget):
    """One lane: whose it is, its clock, what it has written."""

    DEFAULT_CSS = "LaneView { layout: vertical; width: 1fr; height: 1fr; }"

    def __init__(self, context: str) -> None:
        self._lead = context
        super().__init__()

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield Label("", classes="lane-name", markup=False)
        yield Digits("0.000")
        yield Label("", classes="lane-state", markup=False)
        yield Static("", classes="lane-text", markup=False)

    def show_lane(self, lane: Lane, *, difference: int | None, won: bool) -> None:
        """Draw what there is now; from `difference` on the text is marked."""
        self.set_class(won, "-won")
        self.query_one(".lane-name", Label).update(f"{lane.name}  {lane.engine}{'  ★ first' if won else ''}")
        self.query_one(Digits).update(f"{lane.elapsed_ms / 1000:.3f}")
        first = "" if lane.first_ms is None else f"first token {lane.first_ms:.0f} ms, "
        state = lane.failure or lane.state
        self.query_one(".lane-state", Label).update(clean(f"{first}{lane.tokens} tokens, {state}"))
        text = Text(self._lead, style="dim", no_wrap=True, end="")
        text.append(lane.text, "not dim")
        if difference is not None:
            text.stylize("bold underline", len(self._lead) + difference)
        self.query_one(".lane-text", Static).update(text)


class RaceScreen(Screen[None], inherit_bindings=False):
    """Starts with both at once; in turn, each has the machine to itself."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("race"), *bindings("screen"), *bindings("everywhere")]

    def __init__(self, lenders: Sequence[Lender], before: str, after: str) -> None:
        self._lenders, self._before, self._after = lenders, before, after
        self.race: Race | None = None
        self._frames: Timer | None = None
        super().__init__()

    def compose(self) -> ComposeResult:
        """Two lanes and what came of it."""
        yield Label("Race", classes="heading", id="title", markup=False)
        context = clean("\n".join(self._before.split("\n")[-_CONTEXT_LINES:]))
        with Horizontal(id="lanes"):
            for _ in self._lenders:
                yield LaneView(context)
        yield Label("", id="verdict", markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        """On your marks."""
        self.action_race(True)

    def on_unmount(self) -> None:
        """Whoever leaves waits for nobody."""
        if self.race is not None:
            self.race.stop()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A race is not started again while it runs."""
        return self._frames is None if action == "race" else super().check_action(action, parameters)

    def action_race(self, together: bool) -> None:
        """Start, both at once or one after the other."""
        self.race = Race(self._lenders, self._before, self._after, together=together)
        how = "both at once, on the same cores" if together else "one after the other, each alone on the machine"
        self.query_one("#title", Label).update(f"Race: {how}")
        self.query_one("#verdict", Label).update("")
        self._frames = self.set_interval(1 / _FRAMES_PER_S, self._draw)
        self.refresh_bindings()
        self.run_worker(self._run(self.race), group="race", exclusive=True)

    def action_close(self) -> None:
        """Back to the editor."""
        self.dismiss()

    async def _run(self, race: Race) -> None:
        await asyncio.to_thread(race.run)
        if self._frames is not None:
            self._frames.stop()
            self._frames = None
        self._draw()
        self.refresh_bindings()

    def _draw(self) -> None:
        if self.race is None:
            return
        lanes = self.race.lanes
        result = outcome(lanes)
        fastest = min((lane.total_ms for lane in lanes if lane.total_ms is not None), default=None)
        for view, lane in zip(self.query(LaneView), lanes, strict=True):
            won = result is not None and lane.total_ms == fastest
            view.show_lane(lane, difference=result.first_difference if result else None, won=won)
        if result is not None:
            self.query_one("#verdict", Label).update(f"{result.verdict}\n{result.agreement}")
