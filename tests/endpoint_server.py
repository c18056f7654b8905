"""An endpoint that answers as the test says, and breaks as the test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal


@dataclass(frozen=True)
class Reply:
    """What is sent back, and how it ends: whole, endless, never, or cut before its end."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    end: Literal["whole", "endless", "never", "cut"] = "whole"


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def prompt(self) -> str:
        return str(self.body["messages"][-1]["content"])


def says(text: str, finish: str = "stop", usage: Any = (10, 5)) -> Reply:
    """A completion of OpenAI's."""
    value: dict[str, Any] = {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": finish}]}
    if usage is not None:
        value["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return Reply(json.dumps(value).encode())


class Server:
    """Listens on a free port; a context manager.

    Attributes:
        seen: all requests, in the order they came.
    """

    def __init__(self, reply: Callable[[Seen, int], Reply]) -> None:
        self.seen: list[Seen] = []
        self.released = threading.Event()
        lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                seen = Seen(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                with lock:
                    server.seen.append(seen)
                    number = len(server.seen) - 1
                server._send(self, reply(seen, number))

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self._http.shutdown()
        self._http.server_close()

    def _send(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        try:
            handler.send_response(reply.status)
            for name, value in reply.headers.items():
                handler.send_header(name, value)
            length = {"whole": len(reply.body), "cut": 2 * len(reply.body) + 1, "never": 1 << 20, "endless": None}[
                reply.end
            ]
            if length is not None:
                handler.send_header("Content-Length", str(length))
            handler.end_headers()
            handler.wfile.write(reply.body)
            handler.wfile.flush()
            while reply.end == "endless":
                handler.wfile.write(reply.body * 1000)
            if reply.end == "never":
                self.released.wait(60)
        except OSError:
            pass  # the client had enough
        if reply.end != "whole":
            handler.close_connection = True
