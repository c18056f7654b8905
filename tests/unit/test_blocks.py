from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_phi.blocks import BLOCK, dequantize, quantize
from edge_phi.errors import InvalidCall

MATRICES = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(1, 4).map(lambda blocks: blocks * BLOCK)),
    elements=st.floats(-1e4, 1e4, width=32),
)
SMALLEST_SCALE = 2.0**-24  # of float16: below it a block vanishes


def gaussian(rows: int = 512) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.02, (rows, 256)).astype(np.float32)


@given(weights=MATRICES, bits=st.sampled_from([4, 8]))
@settings(deadline=None)
def test_no_weight_moves_further_than_its_block_allows(weights: np.ndarray, bits: int) -> None:
    largest = np.abs(weights.reshape(len(weights), -1, BLOCK)).max(axis=-1).repeat(BLOCK, axis=-1)
    error = np.abs(dequantize(quantize(weights, bits)) - weights)
    assert (error <= largest / (6 if bits == 4 else 250) + 128 * SMALLEST_SCALE).all()


@given(weights=MATRICES, bits=st.sampled_from([4, 8]))
@settings(deadline=None)
def test_rounding_again_changes_nothing(weights: np.ndarray, bits: int) -> None:
    once = dequantize(quantize(weights, bits))
    np.testing.assert_array_equal(dequantize(quantize(once, bits)), once)


def test_four_bits_beat_the_usual_scales() -> None:
    x = gaussian().reshape(-1, BLOCK)
    extreme = np.take_along_axis(x, np.abs(x).argmax(axis=-1)[:, None], axis=-1)

    def error(scale: np.ndarray) -> float:
        return float(np.square(np.clip(np.rint(x / scale), -8, 7) * scale - x).sum())

    ours = float(np.square(dequantize(quantize(x.reshape(-1, 256))).reshape(x.shape) - x).sum())
    assert ours < 0.71 * error(np.abs(extreme) / 7)
    assert ours < 0.90 * error(extreme / -8)


def test_layout_is_that_of_the_operators() -> None:
    codes = np.arange(-8, 8).repeat(2)
    blocks = quantize((codes * np.float32(0.5))[None])
    assert blocks.scales.dtype == np.float16 and blocks.scales.tolist() == [[0.5]]
    assert blocks.codes.shape == (1, 1, 16)
    assert [byte & 15 for byte in blocks.codes[0, 0]] == [byte >> 4 for byte in blocks.codes[0, 0]] == list(range(16))

    eight = quantize(np.linspace(-127, 127, 64, dtype=np.float32)[None], bits=8)
    assert eight.codes.shape == (1, 2, 32)
    assert (eight.codes[0, 0, 0], eight.codes[0, 1, -1]) == (1, 255)
    long = quantize(np.linspace(-127, 127, 64, dtype=np.float32)[None], bits=8, block=64)
    assert long.codes.shape == (1, 1, 64) and long.scales.tolist() == [[1]] and long.block == 64
    assert np.abs(dequantize(long) - np.linspace(-127, 127, 64)).max() <= 0.5


def test_pieces_are_quantized_as_the_whole() -> None:
    weights = gaussian(9000)  # several chunks
    blocks = quantize(weights)
    np.testing.assert_array_equal(quantize(weights[5000:5100]).codes, blocks.codes[5000:5100])


@pytest.mark.parametrize("bad", [np.nan, np.inf, 7e4])
def test_what_no_scale_can_hold_is_refused(bad: float) -> None:
    weights = gaussian(4)
    weights[2, 17] = bad
    for bits in (4, 8):
        with pytest.raises(InvalidCall, match="not finite or larger"):
            quantize(weights, bits)


def test_width_and_bits_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidCall, match="width 40"):
        quantize(np.zeros((2, 40), np.float32))
    with pytest.raises(InvalidCall, match="5 bits"):
        quantize(gaussian(4), bits=5)
