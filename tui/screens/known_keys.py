"""A screen that knows which keys are bound where the focus is, and finds that out once."""

from __future__ import annotations

from textual.binding import BindingsMap
from textual.dom import DOMNode
from textual.screen import Screen

_Chain = list[tuple[DOMNode, BindingsMap]]


class KnownKeys(Screen[None]):
    """Textual copies the bindings of the focused widget and of all around it, and asks each of these whether it takes
    each of the others' keys for itself: twice for every key that is typed, which is longer than what the key does.

    None of it changes while the focus stays where it is: here bindings are those of the classes, and the keymap is set
    before the first key.
    """

    _known_chain: tuple[tuple[object, ...], _Chain] | None = None

    @property
    def _binding_chain(self) -> _Chain:
        focused = self.focused
        depends_on = (*(focused or self).ancestors_with_self, focused is not None and focused.loading, self.app._keymap)
        if self._known_chain is None or self._known_chain[0] != depends_on:
            self._known_chain = depends_on, super()._binding_chain
        return self._known_chain[1]
