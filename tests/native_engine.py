"""For tests of the native engine: who imports this is skipped where it was not built, or no model can be made."""

from __future__ import annotations

import numpy as np
import pytest

from edge_phi import engines

gguf = pytest.importorskip("gguf", reason="the gguf package, of the extra 'convert', is not installed")

if not engines.NATIVE_LIBRARY.is_file():
    pytest.skip("the native engine was not built: there was no compiler", allow_module_level=True)

both_caches = pytest.mark.parametrize("kv", ["float16", "int8"], indirect=True, scope="module")

TOKENS: list[int] = np.random.default_rng(1).integers(0, 100, 200).tolist()  # of `random_gguf`'s vocabulary
