from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_phi.errors import InvalidCall, InvalidFile
from edge_phi.gguf_header import TENSOR_TYPES, GgufTensor, read_gguf_header


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def entry(key: str, kind: int, raw: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + raw


def tensor(name: str, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def gguf(entries: list[bytes], tensors: list[bytes], data: int = 0, version: int = 3) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(entries)) + b"".join(entries + tensors)
    return head + b"\0" * (-len(head) % 32) + b"\0" * data


SMALL = gguf(
    [
        entry("general.architecture", 8, text("phi2")),
        entry("a.number", 4, struct.pack("<I", 7)),
        entry("a.real", 6, struct.pack("<f", 0.5)),
        entry("a.truth", 7, b"\1"),
        entry("words", 9, struct.pack("<IQ", 8, 2) + text("Ġa") + text("b")),
        entry("kinds", 9, struct.pack("<IQ", 5, 2) + struct.pack("<2i", 1, -3)),
    ],
    [tensor("small", (8,), 0, 0), tensor("packed", (256, 2), 12, 32)],
    data=32 + 2 * 144,
)


def read(folder: Path, data: bytes) -> object:
    path = folder / "file.gguf"
    path.write_bytes(data)
    return read_gguf_header(path)


def test_reads_values_and_places_tensors(tmp_path: Path) -> None:
    path = tmp_path / "small.gguf"
    path.write_bytes(SMALL)
    header = read_gguf_header(path)
    assert header.architecture == "phi2"
    assert header.version == 3
    assert header.file_bytes == len(SMALL)
    assert dict(header.metadata) == {
        "general.architecture": "phi2",
        "a.number": 7,
        "a.real": 0.5,
        "a.truth": True,
        "words": ("Ġa", "b"),
        "kinds": (1, -3),
    }
    start = len(SMALL) - 32 - 2 * 144
    assert dict(header.tensors) == {
        "small": GgufTensor("F32", (8,), start, 32),
        "packed": GgufTensor("Q4_K", (2, 256), start + 32, 288),
    }


def test_block_sizes_are_those_of_the_gguf_package() -> None:
    constants = pytest.importorskip("gguf.constants", reason="the gguf package is not installed")
    for number, (name, weights, nbytes) in TENSOR_TYPES.items():
        kind = constants.GGMLQuantizationType(number)
        assert (kind.name, constants.GGML_QUANT_SIZES[kind]) == (name, (weights, nbytes))


def test_agrees_with_the_gguf_package_on_a_file_it_wrote(tmp_path: Path) -> None:
    package = pytest.importorskip("gguf", reason="the gguf package is not installed")
    path = tmp_path / "theirs.gguf"
    writer = package.GGUFWriter(path, "phi2")
    writer.add_custom_alignment(64)
    writer.add_token_list(["a", "ü", "Ġ"])
    writer.add_tensor("x", np.arange(6, dtype=np.float32).reshape(2, 3))
    writer.add_tensor("y", np.ones((4, 5), dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header = read_gguf_header(path)
    assert header.metadata["tokenizer.ggml.tokens"] == ("a", "ü", "Ġ")
    theirs = {tensor.name: tensor for tensor in package.GGUFReader(path).tensors}
    for name, ours in header.tensors.items():
        assert (ours.offset, ours.nbytes) == (theirs[name].data_offset, theirs[name].n_bytes)
        assert ours.shape == theirs[name].data.shape


@pytest.mark.parametrize("length", range(0, len(SMALL), 7))
def test_refuses_every_truncation(tmp_path: Path, length: int) -> None:
    with pytest.raises(InvalidFile) as caught:
        read(tmp_path, SMALL[:length])
    assert "\n" not in str(caught.value)


HOSTILE = {
    "not GGUF": b"GGML" + SMALL[4:],
    "version 1": gguf([], [], version=1) + b"\0" * 64,
    "big-endian": gguf([], [], version=3 << 24) + b"\0" * 64,
    "huge tensor count": b"GGUF" + struct.pack("<IQQ", 3, 2**62, 0) + b"\0" * 64,
    "huge entry count": b"GGUF" + struct.pack("<IQQ", 3, 0, 2**63) + b"\0" * 64,
    "string of 2^64-1 bytes": gguf([entry("a", 8, struct.pack("<Q", 2**64 - 1))], []) + b"\0" * 64,
    "array of 2^61 numbers": gguf([entry("a", 9, struct.pack("<IQ", 10, 2**61))], []) + b"\0" * 64,
    "array of 2^60 strings": gguf([entry("a", 9, struct.pack("<IQ", 8, 2**60))], []) + b"\0" * 64,
    "array in an array": gguf([entry("a", 9, struct.pack("<IQ", 9, 1))], []) + b"\0" * 64,
    "unknown value type": gguf([entry("a", 13, b"\0" * 8)], []) + b"\0" * 64,
    "truth value 2": gguf([entry("a", 7, b"\2")], []),
    "key twice": gguf([entry("a", 7, b"\1"), entry("a", 7, b"\1")], []),
    "text not UTF-8": gguf([entry("a", 8, text(b"\xff\xfe"))], []),
    "alignment 0": gguf([entry("general.alignment", 4, struct.pack("<I", 0))], []),
    "alignment 48": gguf([entry("general.alignment", 4, struct.pack("<I", 48))], []),
    "alignment as text": gguf([entry("general.alignment", 8, text("32"))], []),
    "alignment past the end": gguf(
        [entry("general.alignment", 4, struct.pack("<I", 2**31))], [tensor("a", (8,), 0, 0)], 64
    ),
    "tensor twice": gguf([], [tensor("a", (8,), 0, 0), tensor("a", (8,), 0, 32)], 64),
    "tensor name too long": gguf([], [tensor("a" * 64, (8,), 0, 0)], 64),
    "no dimensions": gguf([], [tensor("a", (), 0, 0)], 64) + b"\0" * 64,
    "five dimensions": gguf([], [tensor("a", (1, 1, 1, 1, 1), 0, 0)], 64),
    "empty dimension": gguf([], [tensor("a", (8, 0), 0, 0)], 64),
    "size overflows 64 bits": gguf([], [tensor("a", (2**32, 2**32, 2), 0, 0)], 64),
    "offset overflows 64 bits": gguf([], [tensor("a", (8,), 0, 2**64 - 32)], 64),
    "not whole blocks": gguf([], [tensor("a", (40,), 2, 0)], 64),
    "unknown tensor type": gguf([], [tensor("a", (32,), 4, 0)], 64),
    "not aligned": gguf([], [tensor("a", (8,), 0, 8)], 64),
    "overlap": gguf([], [tensor("a", (16,), 0, 0), tensor("b", (8,), 0, 32)], 64),
    "one byte short": gguf([], [tensor("a", (256, 2), 12, 0)], 287),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_refuses_hostile_headers(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InvalidFile):
        read(tmp_path, data)


def test_a_missing_file_and_a_folder_are_wrong_calls(tmp_path: Path) -> None:
    for path in (tmp_path / "none.gguf", tmp_path):
        with pytest.raises(InvalidCall, match="GGUF file"):
            read_gguf_header(path)


@settings(max_examples=400, deadline=None)
@given(
    flips=st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), max_size=6),
    length=st.integers(0, len(SMALL)),
)
def test_damage_raises_nothing_but_invalid_file(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]], length: int
) -> None:
    data = bytearray(SMALL)
    for at, value in flips:
        data[at] = value
    folder = tmp_path_factory.getbasetemp() / "damage"
    folder.mkdir(exist_ok=True)
    try:
        header = read(folder, bytes(data[:length]))
    except InvalidFile as error:
        assert "\n" not in str(error)
    else:
        assert all(t.offset + t.nbytes <= length for t in header.tensors.values())  # type: ignore[attr-defined]
