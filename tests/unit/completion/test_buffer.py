from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_phi.completion.buffer import MAX_FILE_BYTES, Buffer, decode_buffer, parse_cursor, read_buffer, write_buffer
from edge_phi.errors import EdgePhiError, InvalidCall

TEXTS = st.lists(st.sampled_from(["\n", "\r", "\r\n", "x = 1", "é", "\ufeff", "\x0c", "\x85", "\u2028"])).map("".join)


@given(text=TEXTS | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
@example(text="a\r\nb\n")
@example(text="\r\n\r")
def test_what_is_read_is_written(text: str) -> None:
    data = text.encode()
    buffer = decode_buffer(data, "x")
    assert buffer.to_bytes() == data
    assert buffer.bom == data.startswith(b"\xef\xbb\xbf")


@given(data=st.binary(max_size=80))
def test_any_bytes_are_read_whole_or_refused_on_one_line(data: bytes) -> None:
    try:
        buffer = decode_buffer(data, "x")
    except InvalidCall as error:
        assert "\n" not in str(error)
    else:
        assert buffer.to_bytes() == data


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a\nb", Buffer("a\nb")),
        (b"a\r\nb\r\n", Buffer("a\nb\n", "\r\n")),
        (b"a\rb", Buffer("a\nb", "\r")),
        (b"a\r\nb\nc\r", Buffer("a\r\nb\nc\r")),  # mixed: nothing is changed
        (b"\xef\xbb\xbfa", Buffer("a", bom=True)),
        (b"", Buffer("")),
        (b"# coding: latin-1\r\n# caf\xe9\r\n", Buffer("# coding: latin-1\n# café\n", "\r\n", encoding="iso-8859-1")),
        (
            b"#!/bin/python\n# -*- coding: cp1251 -*-\n\xcf",
            Buffer("#!/bin/python\n# -*- coding: cp1251 -*-\nП", encoding="cp1251"),
        ),
        (b"# coding: no-such\n", Buffer("# coding: no-such\n")),
        (b"# coding: hex\n", Buffer("# coding: hex\n")),  # of bytes to bytes
    ],
)
def test_newlines_and_mark(data: bytes, expected: Buffer) -> None:
    assert decode_buffer(data, "x") == expected


@given(text=TEXTS, where=st.floats(0, 1))
def test_cursor_and_offset_are_one_another(text: str, where: float) -> None:
    buffer = decode_buffer(text.encode(), "x")
    offset = round(where * len(buffer.text))
    before = buffer.text[:offset]
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    assert buffer.offset(line, column) == offset
    assert parse_cursor(f"{line}:{column}") == (line, column)


@pytest.mark.parametrize(
    ("cursor", "message"),
    [
        ((3, 1), "line 3 is outside the text: it has lines 1 to 2"),
        ((0, 1), "line 0"),
        ((1, 4), "column 4 is outside line 1: it has columns 1 to 3"),
        ((1, 0), "column 0"),
    ],
)
def test_cursor_beyond_the_end(cursor: tuple[int, int], message: str) -> None:
    with pytest.raises(InvalidCall, match=message):
        Buffer("é😀\nb").offset(*cursor)


@pytest.mark.parametrize(
    "cursor", ["", "3", "3:", ":3", "a:b", "-1:2", "1:2:3", " 1:2", "1.0:2", "٣:٣", "9" * 5000 + ":1"]
)
def test_cursor_written_wrongly(cursor: str) -> None:
    with pytest.raises(InvalidCall, match="LINE:COL"):
        parse_cursor(cursor)


def test_read_and_write_keep_the_file(tmp_path: Path) -> None:
    path = tmp_path / "dos.py"
    path.write_bytes(b"\xef\xbb\xbfx = 1\r\n")
    buffer = read_buffer(path)
    write_buffer(path, Buffer(buffer.text + "y = 2\n", buffer.newline, buffer.bom))
    assert path.read_bytes() == b"\xef\xbb\xbfx = 1\r\ny = 2\r\n"


def test_a_text_that_cannot_be_written_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_bytes(b"x = 1\n")
    with pytest.raises(EdgePhiError, match="surrogate"):
        write_buffer(path, Buffer("x = '\ud800'"))
    assert path.read_bytes() == b"x = 1\n"


def test_an_encoding_that_would_write_other_bytes_is_refused() -> None:
    with pytest.raises(InvalidCall, match="utf-7 would not be written back"):
        decode_buffer(b"# coding: utf-7\n+AGE-\n", "x.py")
    with pytest.raises(InvalidCall, match=r"is not cp1252 \(byte 0x81"):
        decode_buffer(b"# coding: cp1252\n\x81\n", "x.py")


def test_a_character_that_the_encoding_has_not_is_told_with_its_line() -> None:
    with pytest.raises(EdgePhiError, match=r"line 2: iso-8859-1 has no character U\+20AC"):
        Buffer("# coding: latin-1\n# 5 €", "\r\n", encoding="iso-8859-1").to_bytes()


def test_files_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"ab\0c")
    (tmp_path / "latin").write_bytes(b"caf\xe9 ")
    (tmp_path / "large").write_bytes(b"x" * 20_000_000)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, message in {
        "missing": "no such file",
        "": "is a folder",
        "binary": "byte 0 at offset 2",
        "latin": "byte 0xe9 at offset 3",
        "large": "is 20.0 MB, the limit is 10 MB",
        "loop": "cannot be read",
        "binary/x": "cannot be read",
        "n" * 300: "cannot be read",
        "a\0b": "cannot be read",
    }.items():
        with pytest.raises(InvalidCall, match=message) as refused:
            read_buffer(tmp_path / name)
        assert str(tmp_path) in str(refused.value)


def test_the_largest_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * MAX_FILE_BYTES)
    assert len(read_buffer(path).text) == MAX_FILE_BYTES


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    answers: list[str] = []

    def read() -> None:
        try:
            read_buffer(path)
        except InvalidCall as error:
            answers.append(str(error))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(30)
    assert answers and "pipe or a device" in answers[0]
    with pytest.raises(InvalidCall, match="pipe or a device"):
        read_buffer("/dev/zero")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.py"
    path.write_text("x")
    path.chmod(0)
    with pytest.raises(InvalidCall, match="cannot be read"):
        read_buffer(path)
