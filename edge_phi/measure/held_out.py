"""Text to measure a model on: what phi-1-nano was not trained on and every machine has, or a file of one's own."""

from __future__ import annotations

import importlib
import inspect
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidCall
from ..tokenizer import Tokenizer

_LARGEST_BYTES = 32 << 20  # of a text, which is read whole

Windows = npt.NDArray[np.int32]  # [windows, tokens]

# Code: the modules of the standard library whose hash held them out of phi-1-nano's training (all that it was validated
# on; the rule is in train/data/pack.py, and a test says that it chooses these).
MODULES = ("ast.py", "asyncio/base_subprocess.py", "posixpath.py", "selectors.py")

# Prose: documentation in a library that edge-phi never trains on and cannot run without.
DOCSTRINGS = (
    "numpy.fft", "numpy.random", "numpy.polynomial", "numpy.linalg", "numpy.ma", "numpy.char", "numpy.broadcast_to",
    "numpy.einsum", "numpy.histogram", "numpy.quantile", "numpy.gradient", "numpy.interp", "numpy.pad", "numpy.unwrap",
    "numpy.linalg.svd", "numpy.linalg.lstsq", "numpy.linalg.norm", "numpy.linalg.eig", "numpy.random.Generator.choice",
    "numpy.random.Generator.normal", "numpy.random.SeedSequence", "numpy.polynomial.Polynomial.fit", "numpy.convolve",
    "numpy.corrcoef", "numpy.cov", "numpy.loadtxt", "numpy.genfromtxt", "numpy.meshgrid", "numpy.piecewise",
    "numpy.searchsorted", "numpy.unique", "numpy.lexsort", "numpy.sort", "numpy.partition", "numpy.where", "numpy.take",
)  # fmt: skip


def held_out_windows(tokenizer: Tokenizer, length: int, count: int, *, text: Path | None = None) -> Windows:
    """Windows of `length` tokens that do not overlap, spread evenly over the text: int32 [at most `count`, length].

    Half are code and half are prose, in turn, as far as there is enough of either. The texts are those of the Python
    and the numpy installed here, so that other versions give slightly other windows.

    Args:
        tokenizer: of the model that is measured.
        length: tokens in a window.
        count: windows wanted; fewer come where the text is too short.
        text: a file of UTF-8 text to take instead.

    Raises:
        InvalidCall: `text` cannot be read, or is too short for one window; fewer than 2 tokens or 1 window are wanted.
    """
    if length < 2 or count < 1:
        raise InvalidCall(f"{count} windows of {length} tokens: give 1 or more of at least 2")
    kinds = [[_read(text)]] if text else [_modules(), _docstrings()]
    cut = [windows for texts in kinds if len(windows := _cut(tokenizer, texts, length))]
    if not cut:
        raise InvalidCall(f"{text or 'the standard library here'}: too short for one window of {length} tokens")
    if len(cut) == 1:
        return _spread(cut[0], count)
    code, prose = cut
    of_prose = min(len(prose), count // 2)
    of_code = min(len(code), count - of_prose)
    return _in_turn(_spread(code, of_code), _spread(prose, count - of_code))


def _cut(tokenizer: Tokenizer, texts: Sequence[str], length: int) -> Windows:
    """All whole windows of the texts joined by the end of text, as in training."""
    tokens: list[int] = []
    for text in texts:
        tokens += [*tokenizer.encode(text), tokenizer.end_of_text]
    whole = len(tokens) // length * length
    return np.array(tokens[:whole], np.int32).reshape(-1, length)


def _spread(windows: Windows, count: int) -> Windows:
    chosen: Windows = windows[np.linspace(0, len(windows) - 1, min(count, len(windows))).round().astype(int)]
    return chosen


def _in_turn(first: Windows, second: Windows) -> Windows:
    """One of each in turn; what one has more comes at the end."""
    both = min(len(first), len(second))
    pairs = np.stack([first[:both], second[:both]], axis=1).reshape(-1, first.shape[1])
    return np.concatenate([pairs, first[both:], second[both:]])


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise InvalidCall(f"{path}: more than {_LARGEST_BYTES >> 20} MiB of text: give a part of it")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidCall(f"{path}: not UTF-8 text (byte {error.start}): give a file of text or code") from error
    except OSError as error:
        raise InvalidCall(f"{path}: cannot be read ({error.strerror}): give a file of text or code") from error


def _modules() -> list[str]:
    folder = Path(sysconfig.get_path("stdlib"))
    found = [folder / name for name in MODULES if (folder / name).is_file()]  # some systems ship bytecode only
    return [_read(path) for path in found]


def _docstrings() -> list[str]:
    return [text for name in DOCSTRINGS if (text := _docstring(name))]


def _docstring(name: str) -> str | None:
    """The docstring of a dotted name, None where this version of numpy has no such name or Python keeps none."""
    parts = name.split(".")
    found: Any = importlib.import_module(parts[0])
    for part in parts[1:]:
        found = getattr(found, part, None)  # numpy loads its submodules when asked for
    text = getattr(found, "__doc__", None) if found is not None else None
    return inspect.cleandoc(text) if text else None
