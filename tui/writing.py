"""Writes a function from a request: first its signature, then its body, both with the session that suggests."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from edge_phi.completion.cancel import Cancel

from .characters import clean
from .function_prompt import Place, head_of, signature_of, signature_prompt

if TYPE_CHECKING:
    from edge_phi.completion.suggestion import Step

    from .engine import SessionLike

_SHOW_INTERVAL_S = 0.04


class Writing:
    """One request. `run` works in the thread that calls it; it tells `show` the text so far and whether that is all."""

    def __init__(self, place: Place, after: str, docstring: str, show: Callable[[str, bool], None]) -> None:
        self.cancel = Cancel()
        self._place, self._after, self._docstring, self._show = place, after, docstring, show

    def run(self, session: SessionLike) -> None:
        """Write it; returns soon after `cancel` is set.

        Raises:
            Exception: whatever the engine raises.
        """
        signature = self._signature(session)
        if self.cancel.is_set():
            return
        head = head_of(self._place, signature, self._docstring)
        self._show(head, False)
        pieces: list[str] = []
        shown_s = time.monotonic()

        def on_step(step: Step) -> None:
            nonlocal shown_s
            pieces.append(step.text)
            if time.monotonic() - shown_s >= _SHOW_INTERVAL_S:
                shown_s = time.monotonic()
                self._show(head + clean("".join(pieces)), False)

        found = session.complete(self._place.before + head, self._after, cancel=self.cancel, on_step=on_step)
        if found.finish != "cancelled":
            self._show(head + clean(found.text), True)

    def _signature(self, session: SessionLike) -> str:
        enough = Cancel()
        text = ""

        def on_step(step: Step) -> None:
            nonlocal text
            text += step.text
            if "\n" in text or self.cancel.is_set():
                enough.set()

        session.complete(signature_prompt(self._place, self._docstring), "", cancel=enough, on_step=on_step)
        return signature_of(clean(text), self._docstring)
