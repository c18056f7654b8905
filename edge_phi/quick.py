"""Commands that begin at once: importing Typer takes as long as half of the editor's first frame.

An entry point of the group `edge_phi.quick` has the name of a command and is a function of the arguments after it. It
returns the exit code, or None where it leaves the call to the command of that name: for help, and to say what is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata

_GROUP = "edge_phi.quick"


def run(arguments: Sequence[str]) -> int | None:
    """Run the command that `arguments` name, if it can begin at once with those that follow; None if not."""
    for entry in metadata.entry_points(group=_GROUP, name=arguments[0]):
        try:
            code: int | None = entry.load()(arguments[1:])
        except ModuleNotFoundError:
            return None  # the usual way says what to install
        return code
    return None
