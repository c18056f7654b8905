"""The typing benchmark itself: what it counts, and that the peer it drives behaves as llama.vim does."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import SAMPLE_TEXT

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")


@pytest.fixture(autouse=True)
def _benchmarks_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    for name in [name for name in sys.modules if name.startswith("keystroke")]:
        monkeypatch.delitem(sys.modules, name)


class Knowing:
    """Suggests what comes next in `document`, at once; what it knew before comes without a model call."""

    name = "knowing"

    def __init__(self, document: str, show: object) -> None:
        self.document, self.show, self.asked = document, show, []

    def key(self, place: int, before: str, after: str) -> None:
        self.asked.append(before)
        if self.document.startswith(before):
            self.show(place, self.document[len(before) :][:9], len(self.asked) % 2 == 0, True)  # type: ignore[operator]

    def moved(self, before: str, after: str) -> None: ...

    def cpu_seconds(self) -> float:
        return float(len(self.asked))

    def close(self) -> None: ...


def test_what_is_taken_is_not_typed_and_what_was_typed_is_what_the_trace_says() -> None:
    import keystrokes
    from keystroke_traces import Trace

    keys = [{"ms": 1, "type": key} for key in "value = 12345"]
    look = {"ms": 1, "look": True}
    events = ({"ms": 1, "move": 2}, *keys[:3], look, *keys[3:], {"ms": 1, "delete": 2}, {"ms": 1, "type": "x"}, look)
    screen, seen = keystrokes.Screen(), keystrokes.Seen()
    system = Knowing("# value = 12345\n", screen.show)
    keystrokes.replay(Trace("t", "# ", 2, events), system, screen, seen, speed=50)
    assert system.asked[:4] == ["# v", "# va", "# val", "# value = 1234"], "nine characters were taken"
    assert system.asked[-1] == "# value = 123x"
    assert (seen.accepted, seen.asked) == (9, len(system.asked))
    assert 0 < seen.known < len(seen.first_ms) < seen.asked


def test_llama_vim_waits_for_its_server_and_finds_what_it_knows(tiny_checkpoint: Path) -> None:
    from keystroke_systems import LlamaVim

    from edge_phi.tokenizer import load_tokenizer

    class Server:
        def __init__(self) -> None:
            self.requests: list[tuple[str, int]] = []
            self.free = threading.Semaphore(0)

        def complete(self, prompt: str, *, t_max_predict_ms: int, cache_prompt: bool) -> str:
            self.requests.append((prompt, t_max_predict_ms))
            self.free.acquire()
            return SAMPLE_TEXT[len(prompt) :][:20]

        def cpu_seconds(self) -> float:
            return 0.0

    def until(condition: object) -> None:
        for _ in range(5000):
            if condition():  # type: ignore[operator]
                return
            time.sleep(0.002)
        pytest.fail("waited in vain")

    server, shown = Server(), []
    vim = LlamaVim(server, load_tokenizer(tiny_checkpoint), lambda *what: shown.append(what))  # type: ignore[arg-type]
    vim.key(1, SAMPLE_TEXT[:30], "")
    until(lambda: server.requests == [(SAMPLE_TEXT[:30], 250)])
    vim.key(2, SAMPLE_TEXT[:31], "")  # while it is busy nothing is sent
    assert len(server.requests) == 1
    server.free.release()
    until(lambda: shown == [(2, SAMPLE_TEXT[31:50], True, True)])  # late, but it fits what was typed
    until(lambda: server.requests[1:] == [(SAMPLE_TEXT[:50], 1000)])  # as if it were accepted
    server.free.release()
    until(lambda: not vim._busy)
    vim.key(3, SAMPLE_TEXT[:50], "")
    until(lambda: shown[-1] == (3, SAMPLE_TEXT[50:70], True, True))
    server.free.release(2)
    vim.close()


def test_the_traces_lead_from_a_text_to_a_text() -> None:
    from keystroke_traces import read_traces

    traces = read_traces()
    assert len(traces) == 20
    for trace in traces:
        text, cursor = trace.text, trace.cursor
        for event in trace.events:
            if "move" in event:
                cursor = int(event["move"])  # type: ignore[call-overload]
            new, gone = str(event.get("type", "")), int(event.get("delete", 0))  # type: ignore[call-overload]
            assert 0 <= gone <= cursor <= len(text)
            text, cursor = text[: cursor - gone] + new + text[cursor:], cursor - gone + len(new)
        assert text != trace.text
