"""Keys have their effect in the order they were typed, whatever the ones before open, close or give the focus to.

Textual hands each key at once to what has the focus. What a key does may come later: a prompt is opened, composed and
focused in steps of its own. Keys typed right after Ctrl+O would go into the text, those typed while a question closes
to the question, and those typed before the first frame to nobody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from textual import events
from textual.message_pump import MessagePump
from textual.widgets import Input, TextArea

if TYPE_CHECKING:
    from textual.app import App
    from textual.screen import Screen

Typed = events.Key | events.Paste
_ROUNDS = 2  # a key rises from its widget to the app, which runs what it is bound to; what that posts rises once more


class InTurn:
    """Takes every key of `app`, and hands it on with `deliver` when those before have done all they do at once.

    What is written into a text waits for nothing: it moves no focus, and the text takes its messages in order.
    """

    def __init__(self, app: App[None], deliver: Callable[[Typed], Awaitable[None]]) -> None:
        self._app, self._deliver = app, deliver
        self._waiting: deque[Typed] = deque()
        self._under_way = False
        self._screen: Screen[object] | None = None  # the one that is known to be composed and to have its focus

    async def take(self, event: Typed) -> None:
        """A key was typed; called in the app's own task."""
        self._waiting.append(event)
        if not self._under_way:
            await self._go_on()

    async def _go_on(self) -> None:
        self._under_way = False
        while self._waiting:
            if self._app.screen is not self._screen:
                self._screen = self._app.screen
                self._after([self._screen])
                return
            event = self._waiting.popleft()
            target = self._app.focused or self._app.screen
            path = [node for node in target.ancestors_with_self if node is not self._app]
            await self._deliver(event)
            if not (_writes(event) and isinstance(target, (TextArea, Input))):
                self._after(path * _ROUNDS)
                return

    def _after(self, path: Sequence[MessagePump]) -> None:
        """Go on once the nodes of `path`, one after the other, have done what is in their queues, and then the app."""
        self._under_way = True
        for place, node in enumerate(path):
            if node.call_later(self._after, path[place + 1 :]):
                return  # one that is being closed takes no more calls
        self._app.call_later(self._go_on)


def _writes(event: Typed) -> bool:
    return isinstance(event, events.Paste) or event.is_printable
