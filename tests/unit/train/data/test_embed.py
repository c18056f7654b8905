"""Vectors of texts: what transformers computes from the same weights, whatever texts are embedded beside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch, of the extra 'train', is not installed")

from edge_phi.errors import InvalidCall
from edge_phi.train.data.embed import embed, width

TEXTS = [
    "def f(x):\n    return x + 1\n",
    "",
    "a" * 3_000,  # longer than the context of 512
    "é <|endoftext|> " * 9,
    "for i in range(10):\n    print(i)\n" * 4,
]


def test_the_mean_of_what_transformers_calls_the_last_hidden_state(tiny_checkpoint: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers", reason="transformers, of the extra 'train', is not installed")
    from edge_phi.tokenizer import load_tokenizer

    reference = transformers.PhiModel.from_pretrained(tiny_checkpoint, dtype=torch.float32).eval()
    tokenizer = load_tokenizer(tiny_checkpoint)
    vectors = embed(TEXTS, model=tiny_checkpoint)
    assert vectors.dtype == np.float32 and vectors.shape == (len(TEXTS), width(tiny_checkpoint))
    for text, vector in zip(TEXTS, vectors, strict=True):
        ids = tokenizer.encode(text)[:512]
        if not ids:
            assert not vector.any()
            continue
        with torch.no_grad():
            expected = reference(torch.tensor([ids])).last_hidden_state[0].mean(0).numpy()
        np.testing.assert_allclose(vector, expected, atol=2e-4)


def test_neighbours_do_not_matter(tiny_checkpoint: Path) -> None:
    texts = [text for text in TEXTS if len(text) < 1_000] * 12
    alone = np.concatenate([embed([text], model=tiny_checkpoint) for text in texts[: len(texts) // 12]])
    np.testing.assert_allclose(embed(texts, model=tiny_checkpoint), np.tile(alone, (12, 1)), atol=1e-6)


def test_the_bundled_model_tells_near_from_far_and_leaves_the_threads_as_they_were() -> None:
    import torch

    before = torch.get_num_threads()
    near, also, far = embed(
        [
            "def add(a, b):\n    return a + b\n",
            "def plus(x, y):\n    return x + y\n",
            "The sea was calm, and the old ship lay at anchor in the bay.",
        ]
    )
    assert np.linalg.norm(near - also) < np.linalg.norm(near - far) / 1.5
    assert torch.get_num_threads() == before


def test_no_model_gets_one_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidCall, match="no such folder"):
        embed(["x"], model=tmp_path / "none")
