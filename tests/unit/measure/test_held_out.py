from __future__ import annotations

import hashlib
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from edge_phi.errors import InvalidCall
from edge_phi.measure import held_out
from edge_phi.measure.held_out import DOCSTRINGS, MODULES, held_out_windows
from edge_phi.tokenizer import Tokenizer, load_tokenizer

# Folders of the standard library that were never collected, as the recipe of phi-1-nano v0 had it.
NEVER = {"encodings", "pydoc_data", "site-packages", "test", "tests", "idle_test", "lib2to3", "turtledemo"}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    from edge_phi.store import bundled_folder

    return load_tokenizer(bundled_folder() / "phi-1-nano")


def test_the_modules_are_those_that_phi_1_nano_was_validated_on(tokenizer: Tokenizer) -> None:
    library = Path(sysconfig.get_path("stdlib"))
    names = [path.relative_to(library) for path in library.rglob("*.py")]
    chosen = {
        name.as_posix()
        for name in names
        if NEVER.isdisjoint(name.parts)
        and hashlib.sha256(f"standard_library/{name.as_posix()}".encode()).digest()[0] < 3
    }
    assert chosen >= set(MODULES)
    if library.parts[-1] == "python3.11":  # as it was trained
        assert chosen == set(MODULES)
        texts = [(library / name).read_text() for name in MODULES]
        counted = sum(len(tokenizer.encode(text)) + 1 for text in texts)
        assert abs(counted - 28_184) < 300  # lineage.json of the model; a later 3.11 may differ in a line


def test_docstrings_are_there() -> None:
    missing = [name for name in DOCSTRINGS if not held_out._docstring(name)]
    assert len(missing) <= len(DOCSTRINGS) // 4, missing  # numpy changes, but not so much


def test_code_and_prose_come_in_turn_and_do_not_overlap(tokenizer: Tokenizer) -> None:
    windows = held_out_windows(tokenizer, 128, 10)
    assert windows.shape == (10, 128) and windows.dtype == np.int32
    assert len({row.tobytes() for row in windows}) == 10
    texts = [tokenizer.decode(row) for row in windows.tolist()]
    code = "\n".join((Path(sysconfig.get_path("stdlib")) / name).read_text() for name in MODULES)
    middles = [text[len(text) // 3 : len(text) // 2] for text in texts]
    assert [middle in code for middle in middles] == [True, False] * 5
    assert (held_out_windows(tokenizer, 128, 10) == windows).all()


def test_more_than_there_is_gives_all_there_is(tokenizer: Tokenizer) -> None:
    everything = held_out_windows(tokenizer, 256, 10_000)
    assert 100 < len(everything) < 10_000
    assert len({row.tobytes() for row in everything}) == len(everything)
    # One less than all: of either kind as many as there are, save one.
    assert len(held_out_windows(tokenizer, 256, len(everything) - 1)) == len(everything) - 1


def test_a_file_of_ones_own(tokenizer: Tokenizer, tmp_path: Path) -> None:
    text = tmp_path / "own.txt"
    text.write_text("".join(f"The number {number} is no letter.\n" for number in range(100)))
    windows = held_out_windows(tokenizer, 32, 3, text=text)
    assert len(windows) == 3 and tokenizer.decode(windows[0].tolist()).startswith("The number 0 is no letter.")


@pytest.mark.parametrize(("content", "words"), [(b"", "too short"), (b"\xff\xfe", "not UTF-8"), (None, "No such file")])
def test_a_file_of_no_use_is_one_line(tokenizer: Tokenizer, tmp_path: Path, content: bytes | None, words: str) -> None:
    text = tmp_path / "own.txt"
    if content is not None:
        text.write_bytes(content)
    with pytest.raises(InvalidCall, match=words) as raised:
        held_out_windows(tokenizer, 32, 3, text=text)
    assert "\n" not in str(raised.value) and "own.txt" in str(raised.value)
