from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_phi.errors import EdgePhiError, InvalidCall
from edge_phi.tui.document import Document, open_document

pieces = st.sampled_from(["a", "é", "\r\n", "\n", "\r", "\x1b[2J", "\x0c", "\x85", "\u2028", "\ufeff", "\ue000", "\t"])


@given(st.lists(pieces).map("".join))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_saving_what_was_read_changes_no_byte(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file.py"
    path.write_bytes(text.encode())
    document = open_document(path)
    document.save(document.text.split("\n"), path)
    assert path.read_bytes() == text.encode()


def test_newlines_bom_and_mode_bits_stay(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\r\n")
    path.chmod(0o750)
    document = open_document(path)
    assert document.text == "a\nb\n"
    document.save(["a", "c", "d", ""], path)
    assert path.read_bytes() == b"\xef\xbb\xbfa\r\nc\r\nd\r\n"
    assert path.stat().st_mode & 0o7777 == 0o750


def test_a_missing_file_is_made_when_it_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "new.py"
    document = open_document(path)
    assert document.text == "" and not path.exists() and not document.changed_on_disk()
    document.save(["x = 1", ""], path)
    assert path.read_bytes() == b"x = 1\n"


def test_a_file_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidCall, match="folder does not exist"):
        open_document(tmp_path / "no" / "new.py")


def test_it_knows_when_somebody_else_wrote_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file.py"
    path.write_text("a")
    document = open_document(path)
    assert not document.changed_on_disk()
    path.write_text("other")
    assert document.changed_on_disk() == "changed"
    document.save(["mine"], path)
    assert not document.changed_on_disk()
    path.unlink()
    assert document.changed_on_disk() == "deleted"


def test_the_declared_encoding_stays_until_the_declaration_changes(tmp_path: Path) -> None:
    path = tmp_path / "old.py"
    path.write_bytes(b"# coding: latin-1\nname = 'caf\xe9'\n")
    document = open_document(path)
    assert document.text == "# coding: latin-1\nname = 'café'\n"
    document.save(["# coding: latin-1", "name = 'thé'", ""], path)
    assert path.read_bytes() == b"# coding: latin-1\nname = 'th\xe9'\n"
    with pytest.raises(EdgePhiError, match=r"line 2: iso-8859-1 has no character U\+20AC"):
        document.save(["# coding: latin-1", "price = '5 €'", ""], path)
    assert path.read_bytes() == b"# coding: latin-1\nname = 'th\xe9'\n"
    document.save(["# coding: utf-8", "price = '5 €'", ""], path)
    assert path.read_text("utf-8") == "# coding: utf-8\nprice = '5 €'\n"


def test_a_read_only_file_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file.py"
    path.write_text("old")
    path.chmod(0o444)
    with pytest.raises(EdgePhiError, match="is read-only"):
        open_document(path).save(["new"], path)
    assert path.read_text() == "old"


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    real, link = tmp_path / "real.py", tmp_path / "link.py"
    real.write_text("old")
    link.symlink_to(real)
    document = open_document(link)
    document.save(["new"], link)
    assert link.is_symlink() and real.read_text() == "new" and not document.changed_on_disk()


def test_a_full_disk_leaves_the_file(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="this system has no limit on the size of files")
    path = tmp_path / "file.py"
    path.write_text("old")
    document = open_document(path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(EdgePhiError, match="cannot be written") as error:
            document.save(["x" * 5000], path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(error.value)
    assert path.read_text() == "old" and [entry.name for entry in tmp_path.iterdir()] == ["file.py"]


def test_a_failed_save_leaves_the_file_and_the_document(tmp_path: Path) -> None:
    path = tmp_path / "file.py"
    path.write_text("old")
    document = open_document(path)
    with pytest.raises(EdgePhiError, match="cannot be written"):
        document.save(["new"], tmp_path / "gone" / "file.py")
    assert document.path == path and path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.py"]


def test_names_are_fit_for_a_title() -> None:
    assert Document(Path("/a/evil\x1b]0;\x07\nname.py")).name == "evil␛]0;␇ name.py"
