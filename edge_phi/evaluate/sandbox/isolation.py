"""What this machine has to keep a program in, each mechanism tried for real."""

from __future__ import annotations

from dataclasses import dataclass


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
        """Programs nobody has read can be run here."""
        return self.has("seccomp") and (self.has("namespaces") or self.has("landlock"))


def probe() -> Isolation:
    """Try each mechanism in a process of its own."""
    return Isolation(())
