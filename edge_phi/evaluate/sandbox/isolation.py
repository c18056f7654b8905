"""What this machine has to keep a program in, each mechanism tried for real."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .inside.walls import LANDLOCK, NAMESPACES, SECCOMP

_PROBE_SECONDS = 30.0

# A Python that reads no settings, no site-packages, and no code but the standard library's and that of the sandbox.
_INTERPRETER = (sys.executable, "-s", "-S", "-B", "-X", "utf8", "-c")
# Without a seed of its own per process a set of strings has the same order every time; one arena, because each takes
# address space.
ENVIRONMENT = {"PYTHONHASHSEED": "0", "MALLOC_ARENA_MAX": "1"}


@dataclass(frozen=True)
class Mechanism:
    """One wall: whether it stands, and in what form or why not."""

    name: str
    present: bool
    detail: str


@dataclass(frozen=True)
class Isolation:
    """All of them."""

    mechanisms: tuple[Mechanism, ...]

    def has(self, name: str) -> bool:
        """The mechanism of that name is there."""
        return any(one.present for one in self.mechanisms if one.name == name)

    @property
    def enough(self) -> bool:
        """Programs nobody has read can be run here: seccomp, and namespaces or Landlock."""
        return self.has(SECCOMP) and (self.has(NAMESPACES) or self.has(LANDLOCK))

    @property
    def missing(self) -> str:
        """What is not there and why, on one line."""
        return "; ".join(f"{one.name} ({one.detail})" for one in self.mechanisms if not one.present)


def command(statement: str) -> list[str]:
    """How to start the sandbox's own code in a process: `statement` has `trial` and `worker` of `inside`."""
    here = str(Path(__file__).parent)
    return [
        *_INTERPRETER,
        f"import sys; sys.path[0] = {here!r}; from inside import trial, worker; del sys.path[0]; {statement}",
    ]


@functools.cache
def probe() -> Isolation:
    """Try each mechanism in a process of its own, once."""
    if sys.platform == "win32":
        return Isolation((Mechanism("processes", False, "Windows cannot fork, and has none of the others"),))
    try:
        tried = subprocess.run(
            command("trial.main()"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_SECONDS,
            env=ENVIRONMENT,
            check=False,
        )
        return Isolation(tuple(Mechanism(**one) for one in json.loads(tried.stdout)))
    except subprocess.TimeoutExpired:
        why = f"it took more than {_PROBE_SECONDS:g} s"
    except (ValueError, TypeError):
        why = f"it ended with {tried.returncode} and said nothing"
    return Isolation((Mechanism("trial", False, why),))
