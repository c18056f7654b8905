"""What the native engine keeps of sequences: shared starts, room, snapshots."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_engine import TOKENS, both_caches

from edge_phi.errors import InvalidFile
from edge_phi.runtimes import native
from edge_phi.runtimes.native import NativeRuntime
from edge_phi.runtimes.native.pages import Pages
from edge_phi.store import Artifact


@both_caches
def test_sequences_share_what_they_have_in_common(
    runtime: NativeRuntime, at_once: npt.NDArray[np.float32], artifact: Artifact, kv: Any
) -> None:
    """Back from elsewhere, nothing that was computed is computed again: not after an edit, nor in another file."""
    edited = [*TOKENS[:100], *TOKENS[150:190]]
    runtime.extend(TOKENS)
    assert (runtime.reuse(edited), runtime.length) == (100, 100)
    there = runtime.extend(edited[100:])
    assert runtime.reuse(TOKENS[10:]) == 0
    runtime.extend(TOKENS[10:60])
    assert runtime.reuse(TOKENS[:199]) == 199
    np.testing.assert_array_equal(runtime.extend(TOKENS[199:])[0], at_once[199])
    assert runtime.reuse(TOKENS[10:]) == 50
    assert runtime.reuse(edited[:-1]) == len(edited) - 1
    np.testing.assert_array_equal(runtime.extend(edited[-1:]), there)
    alone = NativeRuntime(artifact, threads=1, kv=kv)
    np.testing.assert_array_equal(alone.extend(edited), there)
    alone.close()


def test_only_a_page_is_left_out_for_want_of_room(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one page to spare the sequence that is computed takes those of others, the oldest first; a whole fits."""
    monkeypatch.setattr(native, "_SPARE_BYTES", 0)
    runtime = NativeRuntime(artifact, threads=1)
    for first in range(5):
        runtime.rewind(0)
        runtime.extend([first] * 256)
    assert [runtime.reuse([first] * 256) for first in (0, 3, 4)] == [0, 32, 256]
    runtime.close()


@both_caches
def test_a_snapshot_is_as_good_as_reading_again(
    runtime: NativeRuntime, at_once: npt.NDArray[np.float32], artifact: Artifact, kv: Any
) -> None:
    runtime.extend(TOKENS[:75])
    state = runtime.snapshot()
    other = NativeRuntime(artifact, threads=1, kv=kv)
    other.extend(TOKENS[:40])  # a page of it is known, and one holds only some of what is restored
    other.extend([7, 7, 7])
    other.restore(state, 75)
    assert (other.length, other.snapshot()[: 4 * 75]) == (75, state[: 4 * 75])
    np.testing.assert_array_equal(other.extend(TOKENS[75:90], all_logits=True), at_once[75:90])
    assert other.reuse(TOKENS) == 90
    hostile = np.full(75, 100, np.int32).tobytes() + state[4 * 75 :]
    for damaged, length in ((state[:-1], 75), (state, 74), (state, 0), (b"", 75), (hostile, 75), (state, 300)):
        with pytest.raises(InvalidFile):
            other.restore(damaged, length)
        assert other.length == 0
    other.close()


def test_a_snapshot_of_another_cache_is_refused(artifact: Artifact) -> None:
    half, whole = NativeRuntime(artifact, threads=1, kv="int8"), NativeRuntime(artifact, threads=1)
    half.extend(TOKENS[:40])
    whole.extend(TOKENS[:10])
    with pytest.raises(InvalidFile, match="no keys and values of 40 tokens"):
        whole.restore(half.snapshot(), 40)
    assert whole.length == 0
    half.close()
    whole.close()


@settings(max_examples=60)
@given(
    moves=st.lists(
        st.tuples(st.sampled_from(["rewind", "reuse", "extend", "fail"]), st.integers(0, 40), st.integers(0, 3)),
        min_size=1,
        max_size=40,
    )
)
def test_pages_hold_what_a_cache_without_sharing_would(moves: list[tuple[str, int, int]]) -> None:
    """Each page's contents are written down beside it: what the sequence's pages hold is always its own tokens."""
    size, longest = 4, 8
    contents = [[-1] * size for _ in range(longest + 2)]

    def copy(number: int, to: int) -> None:
        contents[to] = list(contents[number])

    pages = Pages(size, longest, 2, copy)
    tokens: list[int] = []
    for move, number, token in moves:
        if move == "rewind":
            del tokens[min(number, len(tokens)) :]
            pages.rewind(len(tokens))
        elif move == "reuse":
            wanted = [*tokens[: number % 20], *[token] * (number % 5)]
            tokens = wanted[: pages.reuse(wanted)]
        else:
            new = [(token + i // 3) % 3 for i in range(number % 9)][: size * longest - len(tokens)]
            pages.reserve(new)
            for i, value in enumerate(new, len(tokens)):
                contents[pages.table[i // size]][i % size] = value
            if move == "extend":
                pages.keep(new)
                tokens += new
            else:
                pages.rewind(len(tokens))
        assert pages.length == len(tokens)
        numbers = pages.table[: -(-len(tokens) // size)].tolist()
        assert len(set(numbers)) == len(numbers)
        assert [value for number in numbers for value in contents[number]][: len(tokens)] == tokens
        if tokens:
            assert pages.reuse(tokens) == len(tokens)
