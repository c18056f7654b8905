"""How many tokens a text has, so that every step of the pipeline can say what it kept.

The bundled model's tokenizer counts: a yardstick that is there before a corpus has a tokenizer of its own. What is
packed in the end is counted by the tokenizer that packs.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any


def count(texts: Sequence[str]) -> list[int]:
    """Tokens of each text under the bundled model's byte-level BPE, without special tokens."""
    return [len(encoding.ids) for encoding in _yardstick().encode_batch_fast(list(texts), add_special_tokens=False)]


@functools.lru_cache(maxsize=1)
def _yardstick() -> Any:
    from tokenizers import Tokenizer

    from edge_phi.store import DEFAULT_MODEL, bundled_folder

    tokenizer = Tokenizer.from_file(str(bundled_folder() / DEFAULT_MODEL / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return tokenizer
