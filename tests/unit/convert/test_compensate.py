"""Rounding with compensation, on every grid: bytes mean the values, and the product changes less."""

from __future__ import annotations

import numpy as np
import pytest

from edge_phi import blocks
from edge_phi.convert import arithmetic
from edge_phi.convert import compensate as module
from edge_phi.convert.compensate import Rounded, compensate
from edge_phi.convert.grids import GRIDS, int4_blocks
from edge_phi.convert.walk import Statistics


def problem(rows: int = 40, width: int = 512, seed: int = 0) -> tuple[np.ndarray, Statistics]:
    """Weights, and inputs of which some directions are much larger than others, about a mean that is not 0."""
    random = np.random.default_rng(seed)
    weights = random.normal(0, 0.02, (rows, width)).astype(np.float32)
    mixed = np.eye(width) + random.normal(0, 0.08, (width, width))
    inputs = (random.normal(0, 1, (3000, width)) @ mixed + random.normal(0, 1, width)).astype(np.float32)
    return weights, Statistics(inputs, inputs)


def error_of(weights: np.ndarray, rounded: np.ndarray, statistics: Statistics) -> float:
    """Of the product about its mean, which the bias takes up."""
    hessian = statistics.hessian - np.outer(statistics.mean, statistics.mean)
    difference = weights - rounded
    return float(np.einsum("rw,wv,rv->", difference, hessian, difference))


def values_of(packed: np.ndarray, name: str) -> np.ndarray:
    if name == "int4":
        return blocks.dequantize(int4_blocks(packed))
    gguf = pytest.importorskip("gguf", reason="the gguf package, of the extra 'convert', is not installed")
    return gguf.quants.dequantize(packed, gguf.GGMLQuantizationType[name])


@pytest.mark.parametrize("name", GRIDS)
def test_bytes_mean_the_values_and_errors_are_made_up_for(name: str):
    weights, statistics = problem()
    done = compensate(weights, statistics, GRIDS[name])
    np.testing.assert_array_equal(values_of(done.packed, name), done.values)
    # The same grid where no column knows of another: inputs without correlations, of the same importance.
    alone = np.sqrt(np.diag(statistics.hessian) - statistics.mean**2)
    width = weights.shape[1]
    uncorrelated = np.concatenate([np.diag(alone), -np.diag(alone)]).astype(np.float32) * np.sqrt(width)
    nearest = compensate(weights, Statistics(uncorrelated, uncorrelated), GRIDS[name])
    assert error_of(weights, done.values, statistics) < 0.8 * error_of(weights, nearest.values, statistics)


@pytest.mark.parametrize("name", ["Q4_0", "Q4_K", "Q6_K", "int4"])
def test_better_than_the_engines_own_rounding(name: str):
    """At the same bytes."""
    weights, statistics = problem(seed=5)
    if name == "int4":
        plain = blocks.dequantize(blocks.quantize(weights))
    else:
        pytest.importorskip("llama_cpp", reason="llama.cpp, of the extra 'gguf', is not installed")
        from edge_phi.convert import ggml

        plain = ggml.dequantize(ggml.quantize(weights, name), name, weights.shape[1])
    done = compensate(weights, statistics, GRIDS[name])
    assert error_of(weights, done.values, statistics) < 0.6 * error_of(weights, plain, statistics)


def test_the_bias_keeps_the_mean_of_the_output():
    weights, statistics = problem()
    done = compensate(weights, statistics, GRIDS["Q4_0"])
    assert done.bias_shift is not None
    np.testing.assert_allclose(
        done.values @ statistics.mean + done.bias_shift, weights @ statistics.mean, rtol=1e-3, atol=1e-4
    )
    assert compensate(weights, statistics, GRIDS["Q4_0"], bias=False).bias_shift is None


@pytest.mark.parametrize("name", ["Q4_0", "Q5_0", "IQ4_NL", "int4"])
def test_weights_on_the_grid_stay(name: str):
    """As quantization-aware finetuning leaves them, though the inputs have changed since."""
    weights, statistics = problem(rows=16)
    grid = GRIDS[name]
    on_grid = compensate(weights, statistics, grid).values
    on_grid[3, 32:64] = 0
    on_grid[4, :32] *= 0.5  # other scales that float16 can hold
    inputs = statistics._inputs
    moved = Statistics(inputs + np.roll(inputs, 1, axis=1) * np.float32(0.1), inputs)
    again = compensate(on_grid, moved, grid)
    np.testing.assert_array_equal(again.values, on_grid)
    np.testing.assert_array_equal(values_of(again.packed, name), on_grid)


def test_the_target_moves_towards_what_the_exact_model_gives():
    """Inputs of which quantization has dimmed every second column: the weights there are turned up half way."""
    weights, statistics = problem(width=320)  # and a width that groups of columns do not divide
    exact = statistics._inputs - statistics.mean
    dimmed = exact.copy()
    dimmed[:, ::2] *= np.float32(0.9)
    done = compensate(weights, Statistics(dimmed, exact), GRIDS["Q5_0"])
    plain = compensate(weights, Statistics(dimmed, dimmed), GRIDS["Q5_0"])

    def off(rounded: Rounded, columns: slice) -> float:
        """How much larger than before weights have become, in the mean."""
        old, new = weights[:, columns].ravel(), rounded.values[:, columns].ravel()
        return float(old @ new / (old @ old) - 1)

    assert abs(off(plain, slice(0, None, 2))) < 0.005
    assert 0.04 < off(done, slice(0, None, 2)) < 0.07  # half of 1 / 0.9 - 1
    assert abs(off(done, slice(1, None, 2))) < 0.005


def test_bytes_do_not_depend_on_threads_nor_on_the_rows_beside(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_ROWS", 128)
    weights, statistics = problem(rows=300)
    done = compensate(weights, statistics, GRIDS["Q4_K"])
    monkeypatch.setattr(arithmetic, "usable_cores", lambda: 1)
    np.testing.assert_array_equal(compensate(weights, statistics, GRIDS["Q4_K"]).packed, done.packed)
    few = compensate(weights[256:], statistics, GRIDS["Q4_K"])
    np.testing.assert_array_equal(few.packed, done.packed[256:])


@pytest.mark.parametrize("name", GRIDS)
def test_weights_without_a_direction_round_too(name: str):
    """All 0, all equal, one alone, tiny: no division by 0, and nothing that is not finite."""
    weights = np.zeros((4, 256), np.float32)
    weights[1] = 0.25
    weights[2, 17] = -3
    weights[3] = 1e-12
    silent = Statistics(np.zeros((8, 256), np.float32), np.zeros((8, 256), np.float32))
    done = compensate(weights, silent, GRIDS[name])
    assert np.isfinite(done.values).all()
    np.testing.assert_array_equal(values_of(done.packed, name), done.values)
    np.testing.assert_allclose(done.values, weights, rtol=0.02, atol=0.03)  # IQ4_NL has no 0 beside -3
