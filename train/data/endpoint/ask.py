"""Get every request answered: some at a time, through failures and restarts, within the budget, each paid for once."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import cast

from edge_phi.errors import EdgePhiError

from ..steps import Say
from .answer import Unusable, Usage
from .budget import Budget, Caps, Spent
from .cache import Journal
from .client import Away, Client, Refused
from .request import Endpoint, Request

_TRIES = 3  # of a request whose answers cannot be used; each is paid for
_IN_A_ROW = 5  # requests given up on, with none answered in between: it will not get better
_FIRST_WAIT = 0.5  # seconds
_LONGEST_WAIT = 15.0
_TELL_EVERY = 10.0


@dataclass
class Asked:
    """What came of asking.

    Attributes:
        answered: now, not before.
        given_up: the key of each request that got no answer, and why.
        spent_out: the budget ended before the requests did.
    """

    answered: int = 0
    given_up: dict[str, str] = field(default_factory=dict)
    spent_out: bool = False

    def why_not(self, key: str) -> str:
        """Why there is no answer under a key."""
        return self.given_up.get(key, "not asked: the budget is spent")


def ask_all(
    endpoint: Endpoint,
    requests: Iterable[Request],
    journal: Journal,
    *,
    caps: Caps,
    say: Say,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Asked:
    """Ask what the journal does not have.

    Args:
        endpoint: whom.
        requests: consumed once, as fast as they are asked.
        journal: takes each answer as it comes.
        caps: on all that is in the journal.
        say: told one line now and then.
        sleep: waits so many seconds.

    Raises:
        EdgePhiError: the server stayed away, wants none of it, or the journal cannot be written. What has been
            answered is in the journal.
        InvalidCall: the key cannot be sent.
    """

    async def run() -> Asked:
        async with Client(endpoint) as client:
            return await _Run(endpoint, client, journal, Budget(caps, journal.spent), say, sleep).all(iter(requests))

    return asyncio.run(run())


@dataclass
class _Run:
    endpoint: Endpoint
    client: Client
    journal: Journal
    budget: Budget
    say: Say
    sleep: Callable[[float], Awaitable[None]]

    def __post_init__(self) -> None:
        self.asked = Asked()
        self.flying: set[str] = set()
        self.exchanging: set[asyncio.Task[None]] = set()
        self.stopped = False
        self.in_a_row = 0
        self.last_answer = float("-inf")
        self.told = time.monotonic()
        self.told_away = False

    async def all(self, requests: Iterator[Request]) -> Asked:
        workers = [asyncio.create_task(self._work(requests)) for _ in range(self.endpoint.concurrency)]
        try:
            _, others = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            if others:  # what is being answered may be charged for: it is worth waiting for
                self.stopped = True
                for worker in others - self.exchanging:
                    worker.cancel()
                await asyncio.wait(others)
        finally:
            for worker in workers:
                worker.cancel()
            results = await asyncio.gather(*workers, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result
        return self.asked

    async def _work(self, requests: Iterator[Request]) -> None:
        for request in requests:
            key = request.key(self.endpoint.model)
            if key in self.journal or key in self.flying or key in self.asked.given_up:
                continue
            if self.asked.spent_out or self.stopped:
                return
            self.flying.add(key)
            try:
                await self._answer(request, key)
            except Spent:
                self.asked.spent_out = True
                return
            finally:
                self.flying.discard(key)

    async def _answer(self, request: Request, key: str) -> None:
        """Ask until there is an answer, or no hope of one."""
        unusable = 0
        first_away: float | None = None
        wait = _FIRST_WAIT
        while not self.stopped:
            try:
                await self._ask_once(request, key)
                return
            except Refused as refused:
                self._give_up(key, f"refused by the endpoint ({str(refused)[:3]})", str(refused))
                return
            except Unusable as problem:
                unusable += 1
                if unusable == _TRIES:
                    self._give_up(key, f"unusable: {problem}", str(problem))
                    return
            except Away as problem:
                first_away = time.monotonic() if first_away is None else first_away
                self._tell_away(problem.why)
                if time.monotonic() - first_away >= self.endpoint.patience_s:
                    if self.last_answer <= first_away:
                        raise self._stayed_away(problem.why) from None
                    self._give_up(key, "no answer from the endpoint", problem.why)
                    return
                pause = wait * random.uniform(0.5, 1.0)
                await self.sleep(min(max(pause, problem.wait_s), self.endpoint.patience_s))
                wait = min(2 * wait, _LONGEST_WAIT)

    async def _ask_once(self, request: Request, key: str) -> None:
        most = Usage(request.prompt_bound, request.max_tokens)
        await self.budget.reserve(most)
        taken = Usage()
        worker = cast("asyncio.Task[None]", asyncio.current_task())
        self.exchanging.add(worker)
        try:
            answer = await self.client.ask(request)
            taken = answer.usage or most
            self.journal.add(key, self.endpoint.model, answer, taken)
        except Unusable as problem:
            taken = most
            self.journal.lose(key, str(problem), taken)
            raise
        except Away as problem:
            if problem.maybe_charged:
                taken = most
                self.journal.lose(key, problem.why, taken)
            raise
        finally:
            self.exchanging.discard(worker)
            await self.budget.settle(most, taken)
        self._tell_answered()

    def _give_up(self, key: str, reason: str, said: str) -> None:
        self.asked.given_up[key] = reason
        self.in_a_row += 1
        if self.in_a_row >= _IN_A_ROW:
            raise EdgePhiError(
                f"{self.endpoint.completions_url}: {said}: {_IN_A_ROW} requests in a row came to nothing: "
                f"check --endpoint and --model; the {len(self.journal)} answers so far are kept"
            )

    def _stayed_away(self, why: str) -> EdgePhiError:
        return EdgePhiError(
            f"{self.endpoint.completions_url}: {why}: given up after {self.endpoint.patience_s:g} s: start the server "
            f"and run the same command again; the {len(self.journal)} answers so far are kept"
        )

    def _tell_away(self, why: str) -> None:
        if not self.told_away:
            self.told_away = True
            self.say(f"{why}: trying again for up to {self.endpoint.patience_s:g} s")

    def _tell_answered(self) -> None:
        self.asked.answered += 1
        self.in_a_row = 0
        self.last_answer = time.monotonic()
        self.told_away = False
        if self.last_answer - self.told >= _TELL_EVERY:
            self.told = self.last_answer
            tokens = self.budget.spent.prompt + self.budget.spent.completion
            self.say(f"{len(self.journal):,} answers, {tokens:,} tokens")
