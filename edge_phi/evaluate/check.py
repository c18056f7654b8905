"""Verdicts on completions, from the sandbox, as many at a time as there are cores."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from .problem import Problem
from .sandbox import Examination, Limits, Sandbox, Verdict

HARNESS = 1  # counted up when a change here could change a verdict
WALL = 6  # seconds by the clock for each second allowed of the processor: for programs that wait, on busy machines
MEMORY_BYTES = 4 << 30  # as EvalPlus


class Checker:
    """Hands programs to a sandbox, and their verdicts to `on_verdict` in the order in which they were handed over."""

    def __init__(self, sandbox: Sandbox, workers: int, on_verdict: Callable[[int, Verdict], None]) -> None:
        self._sandbox = sandbox
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="check")
        self._on_verdict = on_verdict
        self._waiting: list[tuple[int, Future[Verdict]]] = []

    def add(self, number: int, problem: Problem, program: str, cpu_seconds: float) -> None:
        """Have `program` checked, which is called `number`, and hand over what verdicts are there."""
        self._waiting.append((number, self._pool.submit(self._check, problem, program, cpu_seconds)))
        while self._waiting and self._waiting[0][1].done():
            self._hand_over()

    def finish(self) -> None:
        """Wait for all verdicts."""
        while self._waiting:
            self._hand_over()

    def close(self) -> None:
        """Forget what was not begun; call it before the sandbox is closed."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _hand_over(self) -> None:
        number, future = self._waiting.pop(0)
        self._on_verdict(number, future.result())

    def _check(self, problem: Problem, program: str, cpu_seconds: float) -> Verdict:
        examination = Examination(
            solution=f"{program}\n{problem.epilogue}\n" if problem.epilogue else program,
            tests=problem.tests,
            helpers=problem.helpers,
            names=problem.names,
        )
        limits = Limits(seconds=WALL * cpu_seconds, cpu_seconds=math.ceil(cpu_seconds), memory_bytes=MEMORY_BYTES)
        return self._sandbox.check(examination, limits)


def program_sha256(program: str) -> str:
    """Names a program; lone surrogates, which no file can hold, included."""
    return hashlib.sha256(program.encode("utf-8", errors="surrogatepass")).hexdigest()
