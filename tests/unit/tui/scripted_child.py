"""An engine's process with a session that does what the text before the cursor says; run by test_session_process.py."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from edge_phi.completion.cancel import Cancel
from edge_phi.completion.settings import GREEDY, DecodeSettings
from edge_phi.completion.suggestion import Finish, Step, Suggestion, Timing
from edge_phi.errors import MissingExtra
from edge_phi.tui.session_child import serve


class Obedient:
    """Writes two tokens, unless it is told otherwise."""

    load_ms = 7.0

    def complete(
        self,
        before: str,
        after: str = "",
        *,
        settings: DecodeSettings = GREEDY,
        cancel: Cancel | None = None,
        on_step: Callable[[Step], None] | None = None,
    ) -> Suggestion:
        finish: Finish = "stop"
        print("engines print to stdout as they please")
        if "read for ever" in before:  # as in the middle of a prompt
            assert cancel is not None
            finish = "cancelled" if cancel.wait(300) else "stop"
        if "miss something" in before:
            raise MissingExtra("install it")
        if "crash" in before:
            os.abort()
        pieces = [repr(before), repr(after), str(settings.seed)]
        if on_step is not None:
            for token, piece in enumerate(pieces):
                on_step(Step(token, piece, token))
        return Suggestion(
            "".join(pieces), len(pieces), finish, "scripted", "onnx", "int4", Timing(7.0, 1.0, 2.0, None, 3, 4)
        )

    def use_idle_time(self, cancel: Cancel) -> None:
        cancel.wait(300)

    def close(self) -> None:
        raise AssertionError("it ends, and is not closed")


def opened() -> Obedient:
    if sys.argv[1] == "damaged":
        raise MissingExtra("the engine is not installed")
    if sys.argv[1] == "crashing":
        sys.exit("no luck")
    return Obedient()


if __name__ == "__main__":
    serve(opened, int(sys.argv[4]))
