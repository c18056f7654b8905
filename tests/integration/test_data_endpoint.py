"""Labels, textbooks and exercises from a real model behind a real server, which is killed on the way."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from edge_phi.evaluate.sandbox import probe
from edge_phi.store import DEFAULT_MODEL, bundled_folder
from edge_phi.train.data.endpoint.labels import read_label
from edge_phi.train.data.records import Record, write_records
from edge_phi.train.data.steps import read_manifest

for module in ("llama_cpp", "fastapi", "sse_starlette", "starlette_context", "pydantic_settings", "uvicorn"):
    pytest.importorskip(module, reason="llama-cpp-python's server, of the extra 'dev', is not installed")
pytest.importorskip("gguf", reason="the gguf package, of the extra 'convert', is not installed")


class ModelServer:
    """llama-cpp-python's server with the bundled model, on one thread; can be killed and started again."""

    def __init__(self, model: Path, log: Path) -> None:
        self._model, self._log = model, log
        with socket.socket() as probed:
            probed.bind(("127.0.0.1", 0))
            self.port: int = probed.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            sys.executable, "-m", "llama_cpp.server", "--model", str(self._model), "--model_alias", "nano",
            "--n_threads", "1", "--n_threads_batch", "1", "--n_ctx", "1024",
            "--host", "127.0.0.1", "--port", str(self.port),
        ]  # fmt: skip
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def wait_until_it_listens(self) -> None:
        assert self.process is not None
        while True:
            assert self.process.poll() is None, self._log.read_text(errors="replace")[-2000:]
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)

    def stop(self) -> None:
        """It is there and does nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class Counting:
    """Passes requests on, and keeps count of those that were answered whole: what would have been paid for.

    Of each kind (what the system message says) the first two pass; the others wait until `gate` is open.
    """

    def __init__(self, port: int) -> None:
        self.answered: list[tuple[str, str, dict[str, Any]]] = []  # kind, request, what the server says it took
        self.came: Counter[str] = Counter()
        self.sent_on: Counter[str] = Counter()
        self.gate = threading.Event()
        lock = threading.Lock()
        counting = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                kind = str(json.loads(body)["messages"][0]["content"])
                with lock:
                    counting.came[kind] += 1
                    early = counting.came[kind] <= 2
                if not early:
                    counting.gate.wait(120)
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
                try:
                    connection.request("POST", self.path, body, {"Content-Type": "application/json"})
                    with lock:
                        counting.sent_on[kind] += 1
                    response = connection.getresponse()
                    answer = response.read()
                except (OSError, http.client.HTTPException):
                    self.close_connection = True  # as it would break if nobody were between
                    return
                finally:
                    connection.close()
                if response.status == 200:
                    with lock:
                        counting.answered.append((kind, body.decode(), json.loads(answer)["usage"]))
                with contextlib.suppress(OSError):
                    self.send_response(response.status)
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def close(self) -> None:
        self.gate.set()
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ModelServer]:
    from edge_phi.convert.gguf import export_gguf

    model = tmp_path / "nano.gguf"
    export_gguf(bundled_folder() / DEFAULT_MODEL, "f16", model)
    one = ModelServer(model, tmp_path / "server.log")
    one.start()
    one.wait_until_it_listens()
    yield one
    one.kill()


def documents(folder: Path) -> None:
    folder.mkdir()
    texts = [f"def add_{i}(x):\n    return x + {i}\n" for i in range(6)]
    records = [Record(f"set/{i}", "set", f"{i}.py", "MIT", text, 9) for i, text in enumerate(texts)]
    write_records(folder / "00000.parquet", records, {}, seen=lambda _: None)


def lines_of(journal: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal.read_bytes().splitlines()[1:]] if journal.exists() else []


@pytest.mark.skipif(not probe().enough, reason="this machine cannot hold untrusted programs")
def test_a_real_model_answers_everything_once_though_its_server_is_killed(tmp_path: Path, server: ModelServer) -> None:
    documents(tmp_path / "source")
    jobs = {
        "labels.jsonl": ["label", "source", "labels.jsonl"],
        "textbooks": ["textbooks", "textbooks", "--count", "6", "--max-tokens", "16"],
        "exercises": ["ask-exercises", "exercises", "--count", "6", "--max-tokens", "16"],
    }
    counting = Counting(server.port)
    common = ["--endpoint", counting.url, "--model", "nano", "--concurrency", "2", "--patience", "200"]
    try:
        running = start(jobs, common, tmp_path)
        wait_until(lambda: len(counting.answered) == 6, running)
        server.stop()
        counting.gate.set()
        wait_until(lambda: sum(count >= 3 for count in counting.sent_on.values()) == 3, running)
        server.kill()  # with requests of every kind under way
        came = counting.came.copy()
        wait_until(lambda: all(counting.came[kind] > came[kind] for kind in came), running)  # all try in vain
        server.start()
        told = end(running)
        paid = counting.answered

        # Nothing is lost: every question has an answer. Nothing is paid twice: no question was answered twice.
        answers = {out: [line for line in lines_of(tmp_path / f"{out}.answers.jsonl") if "key" in line] for out in jobs}
        for out in jobs:
            assert any("lost" in line for line in lines_of(tmp_path / f"{out}.answers.jsonl"))  # it was under way
            assert "trying again for up to 200 s" in told[out]
            assert len(answers[out]) == len({line["key"] for line in answers[out]}) == 6
        assert len(paid) == len({request for _, request, _ in paid}) == 18
        for name in ("prompt_tokens", "completion_tokens"):
            kept = sum(line[name] for lines in answers.values() for line in lines)
            assert kept == sum(usage[name] for _, _, usage in paid) > 18
    finally:
        counting.close()

    # This model follows no instructions: each answer is kept, or counted under why it is not.
    said = [label for line in answers["labels.jsonl"] if (label := read_label(line["text"])) is not None]
    written = [json.loads(line)["label"] for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert sorted(written) == sorted(said)
    for out in ("textbooks", "exercises"):
        counts = read_manifest(tmp_path / out)["counts"]
        assert counts["records_in"] == 6 == counts["records_out"] + sum(counts["dropped"].values())
        assert "not asked: the budget is spent" not in counts["dropped"]


def start(jobs: dict[str, list[str]], common: list[str], folder: Path) -> dict[str, subprocess.Popen[str]]:
    return {
        out: subprocess.Popen(
            [sys.executable, "-m", "edge_phi", "data", *arguments, *common],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for out, arguments in jobs.items()
    }  # fmt: skip


def wait_until(condition: Callable[[], bool], running: dict[str, subprocess.Popen[str]]) -> None:
    while not condition():
        assert all(process.poll() is None for process in running.values())
        time.sleep(0.01)


def end(running: dict[str, subprocess.Popen[str]]) -> dict[str, str]:
    """What each said on standard error."""
    told = {}
    for out, process in running.items():
        said, told[out] = process.communicate(timeout=300)
        assert process.returncode == 0, told[out]
        assert said == f"{out}\n"
    return told
