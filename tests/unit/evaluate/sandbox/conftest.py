"""One sandbox for all tests of a file; those that break theirs make their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edge_phi.evaluate.sandbox import Sandbox, probe


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    if not probe().enough:
        pytest.skip(f"this machine cannot hold untrusted programs: {probe().missing}")
    with Sandbox() as one:
        yield one
