"""What answers keys in `keystrokes.py`: edge-phi's worker, llama-server as llama.vim drives it, and a plain client.

Each is told of every key (`key`, or `moved` where nothing is asked) from one thread, says what is to be seen through
`show(place, text, call, whole)`, and how much of the processor it took. `place` is the number of the key, `call` the
model's call that gave the text.
"""

from __future__ import annotations

import enum
import http.client
import json
import os
import socket
import subprocess
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from edge_phi.completion.decode import DecodeSettings, decode
from edge_phi.completion.session import Session, Suggestion, open_session
from edge_phi.completion.worker import Event, Finished, Progress, Worker
from edge_phi.errors import EdgePhiError
from edge_phi.runtimes.llama_cpp import LlamaCppRuntime
from edge_phi.store import Artifact
from edge_phi.tokenizer import Tokenizer

MAX_TOKENS = 64  # of every suggestion of every system
_MAX_PROMPT_TOKENS = 1536  # of the two that are not ours, in a context of 2,048


class Call(enum.Enum):
    """Which call of the model a suggestion waited for."""

    NONE = "none: it was known when the key came"
    EARLIER = "one that an earlier key, or looking ahead, had begun"
    OWN = "one that was begun for the key"


Show = Callable[[int, str, Call, bool], None]


class System(Protocol):
    """Suggests while somebody types."""

    name: str

    def key(self, place: int, before: str, after: str) -> None: ...
    def moved(self, before: str, after: str) -> None: ...
    def cpu_seconds(self) -> float: ...
    def close(self) -> None: ...


class EdgePhi:
    """`edge_phi.completion.worker`, asked at every key."""

    name = "edge-phi"

    def __init__(self, artifact: Artifact, threads: int, show: Show) -> None:
        self._show = show
        self._loaded = threading.Event()
        self._begun = self._begun_before = 0  # calls of the model in all, and up to the last key
        self._worker = Worker(lambda: self._open(artifact, threads), self._report, "edge-phi")
        self._worker.start()
        self._loaded.wait()

    def key(self, place: int, before: str, after: str) -> None:
        self._begun_before = self._begun
        self._worker.request(place, before, after)

    def moved(self, before: str, after: str) -> None:
        self._worker.follow(before, after)

    def cpu_seconds(self) -> float:
        return time.process_time()

    def close(self) -> None:
        self._worker.close()

    def _report(self, event: Event) -> None:
        waited_for = Call.EARLIER if self._begun == self._begun_before else Call.OWN
        if isinstance(event, Progress):
            self._show(event.ticket, event.text, waited_for, False)
        elif isinstance(event, Finished):
            self._show(event.ticket, event.suggestion.text, Call.NONE if event.known else waited_for, True)
        else:
            self._loaded.set()

    def _open(self, artifact: Artifact, threads: int) -> Session:
        """A session that has had its idle time, and counts its calls."""
        session = open_session(artifact.path, threads=threads)
        session.use_idle_time(threading.Event())
        complete = session.complete

        def counted(*arguments: Any, **options: Any) -> Suggestion:
            self._begun += 1
            return complete(*arguments, **options)

        session.complete = counted  # type: ignore[method-assign]
        return session


class LlamaVim:
    """llama-server, driven as llama.vim drives it (https://github.com/ggml-org/llama.vim, read in November 2026).

    A request at every key, of the last 256 lines; while one is under way, tried again every 100 ms; 250 ms of
    predicting, but 1,000 ms for what would come after accepting, which is asked for as soon as something is shown; 250
    answers kept, found again up to 128 characters later; nothing shown before an answer is whole. Phi has no tokens for
    infilling, so the request is a completion of what stands before the cursor.
    """

    name = "llama.vim"
    _RETRY_S, _FIRST_MS, _AHEAD_MS = 0.1, 250, 1000
    _LINES, _ANSWERS, _LOOK_BACK = 256, 250, 128

    def __init__(self, server: Server, tokenizer: Tokenizer, show: Show) -> None:
        self._server, self._tokenizer, self._show = server, tokenizer, show
        self._lock = threading.RLock()
        self._answers: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._busy = False
        self._retry: threading.Timer | None = None
        self._now: tuple[int, str, str] | None = None  # the last key

    def key(self, place: int, before: str, after: str) -> None:
        with self._lock:
            self._now = place, before, after
            if not self._show_known(Call.NONE):
                self._ask()

    def moved(self, before: str, after: str) -> None:
        with self._lock:
            self._now = None

    def cpu_seconds(self) -> float:
        return self._server.cpu_seconds()

    def close(self) -> None:
        with self._lock:
            self._now = None
        while self._busy:
            time.sleep(0.01)

    def _show_known(self, call: Call) -> bool:
        assert self._now is not None
        place, before, after = self._now
        for typed in range(min(self._LOOK_BACK, len(before)) + 1):
            start = len(before) - typed
            text = self._answers.get((before[:start], after))
            if text is not None and (not typed or (text.startswith(before[start:]) and len(text) > typed)):
                self._show(place, text[typed:], call, True)
                self._ask_ahead(before, after, text[typed:])
                return True
        return False

    def _ask(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._now is None:
            return
        if self._busy:
            self._retry = threading.Timer(self._RETRY_S, self._try_again)
            self._retry.start()
            return
        self._send(*self._now[1:], self._FIRST_MS, self._now[0])

    def _try_again(self) -> None:
        with self._lock:
            if self._now is not None and not self._show_known(Call.EARLIER):
                self._ask()

    def _ask_ahead(self, before: str, after: str, text: str) -> None:
        if text and not self._busy and (before + text, after) not in self._answers:
            self._send(before + text, after, self._AHEAD_MS, None)

    def _send(self, before: str, after: str, limit_ms: int, place: int | None) -> None:
        self._busy = True
        threading.Thread(target=self._request, args=(before, after, limit_ms, place), daemon=True).start()

    def _request(self, before: str, after: str, limit_ms: int, place: int | None) -> None:
        prompt = "\n".join(before.split("\n")[-self._LINES :])
        text = self._server.complete(_fitting(prompt, self._tokenizer), t_max_predict_ms=limit_ms, cache_prompt=True)
        with self._lock:
            self._busy = False
            self._answers[before, after] = text
            while len(self._answers) > self._ANSWERS:
                self._answers.popitem(last=False)
            if self._now is None:
                return
            if place == self._now[0]:
                self._show(place, text, Call.OWN, True)
                self._ask_ahead(before, after, text)
            elif place is not None:
                self._show_known(Call.EARLIER)


class Plain:
    """A client that waits for a pause of 350 ms and then reads and writes anew, in llama.cpp."""

    name = "plain"
    _PAUSE_S = 0.35

    def __init__(self, artifact: Artifact, threads: int, tokenizer: Tokenizer, show: Show) -> None:
        self._runtime = LlamaCppRuntime(artifact, threads=threads)
        self._tokenizer, self._show = tokenizer, show
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def key(self, place: int, before: str, after: str) -> None:
        self.moved(before, after)
        self._timer = threading.Timer(self._PAUSE_S, self._complete, (place, before))
        self._timer.start()

    def moved(self, before: str, after: str) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def cpu_seconds(self) -> float:
        return time.process_time()

    def close(self) -> None:
        self.moved("", "")
        with self._lock:
            self._runtime.close()

    def _complete(self, place: int, before: str) -> None:
        with self._lock:
            tokens = self._tokenizer.encode(_fitting(before, self._tokenizer))
            self._runtime.rewind(0)
            steps = decode(self._runtime, tokens, self._tokenizer, DecodeSettings(max_tokens=MAX_TOKENS))
            text = "".join(step.text for step in steps)
        self._show(place, text, Call.OWN, True)


class Server:
    """A llama-server process on one model."""

    def __init__(self, program: Path, artifact: Artifact, threads: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        command = [str(program), "-m", str(artifact.path), "-c", "2048", "-np", "1", "-t", str(threads), "-tb",
                   str(threads), "--host", "127.0.0.1", "--port", str(self._port), "-ngl", "0", "-ub", "1024", "-b",
                   "1024", "--cache-reuse", "256", "--no-webui"]  # fmt: skip
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            try:
                if self._get("/health") == 200:
                    break
            except OSError:
                if self._process.poll() is not None:
                    break
            time.sleep(0.1)
        else:
            self._process.kill()
        if self._process.poll() is not None:
            raise EdgePhiError(f"{program}: ended with {self._process.returncode}: run it by hand to see why")
        self.complete("#", t_max_predict_ms=100, cache_prompt=False)  # its first pass is charged to nobody

    def complete(self, prompt: str, *, t_max_predict_ms: int, cache_prompt: bool) -> str:
        """The whole completion of `prompt`."""
        request = {"prompt": prompt, "n_predict": MAX_TOKENS, "temperature": 0, "cache_prompt": cache_prompt,
                   "t_max_predict_ms": t_max_predict_ms, "stream": False}  # fmt: skip
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=600)
        connection.request("POST", "/completion", json.dumps(request), {"Content-Type": "application/json"})
        response = connection.getresponse()
        body = json.loads(response.read())
        connection.close()
        if response.status != 200:
            raise EdgePhiError(f"llama-server answers {response.status}: {body}")
        return str(body["content"])

    def cpu_seconds(self) -> float:
        """What the process took so far, of all cores."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()

    def _get(self, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        connection.request("GET", path)
        status = connection.getresponse().status
        connection.close()
        return status


def _fitting(text: str, tokenizer: Tokenizer) -> str:
    """The end of `text` that fits the context, from a line's start on, as a client without a window of its own cuts."""
    while len(tokenizer.encode(text)) > _MAX_PROMPT_TOKENS:
        text = text.split("\n", max(1, text.count("\n") // 16))[-1]
    return text
