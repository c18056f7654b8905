from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_phi.checkpoint import open_checkpoint
from edge_phi.convert.budget import Choice, choose
from edge_phi.convert.calibration import Calibration, load_calibration
from edge_phi.convert.gguf import export_gguf
from edge_phi.errors import InvalidCall
from edge_phi.gguf_header import read_gguf_header
from edge_phi.runtimes import open_runtime
from edge_phi.store import Artifact

pytest.importorskip("gguf", reason="the gguf package, of the extra 'convert', is not installed")

TYPES = "abcd"


@given(
    tables=st.lists(
        st.lists(st.tuples(st.integers(1, 60), st.integers(0, 1000)), min_size=1, max_size=4), min_size=1, max_size=4
    ),
    spare=st.integers(0, 150),
)
def test_a_choice_keeps_to_the_budget_and_is_as_good_as_any_but_for_one_step(
    tables: list[list[tuple[int, int]]], spare: int
) -> None:
    choices = {
        str(number): [Choice(type_, *entry) for type_, entry in zip(TYPES, table, strict=False)]
        for number, table in enumerate(tables)
    }
    budget = spare + sum(min(choice.nbytes for choice in of_one) for of_one in choices.values())
    types = choose(choices, budget)
    chosen = [next(c for c in of_one if c.type == types[name]) for name, of_one in choices.items()]
    assert sum(choice.nbytes for choice in chosen) <= budget
    every = [mix for mix in product(*choices.values()) if sum(choice.nbytes for choice in mix) <= budget]
    best = min(sum(choice.divergence for choice in mix) for mix in every)
    # The relaxed problem is solved but for one tensor's next step, which does not fit whole.
    widest = max(max(c.divergence for c in of_one) - min(c.divergence for c in of_one) for of_one in choices.values())
    assert sum(choice.divergence for choice in chosen) <= best + widest


@pytest.fixture(scope="module")
def calibration(tiny_checkpoint: Path) -> Calibration:
    return load_calibration(open_checkpoint(tiny_checkpoint), limit=512)


def test_a_file_within_a_budget_is_nearer_to_full_precision_than_one_type_throughout(
    tiny_checkpoint: Path, tiny_gguf: Callable[[str], Artifact], calibration: Calibration, tmp_path: Path
) -> None:
    llama = pytest.importorskip("llama_cpp", reason="llama.cpp, of the extra 'gguf', is not installed")
    del llama
    plain = tiny_gguf("q4_k_m")
    path = tmp_path / "mixed.gguf"
    types = export_gguf(tiny_checkpoint, "", path, calibration=calibration, budget_bytes=plain.file_bytes)
    assert plain.file_bytes * 0.97 < path.stat().st_size <= plain.file_bytes
    assert types == {name: tensor.type for name, tensor in read_gguf_header(path).tensors.items()}
    mixed = Artifact("tiny-phi", "gguf", "mix", path, tiny_checkpoint)
    tokens = calibration.tokens[0, :200].tolist()

    def logits(artifact: Artifact) -> np.ndarray:
        runtime = open_runtime(artifact)
        try:
            return runtime.extend(tokens, all_logits=True)
        finally:
            runtime.close()

    exact = logits(tiny_gguf("f32"))
    assert np.square(logits(mixed) - exact).mean() < 0.8 * np.square(logits(plain) - exact).mean()


def test_a_budget_below_the_smallest_types_says_what_they_take(
    tiny_checkpoint: Path, calibration: Calibration, tmp_path: Path
) -> None:
    pytest.importorskip("llama_cpp", reason="llama.cpp, of the extra 'gguf', is not installed")
    with pytest.raises(InvalidCall, match=r"0\.1 MB is too small: .* at least 0\.\d MB"):
        export_gguf(tiny_checkpoint, "", tmp_path / "a.gguf", calibration=calibration, budget_bytes=100_000)
    with pytest.raises(InvalidCall, match="calibration text"):
        export_gguf(tiny_checkpoint, "", tmp_path / "a.gguf", budget_bytes=10**7)
    assert list(tmp_path.iterdir()) == []
