"""Commands that begin at once: importing Typer takes as long as half of the editor's first frame.

An entry point of the group `edge_phi.quick` has the name of a command and is a function of the arguments after it. It
returns the exit code, or None where it leaves the call to the command of that name: for help, and to say what is wrong.
The core's own command is known without them, for looking at what is installed takes as long as loading a small model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

_GROUP = "edge_phi.quick"


def run(arguments: Sequence[str]) -> int | None:
    """Run the command that `arguments` name, if it can begin at once with those that follow; None if not."""
    try:
        command = _command(arguments[0])
        return None if command is None else command(arguments[1:])
    except ModuleNotFoundError:
        return None  # the usual way says what to install


def _command(name: str) -> Callable[[Sequence[str]], int | None] | None:
    if name == "complete":
        from .completion.start import quick

        return quick
    from importlib import metadata

    return next((entry.load() for entry in metadata.entry_points(group=_GROUP, name=name)), None)
