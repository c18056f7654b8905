"""How much may be spent, how much is, and how much is on its way."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

from edge_phi.errors import InvalidCall

from .answer import Usage


@dataclass(frozen=True)
class Caps:
    """What all answers in one journal may take together.

    Attributes:
        max_tokens: of prompts and answers.
        max_cost: in the currency of the prices.
        prompt_price: of a million tokens.
        completion_price: of a million tokens.

    Raises:
        InvalidCall: a number that cannot be, or a cost without prices.
    """

    max_tokens: int | None = None
    max_cost: float | None = None
    prompt_price: float = 0.0
    completion_price: float = 0.0

    def __post_init__(self) -> None:
        numbers = (self.max_tokens or 0, self.max_cost or 0.0, self.prompt_price, self.completion_price)
        if not all(math.isfinite(number) and number >= 0 for number in numbers):
            raise InvalidCall("--max-tokens-total, --max-cost and the prices take a number of at least 0")
        if self.max_cost is not None and not (self.prompt_price or self.completion_price):
            raise InvalidCall("--max-cost: counts nothing without --prompt-price and --completion-price: give them")

    def cost(self, usage: Usage) -> float:
        """In the currency of the prices."""
        return (usage.prompt * self.prompt_price + usage.completion * self.completion_price) / 1e6

    def allow(self, usage: Usage) -> bool:
        """Whether so much is within the caps."""
        if self.max_tokens is not None and usage.prompt + usage.completion > self.max_tokens:
            return False
        return self.max_cost is None or self.cost(usage) <= self.max_cost


class Spent(Exception):
    """The next request might take more than is left."""


class Budget:
    """What is spent and what may be, while requests are under way.

    Args:
        caps: on all there is.
        spent: before this run.
    """

    def __init__(self, caps: Caps, spent: Usage) -> None:
        self.caps = caps
        self.spent = spent
        self._reserved = Usage()
        self._under_way = 0
        self._settled = asyncio.Condition()

    async def reserve(self, most: Usage) -> None:
        """Wait until a request that takes at most so much fits beside those under way.

        Raises:
            Spent: it does not fit even when none is.
        """
        async with self._settled:
            while not self.caps.allow(self.spent + self._reserved + most):
                if not self._under_way:
                    raise Spent
                await self._settled.wait()
            self._reserved += most
            self._under_way += 1

    async def settle(self, most: Usage, taken: Usage) -> None:
        """What was reserved for a request has turned into what it took."""
        async with self._settled:
            self._reserved -= most
            self._under_way -= 1
            self.spent += taken
            self._settled.notify_all()
