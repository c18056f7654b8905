"""The line at the bottom: the keys that do something now, the most useful first, and help always among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual import events
from textual.reactive import reactive
from textual.screen import ModalScreen
from textual.widget import Widget

from ..commands import live_commands
from ..keys import KEYS

if TYPE_CHECKING:
    from textual.screen import Screen

_LAST = ("help", "quit")  # kept where there is no room for all
_ORDER = {key.id: place for place, key in enumerate(KEYS)}


class KeyBar(Widget):
    """One line instead of Textual's Footer, whose widgets are made anew whenever a suggestion comes or goes.

    Keys are in the order of `KEYS`; those for which there is no room are left out, and help lists them.
    """

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"key-bar--key", "key-bar--label"}

    shown: reactive[tuple[tuple[str, str, str], ...]] = reactive(())  # key, as it is written, and label

    def on_mount(self) -> None:
        """Follow the screen's keys, and those of a question over it."""
        self.screen.bindings_updated_signal.subscribe(self, self._follow)
        self.app.screen_change_signal.subscribe(self, self._follow)
        self._follow(self.screen)

    def _follow(self, _: Screen[object]) -> None:
        screen = self.app.screen if isinstance(self.app.screen, ModalScreen) else self.screen
        if not self.is_attached or not screen.is_attached:
            return
        found = {
            id_: (one.key, self.app.get_key_display(one.binding), one.binding.description)
            for id_, one in live_commands(screen).items()
            if one.binding.show
        }
        first = sorted((id_ for id_ in found if id_ not in _LAST), key=lambda id_: _ORDER[id_])
        self.shown = tuple(found[id_] for id_ in (*first, *(id_ for id_ in _LAST if id_ in found)))

    async def on_click(self, event: events.Click) -> None:
        """A click on a key presses it."""
        right = 0
        for one in self._fitting():
            right += _width(one)
            if event.x < right:
                await self.app.action_simulate_key(one[0])
                break

    def render(self) -> Text:
        """As many keys as fit."""
        key_style = self.get_component_rich_style("key-bar--key", partial=True)
        label_style = self.get_component_rich_style("key-bar--label", partial=True)
        line = Text(end="", no_wrap=True)
        for _, written, label in self._fitting():
            line.append(f" {written} ", key_style)
            line.append(f"{label} ", label_style)
        return line

    def _fitting(self) -> list[tuple[str, str, str]]:
        last = [one for one in self.shown if one[2] in _LAST_LABELS]
        room = self.size.width - sum(map(_width, last))
        first = []
        for one in self.shown:
            if one not in last:
                room -= _width(one)
                if room < 0:
                    break
                first.append(one)
        return [*first, *last]


_LAST_LABELS = {key.label for key in KEYS if key.id in _LAST}


def _width(one: tuple[str, str, str]) -> int:
    return cell_len(one[1]) + cell_len(one[2]) + 3
