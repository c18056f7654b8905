"""The text a model is calibrated on: token sequences, and what identifies them for an artifact's lineage.

`calibration.txt` is this project's own: exercises drawn from the training data's grammar with a seed of their own, and
modules and pages of this project, in turns. It stays as it is, for the bytes of artifacts depend on it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_phi.checkpoint import Checkpoint, PhiConfig
from edge_phi.errors import InvalidCall, InvalidFile
from edge_phi.tokenizer import load_tokenizer

BUILT_IN = "built-in"
SEPARATOR = "<|endoftext|>"  # alone on a line: between two texts of a file
LENGTH = 512  # tokens of a sequence

_FILE = Path(__file__).with_name("calibration.txt")
_SEPARATOR_LINE = re.compile(rf"^{re.escape(SEPARATOR)}(?:\r?\n|\Z)", re.MULTILINE)
_MAX_BYTES = 64 * 2**20
# What the widest product of a layer keeps of its inputs, in float32 numbers: 256 MiB, 8,192 tokens for phi-1.
_WIDEST = 2**26
_MOST = 2**14  # tokens: four times 8,192 took no more than a twentieth off phi-1-nano's divergence


@dataclass(frozen=True)
class Calibration:
    """Token sequences, int32 [sequences, length], and the text they are from: its name and the sha256 of its bytes."""

    tokens: npt.NDArray[np.int32]
    name: str
    sha256: str


def load_calibration(checkpoint: Checkpoint, text: Path | None = None, *, limit: int | None = None) -> Calibration:
    """Tokens of a text by the checkpoint's own tokenizer, texts joined by its end-of-text token, cut to one length.

    Where the text has more than `limit` tokens, sequences are taken from all over it.

    Args:
        checkpoint: its folder holds tokenizer.json.
        text: a file in UTF-8, in which a line with nothing but `<|endoftext|>` parts texts; None is the built-in one.
        limit: at most so many tokens, but at least one sequence; what suits the model's size if None.

    Raises:
        InvalidCall: there is no such file.
        InvalidFile: the file is empty, shorter than one sequence, too large or no text; or the tokenizer does not fit.
    """
    path = text or _FILE
    raw = _read(path)
    try:
        texts = _SEPARATOR_LINE.split(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidFile(f"{path}: not text in UTF-8 (byte {error.start}): give a file of text") from error
    tokenizer = load_tokenizer(checkpoint.folder)
    ids: list[int] = []
    for part in texts:
        if part.strip():
            ids += [*tokenizer.encode(part), tokenizer.end_of_text]
    if not ids:
        raise InvalidFile(f"{path}: empty: give text like what the model will be used for")
    if max(ids) >= checkpoint.config.vocab_size:
        raise InvalidFile(
            f"{checkpoint.folder}: the tokenizer gives token {max(ids)}, the model knows "
            f"{checkpoint.config.vocab_size}: they do not belong together"
        )
    tokens = _sequences(ids, checkpoint.config, limit)
    if not len(tokens):
        raise InvalidFile(f"{path}: {len(ids)} tokens, calibration needs {tokens.shape[1]} or more: give more text")
    return Calibration(tokens, BUILT_IN if text is None else path.name, hashlib.sha256(raw).hexdigest())


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InvalidFile(f"{path}: larger than {_MAX_BYTES >> 20} MiB: give a sample of it")
        return path.read_bytes()
    except OSError as error:
        raise InvalidCall(f"{path}: {error.strerror}: give a file of text to calibrate on") from error


def _sequences(ids: list[int], config: PhiConfig, limit: int | None) -> npt.NDArray[np.int32]:
    length = min(LENGTH, config.max_position_embeddings)
    if limit is None:
        limit = min(_MOST, _WIDEST // max(config.hidden_size, config.intermediate_size))
    there = len(ids) // length
    count = min(there, max(1, limit // length))
    rows = np.array(ids[: there * length], np.int32).reshape(there, length)
    return rows[np.arange(count) * there // max(count, 1)]
