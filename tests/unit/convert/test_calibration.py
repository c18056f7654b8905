"""What text becomes on its way to calibration, and which text is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from edge_phi.checkpoint import open_checkpoint
from edge_phi.convert import calibration
from edge_phi.convert.calibration import load_calibration
from edge_phi.errors import InvalidCall, InvalidFile
from edge_phi.tokenizer import load_tokenizer


def test_texts_are_joined_by_the_end_of_text_and_cut_to_one_length(tiny_checkpoint: Path, tmp_path: Path):
    text = tmp_path / "own.txt"
    parts = [f"def f{number}():\n    return {number}\n" * 40 for number in range(5)]
    text.write_text("<|endoftext|>\n".join(parts))
    checkpoint = open_checkpoint(tiny_checkpoint)
    tokenizer = load_tokenizer(tiny_checkpoint)
    stream = [token for part in parts for token in (*tokenizer.encode(part), tokenizer.end_of_text)]
    whole = load_calibration(checkpoint, text)
    assert whole.tokens.shape == (len(stream) // 512, 512) and whole.tokens.dtype == np.int32
    assert whole.tokens.ravel().tolist() == stream[: whole.tokens.size]
    assert (whole.name, whole.sha256) == ("own.txt", hashlib.sha256(text.read_bytes()).hexdigest())
    some = load_calibration(checkpoint, text, limit=1100)
    assert some.tokens.tolist() == whole.tokens[[0, len(whole.tokens) // 2]].tolist()


def test_the_built_in_text_is_what_it_was(tiny_checkpoint: Path):
    """Artifacts name its hash, and no other text derives them again."""
    found = load_calibration(open_checkpoint(tiny_checkpoint), limit=2048)
    assert found.tokens.shape == (4, 512)
    assert found.name == "built-in"
    assert found.sha256 == "5d0257ba3365f26237690683a00d8c1d1587d4ac9515ba0f5d728c1ae8fe4739"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b" \n\n<|endoftext|>\n \n", "empty"),
        (b"x = 1\n", "6 tokens, calibration needs 512 or more"),
        (b"\xff\xfe\x00", "not text in UTF-8 (byte 0)"),
    ],
)
def test_text_that_does_not_do_is_refused_by_name(tiny_checkpoint: Path, tmp_path: Path, content: bytes, said: str):
    text = tmp_path / "bad.txt"
    text.write_bytes(content)
    with pytest.raises(InvalidFile) as caught:
        load_calibration(open_checkpoint(tiny_checkpoint), text)
    assert str(caught.value).startswith(f"{text}: ") and said in str(caught.value)


def test_a_text_too_large_or_absent_is_refused(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    checkpoint = open_checkpoint(tiny_checkpoint)
    with pytest.raises(InvalidCall, match="No such file"):
        load_calibration(checkpoint, tmp_path / "none.txt")
    large = tmp_path / "large.txt"
    large.write_text("x = 1\n" * 400_000)
    monkeypatch.setattr(calibration, "_MAX_BYTES", 2**20)
    with pytest.raises(InvalidFile, match="larger than 1 MiB"):
        load_calibration(checkpoint, large)
