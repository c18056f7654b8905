"""Rounding a matrix so that later columns make up for the errors of earlier ones.

For a product y = W x over calibration inputs, what matters of the errors E = W - W' is E H E^T with H = mean(x x^T).
With H = V V^T, V upper triangular, this is the sum over columns k of (E V)_k^2, and (E V)_k depends on columns up to k
only: so column k is rounded to the code nearest to w_k + sum_{j<k} e_j V_jk / V_kk. That is GPTQ (Frantar et al. 2022,
arXiv 2210.17323) as triangular feedback (LDLQ: Chee et al. 2023, arXiv 2307.13304, theorem 6), which needs no inverse.

Beyond GPTQ:
- Each part's scale is chosen among several by this same error, after rounding with each, and then fitted to its codes
  by least squares in the metric V.
- A float32 bias takes up what is constant, so that H and all else are taken about the means.
- The inputs are those of the model as it is quantized so far, the target half way from W x to W (exact x), the output
  of the model as it was (as GPTAQ does, Li et al. 2025, arXiv 2504.02692): going all the way fits the calibration text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edge_phi.errors import EdgePhiError

from .arithmetic import matmul, shared_out
from .grid_bytes import Bytes
from .grids import Array, Grid
from .walk import Statistics

# Added to the diagonal of H, in units of its mean: directions that the calibration text hardly shows still count.
_DAMPING = 0.01
_TOWARDS_EXACT = 0.5
_REFITS = 2
_GROUP = 256  # columns to which the errors of those before them are brought at once
_ROWS = 1024  # at once: enough to hide what numpy costs per call, few enough for the cache


@dataclass(frozen=True)
class Rounded:
    """A matrix on a grid: its bytes, uint8 [rows, bytes], its values, float32 [rows, width], and for its bias what to
    add, float32 [rows], or None."""

    packed: Bytes
    values: Array
    bias_shift: Array | None


def compensate(weights: Array, statistics: Statistics, grid: Grid, *, bias: bool = True) -> Rounded:
    """Round `weights` to `grid` so that the product changes least over the calibration text.

    Weights that lie on the grid already come out as they are. Rows do not depend on one another, nor on the number of
    threads that share them.

    Args:
        weights: float32 [rows, width], width a multiple of `grid.block`.
        statistics: of the product's inputs.
        grid: one of `grids.GRIDS`.
        bias: whether the product has a bias, which can be changed.

    Raises:
        EdgePhiError: the statistics are such that no error can be weighed by them.
    """
    found = grid.exact(weights)
    if found is not None:
        scales, codes = found
        packed = _pack(grid, np.empty((len(weights), weights.shape[1] // grid.block, 0), np.float32), scales,
                       np.zeros_like(scales), codes)  # fmt: skip
        return Rounded(packed, weights, _shift(weights, weights, statistics) if bias else None)
    metric = _Metric(_factor(_damped(statistics, bias)), grid)
    target = _target(weights, statistics, metric, bias)
    values = np.empty_like(weights)

    def work(top: int) -> Bytes:
        return _rows(target[top : top + _ROWS], metric, grid, values[top : top + _ROWS])

    done = shared_out(work, range(0, len(weights), _ROWS))
    return Rounded(np.concatenate(done), values, _shift(weights, values, statistics) if bias else None)


def _damped(statistics: Statistics, bias: bool) -> Array:
    """H, [width, width]."""
    hessian = statistics.hessian
    width = len(hessian)
    if bias:
        for top in range(0, width, _GROUP):
            hessian[top : top + _GROUP] -= np.outer(statistics.mean[top : top + _GROUP], statistics.mean)
    mean = np.trace(hessian, dtype=np.float64) / width
    hessian[np.diag_indices(width)] += np.float32(_DAMPING * mean if mean > 0 else 1)
    return hessian


def _target(weights: Array, statistics: Statistics, metric: _Metric, bias: bool) -> Array:
    """The matrix to round, [rows, width]."""
    if not statistics.changed:
        return weights
    # The least squares of W' x' - W x over the inputs x' and the exact x: W' = W + mean(W (x - x') x'^T) H^-1.
    drift = statistics.drift(weights)
    if bias:
        drift -= np.outer(weights @ (statistics.exact_mean - statistics.mean), statistics.mean)
    metric.solve(drift)
    drift *= np.float32(_TOWARDS_EXACT)
    drift += weights
    return drift


def _shift(weights: Array, values: Array, statistics: Statistics) -> Array:
    """What keeps the mean of the product's output."""
    shift: Array = weights @ statistics.exact_mean - values @ statistics.mean
    return shift


def _factor(hessian: Array) -> Array:
    """The upper triangular V of H = V V^T, in place of H: a matrix of 8,192 inputs is a quarter of a gigabyte.

    From the last columns to the first, each group less what those after it have of it.
    """
    for stop in range(len(hessian), 0, -_GROUP):
        start = max(0, stop - _GROUP)
        group = hessian[:stop, start:stop]
        group -= matmul(hessian[:stop, stop:], hessian[start:stop, stop:].T)
        try:
            square = np.linalg.cholesky(group[start:][::-1, ::-1].astype(np.float64))[::-1, ::-1]
        except np.linalg.LinAlgError as error:
            raise EdgePhiError(
                "the calibration text gives activations that cannot be weighed: give other text"
            ) from error
        group[:start] = matmul(group[:start], np.asarray(np.linalg.inv(square).T, np.float32))
        group[start:] = square
        hessian[stop:, start:stop] = 0
    return hessian


class _Metric:
    """V with the inverses of its squares along the diagonal: of groups, blocks and parts of columns."""

    def __init__(self, factor: Array, grid: Grid) -> None:
        self.factor = factor
        self.group = max(_GROUP, grid.block)
        self.blocks = list(_inverses(factor, grid.block))
        self.parts = self.blocks if grid.part == grid.block else list(_inverses(factor, grid.part))

    def pending_of_group(self, errors: Array, group: int) -> Array:
        """(E V) of a group's columns from errors [rows, width] before it."""
        pending: Array = errors[:, :group] @ self.factor[:group, group : group + self.group]
        return pending

    def pending(self, errors: Array, first: int, start: int, stop: int) -> Array:
        """(E V) of columns `start` to `stop` from the errors of those from `first` on."""
        pending: Array = errors[:, first:start] @ self.factor[first:start, start:stop]
        return pending

    def solve(self, x: Array) -> None:
        """x H^-1 in place of x [rows, width], by V^T from the last columns to the first and by V back again."""
        factor, width = self.factor, x.shape[1]
        groups = list(zip(range(0, width, self.group), _inverses(factor, self.group), strict=True))
        for start, inverse in reversed(groups):
            stop = start + len(inverse)
            x[:, start:stop] = (x[:, start:stop] - x[:, stop:] @ factor[start:stop, stop:].T) @ inverse.T
        for start, inverse in groups:
            stop = start + len(inverse)
            x[:, start:stop] = (x[:, start:stop] - x[:, :start] @ factor[:start, start:stop]) @ inverse


def _inverses(factor: Array, size: int) -> Iterator[Array]:
    for start in range(0, len(factor), size):
        square = factor[start : start + size, start : start + size].astype(np.float64)
        yield np.linalg.inv(square).astype(np.float32)


def _rows(target: Array, metric: _Metric, grid: Grid, values: Array) -> Bytes:
    """Round some rows: `values` is filled, the packed bytes are returned."""
    rows, width = target.shape
    blocks, parts = width // grid.block, grid.block // grid.part
    errors = np.zeros_like(target)
    scales, offsets = (np.empty((rows, blocks * parts), np.float32) for _ in range(2))
    codes = np.empty_like(target)
    shared = []
    for block in range(blocks):
        start = block * grid.block
        stop = start + grid.block
        group = start // metric.group * metric.group
        if start == group:
            far = metric.pending_of_group(errors, group)
        pending: Array = np.add(far[:, start - group : stop - group], metric.pending(errors, group, start, stop))
        aim: Array = target[:, start:stop] + pending @ metric.blocks[block]
        diagonal = np.diag(metric.factor)[start:stop]
        shared.append(grid.shared(aim, diagonal**2))
        for part in range(block * parts, (block + 1) * parts):
            here = slice(part * grid.part, (part + 1) * grid.part)
            if parts > 1:
                near = metric.pending(errors, group, here.start, here.stop)
                pending = np.add(far[:, here.start - group : here.stop - group], near)
            square = metric.factor[here, here]
            problem = _Part(target[:, here], pending, square, metric.parts[part], grid, shared[-1])
            scales[:, part], offsets[:, part], codes[:, here] = problem.solve()
            values[:, here] = scales[:, part, None] * codes[:, here] + offsets[:, part, None]
            errors[:, here] = target[:, here] - values[:, here]
    return _pack(grid, np.stack(shared, axis=1), scales, offsets, codes)


class _Part:
    """The columns [rows, part] that share a scale, given the errors of those before them."""

    def __init__(self, target: Array, pending: Array, square: Array, inverse: Array, grid: Grid, shared: Array) -> None:
        self._aim = target + pending @ inverse  # what would leave no error at all
        self._square = square
        self._diagonal = np.diag(square).copy()
        self._feedback = square / self._diagonal
        self._grid = grid
        self._shared = shared

    def solve(self) -> tuple[Array, Array, Array]:
        """Scales [rows], offsets [rows] and codes [rows, part]."""
        options = self._grid.options(self._shared, self._aim, self._diagonal**2)
        best = self._try(*options)
        for _ in range(_REFITS):
            again = self._try(*self._refitted(*best[1:]))
            better = again[0] < best[0]
            error, scale, offset = (np.where(better, new, old) for new, old in zip(again[:3], best[:3], strict=True))
            best = error, scale, offset, np.where(better[:, None], again[3], best[3])
        return best[1:]

    def _try(self, scales: Array, offsets: Array) -> tuple[Array, Array, Array, Array]:
        """Round with each of [options, rows] scales and offsets; of the best its error, scale, offset, codes."""
        options, rows = scales.shape
        size = len(self._diagonal)
        # Columns come first and all options at once, so that every step is over one long run of numbers.
        aim = np.tile(self._aim.T, options)  # [part, options * rows]
        scale, offset = scales.ravel(), offsets.ravel()
        by = np.where(scale == 0, np.float32(0), np.float32(1) / np.where(scale == 0, np.float32(1), scale))
        errors, codes, left = np.empty_like(aim), np.empty_like(aim), np.empty_like(aim)
        wanted, value = np.empty_like(scale), np.empty_like(scale)
        for column in range(size):
            np.matmul(self._feedback[:column, column], errors[:column], out=wanted)
            wanted += aim[column]
            np.subtract(wanted, offset, out=value) if self._grid.affine else np.copyto(value, wanted)
            value *= by
            codes[column] = self._grid.round(value)
            np.multiply(codes[column], scale, out=value)
            if self._grid.affine:
                value += offset
            np.subtract(aim[column], value, out=errors[column])
            np.subtract(wanted, value, out=left[column])
        left *= self._diagonal[:, None]
        total = np.einsum("kr,kr->r", left, left)
        totals = total.reshape(options, rows)
        best = totals.argmin(axis=0)
        each = np.arange(rows)
        chosen = codes.reshape(size, options, rows)[:, best, each].T
        return totals[best, each], scales[best, each], offsets[best, each], chosen

    def _refitted(self, scale: Array, offset: Array, codes: Array) -> tuple[Array, Array]:
        """The scale and offset of least error for these codes, rounded to what can be stored: [options, rows] each."""
        y, q = self._aim @ self._square, codes @ self._square
        qq, qy = np.einsum("rk,rk->r", q, q), np.einsum("rk,rk->r", q, y)
        if not self._grid.affine:
            fitted = np.where(qq > 0, qy / np.where(qq > 0, qq, np.float32(1)), scale)
            stored = self._grid.nearest(self._shared, fitted, offset)
            return stored[0][None], stored[1][None]
        ones = self._square.sum(axis=0)
        oo, qo, oy = ones @ ones, q @ ones, y @ ones
        determinant = qq * oo - qo * qo
        solvable = determinant > np.float32(1e-6) * qq * oo
        by = np.where(solvable, np.float32(1) / np.where(solvable, determinant, np.float32(1)), np.float32(0))
        both = self._grid.nearest(
            self._shared,
            np.where(solvable, (qy * oo - qo * oy) * by, scale),
            np.where(solvable, (qq * oy - qo * qy) * by, offset),
        )
        again = self._grid.nearest(self._shared, both[0], (oy - qo * both[0]) / oo)  # the offset for the rounded scale
        return np.stack([both[0], again[0]]), np.stack([both[1], again[1]])


def _pack(grid: Grid, shared: Array, scales: Array, offsets: Array, codes: Array) -> Bytes:
    """Bytes of rows: shared [rows, blocks, n], scales and offsets [rows, parts], codes [rows, width]."""
    rows, blocks = shared.shape[:2]
    packed = grid.pack(
        shared.reshape(rows * blocks, -1),
        scales.reshape(rows * blocks, -1),
        offsets.reshape(rows * blocks, -1),
        codes.reshape(rows * blocks, -1),
    )
    return packed.reshape(rows, -1)
