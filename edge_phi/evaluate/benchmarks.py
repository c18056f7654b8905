"""The benchmarks by name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from .everyday import load_everyday
from .humaneval import load_humaneval
from .mbpp import load_mbpp
from .plus import load_humaneval_plus, load_mbpp_plus
from .problem import Benchmark

BenchmarkName = Literal["humaneval", "mbpp", "mbpp-sanitized", "humaneval-plus", "mbpp-plus", "everyday"]
BENCHMARKS: tuple[BenchmarkName, ...] = get_args(BenchmarkName)


def load_benchmark(name: BenchmarkName, *, data: Path | None = None, offline: bool = False) -> Benchmark:
    """Read a benchmark; `data` and `offline` as in `read_data`.

    Raises:
        InvalidCall: its file is not on this machine, and must not be downloaded.
        InvalidFile: its file is not the published one.
        EdgePhiError: its file cannot be downloaded.
    """
    if name == "humaneval":
        return load_humaneval(data=data, offline=offline)
    if name == "everyday":
        return load_everyday()
    if name == "humaneval-plus":
        return load_humaneval_plus(data=data, offline=offline)
    if name == "mbpp-plus":
        return load_mbpp_plus(data=data, offline=offline)
    return load_mbpp("sanitized" if name == "mbpp-sanitized" else "test", data=data, offline=offline)
