"""Files and folders are whole or absent."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from edge_phi.atomic import atomic_file, atomic_folder, write_bytes
from edge_phi.errors import EdgePhiError


def test_an_interrupted_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")
    with pytest.raises(KeyboardInterrupt), atomic_file(path) as file:
        file.write(b"new, but not all of")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_mode_and_links_are_kept(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    target.chmod(0o750)
    link.symlink_to(target)
    write_bytes(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o750


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with atomic_folder(folder) as partial:
        (partial / "a").write_text("1")
        (partial / "private").touch(mode=0o600)
    with atomic_folder(folder) as partial:
        (partial / "b").write_text("2")
    assert [file.name for file in folder.iterdir()] == ["b"]
    with pytest.raises(KeyboardInterrupt), atomic_folder(folder) as partial:
        (partial / "c").write_text("3")
        raise KeyboardInterrupt
    assert [file.name for file in folder.iterdir()] == ["b"]
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no mode bits")
def test_a_folder_is_readable_by_whom_the_umask_allows(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        with atomic_folder(tmp_path / "folder") as partial:
            (partial / "private").touch(mode=0o600)
    finally:
        os.umask(old)
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "folder" / "private").stat().st_mode & 0o777 == 0o644


def test_where_nothing_can_be_written_the_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(EdgePhiError, match="nowhere/file: cannot be written"):
        write_bytes(tmp_path / "nowhere" / "file", b"")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EdgePhiError, match="cannot be written"), atomic_folder(tmp_path / "file" / "folder"):
        pass
