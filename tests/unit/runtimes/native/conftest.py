"""Random models and the native engine on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge_phi.runtimes.native import NativeRuntime
from edge_phi.store import Artifact


# The second: heads of 80 as phi-2's, two of which make whole blocks; rows of the head that fill no whole panel.
@pytest.fixture(
    scope="module", params=[(256, 4, 1024, "Q8_0"), (320, 4, 640, "F16")], ids=["heads of 64", "heads of 80"]
)
def artifact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    from random_gguf import write_random_gguf

    width, heads, inner, head = request.param
    path = tmp_path_factory.mktemp("native") / "random.q4_0.gguf"
    return write_random_gguf(path, width=width, heads=heads, inner=inner, head=head)


@pytest.fixture(scope="module")
def kv(request: pytest.FixtureRequest) -> Any:
    """What the cache keeps: both, one after the other, for tests that are marked with `native_engine.both_caches`."""
    return getattr(request, "param", "float16")


@pytest.fixture(scope="module")
def loaded(artifact: Artifact, kv: Any) -> Iterator[NativeRuntime]:
    runtime = NativeRuntime(artifact, threads=2, kv=kv)
    yield runtime
    runtime.close()


@pytest.fixture(scope="module")
def at_once(artifact: Artifact, kv: Any) -> npt.NDArray[np.float32]:
    """Logits of all of `native_engine.TOKENS`, in one call on one thread."""
    from native_engine import TOKENS

    runtime = NativeRuntime(artifact, threads=1, kv=kv)
    logits = runtime.extend(TOKENS, all_logits=True)
    runtime.close()
    assert logits.shape == (len(TOKENS), 100)
    return logits


@pytest.fixture
def runtime(loaded: NativeRuntime) -> NativeRuntime:
    loaded.rewind(0)
    return loaded
