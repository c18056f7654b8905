"""What the command palette finds: everything that a key does where the cursor is, and what has no key."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from textual.app import App
from textual.binding import Binding
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.dom import DOMNode
from textual.screen import Screen

from .keys import KEYS


class KeyCommands(Provider):
    """Every binding with an id that can be used now, under its label, with its keys."""

    async def discover(self) -> Hits:
        """All of them, those of the text last."""
        for name, help_, run in self._commands():
            yield DiscoveryHit(name, run, help=help_)

    async def search(self, query: str) -> Hits:
        """Those whose name or sentence fits."""
        matcher = self.matcher(query)
        for name, help_, run in self._commands():
            if (score := max(matcher.match(name), matcher.match(help_) / 2)) > 0:
                yield Hit(score, matcher.highlight(name), run, help=help_)

    def _commands(self) -> list[tuple[str, str, partial[Any]]]:
        app = self.app
        live = live_commands(self.screen)
        return [
            (
                key.label,
                f"{key.help} ({', '.join(keys_of(app, key.id))})",
                partial(app.run_action, live[key.id].action, live[key.id].node),
            )
            for key in KEYS
            if key.id in live and key.id != "palette"
        ]


class Command(NamedTuple):
    """Something that a key does on a screen now."""

    key: str  # the first that does it
    binding: Binding
    action: str
    node: DOMNode  # whose action it is


def live_commands(screen: Screen[Any]) -> dict[str, Command]:
    """Id -> what can be done on `screen`, which another screen may be over."""
    live: dict[str, Command] = {}
    for key, (node, binding, enabled, _) in screen.active_bindings.items():
        place, _, action = binding.action.rpartition(".")
        if place == "screen":  # for Textual that is the one on top
            node, enabled = screen, bool(screen.check_action(action, ()))
        if enabled and binding.id:
            live.setdefault(binding.id, Command(key, binding, action if place == "screen" else binding.action, node))
    return live


def keys_of(app: App[object], id_: str) -> list[str]:
    """The keys that do `id_` now, as the footer writes them."""
    keys = app._keymap.get(id_) or next(key.keys for key in KEYS if key.id == id_)
    return [app.get_key_display(Binding(key, "")) for key in keys.split(",")]
