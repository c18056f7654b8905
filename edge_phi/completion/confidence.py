"""How sure a model is of what it writes: the mean log-probability of its tokens, against a floor."""

from __future__ import annotations

_PATIENCE = 8  # tokens that an unsure model may still write to become sure


class Confidence:
    """Follows one completion. Without a floor the model is always sure."""

    def __init__(self, floor: float | None) -> None:
        self._floor = floor
        self._total = 0.0
        self._tokens = 0
        self._unsure = 0  # tokens in a row after which the mean was below the floor

    def add(self, logprob: float) -> None:
        """Count a token that was chosen with this natural log-probability."""
        self._total += logprob
        self._tokens += 1
        below = self._floor is not None and self._total < self._floor * self._tokens
        self._unsure = self._unsure + 1 if below else 0

    @property
    def sure(self) -> bool:
        """Whether the text so far may be offered."""
        return not self._unsure

    @property
    def lost(self) -> bool:
        """Whether it is time to give up."""
        return self._unsure >= _PATIENCE
