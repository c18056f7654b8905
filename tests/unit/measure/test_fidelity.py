from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edge_phi.errors import EdgePhiError, InvalidCall
from edge_phi.measure.fidelity import compare_runtimes, fidelity
from edge_phi.runtimes import RuntimeInfo
from edge_phi.store import find_model


class Table:
    """A runtime that predicts by the last token alone: row `token` of `logits` comes after it."""

    def __init__(self, logits: npt.NDArray[np.float32]) -> None:
        self.logits, self.length = logits, 0
        self.longest = 0  # rows of logits that it was asked for at once
        self.info = RuntimeInfo("scripted", "float32", 0, logits.shape[1], 512, 1)

    def extend(
        self, tokens: Sequence[int], *, all_logits: bool = False, cancel: threading.Event | None = None
    ) -> npt.NDArray[np.float32]:
        assert all_logits
        self.longest = max(self.longest, len(tokens))
        self.length += len(tokens)
        return self.logits[list(tokens)]

    def rewind(self, length: int) -> None:
        self.length = length

    def close(self) -> None:
        pass


# Two tokens: full precision says 3:1 for token 0 after token 0 and even odds after token 1.
FULL = np.log(np.array([[0.75, 0.25], [0.5, 0.5]], np.float32))
# The form says 1:1 after token 0, and prefers token 1 after token 1.
FORM = np.log(np.array([[0.5, 0.5], [0.2, 0.8]], np.float32)) + 7  # a constant changes no probability


def test_figures_are_those_of_the_formulas() -> None:
    windows = np.array([[0, 0, 1, 1]], np.int32)  # 0 -> 0, 0 -> 1, 1 -> 1
    found = compare_runtimes(Table(FORM), Table(FULL), windows)
    after_0 = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    after_1 = 0.5 * math.log(0.5 / 0.2) + 0.5 * math.log(0.5 / 0.8)
    assert found.positions == 3
    assert found.kl_mean == pytest.approx((2 * after_0 + after_1) / 3, rel=1e-6)
    # Sorted they are after_0, after_0, after_1; the 99th of a hundred is 1.98 steps on.
    assert found.kl_p99 == pytest.approx(after_0 + 0.98 * (after_1 - after_0), rel=1e-6)
    assert found.perplexity == pytest.approx((0.5 * 0.5 * 0.8) ** (-1 / 3), rel=1e-6)
    assert found.baseline_perplexity == pytest.approx((0.75 * 0.25 * 0.5) ** (-1 / 3), rel=1e-6)
    assert found.top1 == pytest.approx(2 / 3)  # after token 0 both are even, and the first counts


def test_long_windows_are_read_in_pieces_and_give_the_same() -> None:
    random = np.random.default_rng(5)
    logits = random.normal(0, 2, (8, 8)).astype(np.float32)
    form, full = Table(logits + random.normal(0, 0.1, (8, 8)).astype(np.float32)), Table(logits)
    windows = random.integers(0, 8, (3, 200)).astype(np.int32)
    found = compare_runtimes(form, full, windows)
    assert found.positions == 3 * 199 and 1 < form.longest < 199
    one_by_one = [compare_runtimes(form, full, windows[row : row + 1, at : at + 2]).kl_mean
                  for row in range(3) for at in range(199)]  # fmt: skip
    assert found.kl_mean == pytest.approx(np.mean(one_by_one), rel=1e-9)
    assert found.kl_p99 == pytest.approx(np.percentile(one_by_one, 99), rel=1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_an_error(bad: float) -> None:
    broken = FORM.copy()
    broken[1, 1] = bad
    with pytest.raises(EdgePhiError, match="not finite"):
        compare_runtimes(Table(broken), Table(FULL), np.array([[0, 1, 0]], np.int32))


def test_models_of_other_vocabularies_are_refused() -> None:
    with pytest.raises(InvalidCall, match="vocabularies of 3 and 2 tokens"):
        compare_runtimes(Table(np.zeros((3, 3), np.float32)), Table(FULL), np.array([[0, 1]], np.int32))


def test_a_form_is_near_itself_and_int4_is_not(bundled: Path) -> None:
    from edge_phi.measure.held_out import held_out_windows
    from edge_phi.runtimes import open_tokenizer

    model = find_model(bundled)
    full, int4 = model.artifact("onnx:float32"), model.artifact("onnx:int4")
    windows = held_out_windows(open_tokenizer(full), 64, 4)
    assert fidelity(full, full, windows, threads=1).kl_mean == 0.0
    told: list[int] = []
    found = fidelity(int4, full, windows, threads=1, progress=told.append)
    assert told == [1, 2, 3, 4] and found.positions == 4 * 63
    assert 1e-4 < found.kl_mean < 0.1 and found.kl_mean < found.kl_p99 and 0.8 < found.top1 < 1
    assert found.baseline_perplexity < 1000  # of 8,192 tokens: it has learned something


@pytest.fixture
def bundled() -> Path:
    from edge_phi.store import bundled_folder

    return bundled_folder() / "phi-1-nano"
