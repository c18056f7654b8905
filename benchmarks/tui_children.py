"""What benchmarks/tui.py runs in its pseudo-terminals: the editor with both engines at work, and one engine alone."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from edge_phi import atomic
from edge_phi.measure.prompts import PROMPTS

EMPTY = """
from textual.app import App
from textual.widgets import Static
class Empty(App):
    def compose(self):
        yield Static("READY")
Empty().run()
"""
AREA = """
from textual.app import App
from textual.widgets import Static, TextArea
class Area(App):
    def compose(self):
        yield Static("READY")
        yield TextArea()
    def on_mount(self):
        self.query_one(TextArea).focus()
Area().run()
"""
_WRITE_SECONDS = 0.5


def edit(model: str, result: str, file: str, load: str) -> None:
    """The editor, both engines loaded; "busy": both complete all the time, and `result` says how many tokens."""
    from edge_phi.tui.app import EdgePhiApp
    from edge_phi.tui.document import open_document
    from edge_phi.tui.start import choose_engines

    class Editor(EdgePhiApp):
        def on_ready(self) -> None:
            self.editor_screen.lend_engines()
            threading.Thread(target=self._work, daemon=True).start()

        def _work(self) -> None:
            for lender in self.lenders:
                lender.settled.wait()
            made = dict.fromkeys((f"{one.choice.engine} {one.choice.quant}" for one in self.lenders), 0)
            if load == "busy":
                for name, lender in zip(made, self.lenders, strict=True):
                    threading.Thread(target=keep_busy, args=(lender.session, made, name), daemon=True).start()
            began_s = time.monotonic()
            while True:
                _write(result, {"seconds": time.monotonic() - began_s, "tokens": made})
                time.sleep(_WRITE_SECONDS)

    Editor(open_document(Path(file)), *choose_engines(model, None), pause_seconds=3600).run()


def keep_busy(session: object, made: dict[str, int], name: str) -> None:
    """Complete again and again, each time from another beginning; count the tokens."""
    while True:
        for prompt in ("#", PROMPTS["module"]):
            made[name] += session.complete(prompt).tokens  # type: ignore[attr-defined]


def inside(model: str, result: str) -> None:
    """Suggestions asked for in the editor, drawn as they come."""
    from edge_phi.tui.app import EdgePhiApp
    from edge_phi.tui.document import Document
    from edge_phi.tui.start import choose_engines

    class Editor(EdgePhiApp):
        def on_ready(self) -> None:
            self.run_worker(self._measure())

        async def _measure(self) -> None:
            screen, counted = self.editor_screen, []
            for text in prompts():
                screen.editor.load_text(text)
                screen.editor.move_cursor(screen.editor.document.end)
                before = len(screen.panel.history.courses)
                while screen.panel.quantized.state != "ready":
                    await asyncio.sleep(0.01)
                screen.action_suggest()
                while len(screen.panel.history.courses) == before:
                    await asyncio.sleep(0.01)
                suggestion = screen.panel.quantized.suggestion
                assert suggestion is not None
                counted.append((suggestion.tokens, suggestion.timing.decode_tokens_per_s))
            _write(result, _rate(counted))

    quantized, _ = choose_engines(model, None)
    Editor(Document(), quantized, None, pause_seconds=3600).run()


def outside(model: str, result: str) -> None:
    """The same suggestions, one after the other."""
    from edge_phi.completion.session import open_session

    with open_session(model) as session:
        session.complete("#")
        found = [session.complete(text) for text in prompts()]
    _write(result, _rate([(one.tokens, one.timing.decode_tokens_per_s) for one in found]))


def prompts() -> list[str]:
    """Each prompt a few times, no two alike: what is known is not computed again."""
    return [f"# {number}\n{text}" for number in range(4) for text in PROMPTS.values()]


def _rate(counted: list[tuple[int, float | None]]) -> dict[str, float]:
    """Tokens after the first of each answer, and their seconds."""
    known = [(tokens - 1, (tokens - 1) / rate) for tokens, rate in counted if rate]
    return {"tokens": sum(tokens for tokens, _ in known), "seconds": sum(seconds for _, seconds in known)}


def _write(result: str, found: dict[str, object] | dict[str, float]) -> None:
    atomic.write_bytes(Path(result), json.dumps(found).encode())


if __name__ == "__main__":
    CHILDREN: dict[str, Callable[..., None]] = {"edit": edit, "inside": inside, "outside": outside}
    CHILDREN[sys.argv[1]](*sys.argv[2:])
