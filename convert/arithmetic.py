"""Phi's arithmetic in numpy float32: matrix products, what is between them, and weights as the products take them.

Work is cut into pieces of one size, each computed by one thread: more threads change the time it takes, not one bit.
The threads of a BLAS library would cut it by their number, and get in the way of ours.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from edge_phi.checkpoint import Checkpoint, PhiConfig
from edge_phi.cores import usable_cores
from edge_phi.errors import MissingExtra

Array = npt.NDArray[np.float32]

_ROWS = 256  # of a product, computed by one thread
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """Keep the BLAS library to the thread that calls it.

    Raises:
        MissingExtra: threadpoolctl is not installed.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise MissingExtra("calibration needs threadpoolctl: run pip install 'edge-phi[convert]'") from error
    with threadpool_limits(limits=1, user_api="blas"):
        yield


def shared_out(work: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """`work` of all items, in their order, by as many threads as there are cores."""
    with ThreadPoolExecutor(usable_cores()) as pool:
        return list(pool.map(work, items))


def matmul(left: Array, right: Array) -> Array:
    """left @ right, float32 [n, k] and [k, m], some rows to each thread."""
    result = np.empty((len(left), right.shape[1]), np.float32)

    def fill(top: int) -> None:
        np.matmul(left[top : top + _ROWS], right, out=result[top : top + _ROWS])

    shared_out(fill, range(0, len(left), _ROWS))
    return result


def load(checkpoint: Checkpoint, names: tuple[str, ...]) -> Array:
    """Tensors of the checkpoint, one below the other."""
    parts = [checkpoint.tensor(name) for name in names]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def layer_norm(checkpoint: Checkpoint, name: str) -> Callable[[Array], Array]:
    """LayerNorm over float32 [tokens, width]."""
    weight, bias = checkpoint.tensor(f"{name}.weight"), checkpoint.tensor(f"{name}.bias")
    epsilon = np.float32(checkpoint.config.layer_norm_eps)

    def norm(x: Array) -> Array:
        y: Array = x - x.mean(axis=1, keepdims=True)
        variance = np.einsum("tw,tw->t", y, y) / np.float32(y.shape[1])
        y /= np.sqrt(variance + epsilon)[:, None]
        y *= weight
        y += bias
        return y

    return norm


def gelu(x: Array) -> Array:
    """gelu_new, the tanh form (Hendrycks and Gimpel 2016, arXiv 1606.08415, section 2)."""
    inner = x * x
    inner *= np.float32(0.044715)
    inner += 1
    inner *= x
    inner *= np.float32(np.sqrt(2 / np.pi))
    np.tanh(inner, out=inner)
    inner += 1
    inner *= x
    inner *= np.float32(0.5)
    return inner


def attention(qkv: Array, length: int, heads: int, rotation: tuple[Array, Array]) -> Array:
    """Causal attention of one sequence: float32 [length, 3 * width] to [length, width]."""
    q, k, v = qkv.reshape(length, 3, heads, -1).transpose(1, 2, 0, 3)  # each [heads, length, head_dim]
    q, k = _rotate(q, rotation), _rotate(k, rotation)
    scores = q @ k.transpose(0, 2, 1)
    scores *= np.float32(1 / np.sqrt(q.shape[2]))
    scores += np.triu(np.full((length, length), -np.inf, np.float32), 1)
    scores -= scores.max(axis=2, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=2, keepdims=True)
    attended: Array = (scores @ v).transpose(1, 0, 2).reshape(length, -1)
    return attended


def rotary_angles(config: PhiConfig, length: int) -> tuple[Array, Array]:
    """For `attention`: cosines and sines, float32 [length, rotary_dim / 2] (Su et al. 2021, arXiv 2104.09864)."""
    exponents = np.arange(0, config.rotary_dim, 2, dtype=np.float32) / np.float32(config.rotary_dim)
    frequencies = np.float32(1) / np.float32(config.rope_theta) ** exponents
    angles = np.arange(length, dtype=np.float32)[:, None] * frequencies
    return np.cos(angles), np.sin(angles)


def _rotate(heads: Array, rotation: tuple[Array, Array]) -> Array:
    """Rotate the first dimensions of [heads, length, head_dim] by position; the rest passes."""
    cos, sin = rotation
    half = cos.shape[1]
    first, second = heads[..., :half], heads[..., half : 2 * half]
    turned = (first * cos - second * sin, second * cos + first * sin, heads[..., 2 * half :])
    return np.concatenate(turned, axis=-1)
