"""What the command palette finds: everything that a key does where the cursor is, and what has no key."""

from __future__ import annotations

from functools import partial

from textual.app import App
from textual.binding import Binding
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.dom import DOMNode

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

    def _commands(self) -> list[tuple[str, str, partial[object]]]:
        app = self.app
        live: dict[str, tuple[str, DOMNode]] = {}
        for node, binding, enabled, _ in self.screen.active_bindings.values():
            place, _, action = binding.action.rpartition(".")
            if place == "screen":  # which by now is the palette's own
                node, enabled = self.screen, bool(self.screen.check_action(action, ()))
            if enabled and binding.id and binding.id != "palette":
                live.setdefault(binding.id, (action if place == "screen" else binding.action, node))
        return [
            (
                key.label,
                f"{key.help} ({', '.join(keys_of(app, key.id))})",
                partial(app.run_action, *live[key.id]),
            )
            for key in KEYS
            if key.id in live
        ]


def keys_of(app: App[object], id_: str) -> list[str]:
    """The keys that do `id_` now, as the footer writes them."""
    keys = app._keymap.get(id_) or next(key.keys for key in KEYS if key.id == id_)
    return [app.get_key_display(Binding(key, "")) for key in keys.split(",")]
