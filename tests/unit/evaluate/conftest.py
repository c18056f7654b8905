from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_phi.errors import EdgePhiError
from edge_phi.evaluate.problem import Benchmark, Problem
from edge_phi.evaluate.sandbox import Sandbox
from edge_phi.evaluate.stop_rules import BODY_STRUCTURE, HUMANEVAL_STOPS


@pytest.fixture(scope="package")
def sandbox() -> Iterator[Sandbox]:
    try:
        opened = Sandbox()
    except EdgePhiError as error:
        pytest.skip(f"this machine has no sandbox: {error}")
    with opened:
        yield opened


@pytest.fixture
def benchmark(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Benchmark:
    """Three problems of ours; what is remembered of them is forgotten."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_, **__: str(folder))
    problems = tuple(
        Problem(
            task_id=f"Ours/{number}",
            prompt=f'def add_{number}(x):\n    """Add {number} to x."""\n',
            entry_point=f"add_{number}",
            canonical_solution=f"    return x + {number}\n",
            tests=f"assert add_{number}(1) == 1 + {number}\nassert add_{number}(-5) == {number} - 5\n",
            names=(f"add_{number}",),
        )
        for number in range(3)
    )
    return Benchmark("humaneval", problems, HUMANEVAL_STOPS, BODY_STRUCTURE, (("ours.jsonl", "0" * 64),))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "runs"
