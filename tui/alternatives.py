"""The suggestions for one place: the first, and others that were asked for one after the other."""

from __future__ import annotations

from dataclasses import dataclass, field

_TRIES = 4  # answers in a row that bring nothing new before there is held to be nothing else


@dataclass
class Alternatives:
    """Texts between `before` and `after`, each different; one of them is shown."""

    before: str
    after: str
    texts: list[str]
    shown: int = 0
    ticket: int | None = None  # of the request for another one that is under way
    _variant: int = 0
    _in_vain: int = field(default=0, repr=False)

    def step(self, by: int) -> str | None:
        """Show the next text or the one before; None where there is none yet."""
        if not 0 <= self.shown + by < len(self.texts):
            return None
        self.shown += by
        return self.texts[self.shown]

    def ask(self, ticket: int) -> int:
        """Note that another text is asked for; returns which variant, never the same twice."""
        self.ticket = ticket
        self._variant += 1
        return self._variant

    def answer(self, text: str) -> bool:
        """Take in an answer; whether it is a new text, which is then shown."""
        self.ticket = None
        if not text.strip() or text in self.texts:
            self._in_vain += 1
            return False
        self._in_vain = 0
        self.texts.append(text)
        self.shown = len(self.texts) - 1
        return True

    @property
    def exhausted(self) -> bool:
        """Whether asking again is no use for now."""
        return self._in_vain >= _TRIES

    def try_again(self) -> None:
        """Let the user's next wish be as good as the first."""
        self._in_vain = 0
