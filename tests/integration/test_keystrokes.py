"""The typing benchmark itself: what it counts, and that the peer it drives behaves as llama.vim does."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import SAMPLE_TEXT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")


@pytest.fixture(autouse=True)
def _benchmarks_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    for name in [name for name in sys.modules if name.startswith("keystroke")]:
        monkeypatch.delitem(sys.modules, name)


class Knowing:
    """Suggests what comes next in `document`, at once, and says in turn that it was known, under way, or called for."""

    name = "knowing"

    def __init__(self, document: str, show: object) -> None:
        self.document, self.show, self.asked = document, show, []

    def key(self, place: int, before: str, after: str) -> None:
        from keystroke_systems import Call

        self.asked.append(before)
        if self.document.startswith(before):
            call = list(Call)[len(self.asked) % 3]
            self.show(place, self.document[len(before) :][:9], call, True)  # type: ignore[operator]

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
    assert (len(seen.first_ms), seen.known, seen.under_way, seen.asked) == (6, 2, 2, 7)
    row = keystrokes.figures(seen, seen)
    assert (row["known_share"], row["not_own_share"]) == (2 / 6, 4 / 6)


def test_a_trace_in_the_middle_of_lines_asks_nobody() -> None:
    from keystroke_traces import count_asked

    keys = ({"ms": 1, "move": 3}, {"ms": 1, "type": "y"}, {"ms": 1, "delete": 1}, {"ms": 1, "look": True})
    assert count_asked("x =  # much to the right\n", 0, keys) == 0
    assert count_asked("x = # ok\n", 0, keys) == 2
    assert count_asked("x =\n", 0, keys[:1]) == 0, "a jump"


def test_llama_vim_waits_for_its_server_and_finds_what_it_knows(tiny_checkpoint: Path) -> None:
    from keystroke_systems import Call, LlamaVim

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
    until(lambda: shown == [(2, SAMPLE_TEXT[31:50], Call.EARLIER, True)])  # late, but it fits what was typed
    until(lambda: server.requests[1:] == [(SAMPLE_TEXT[:50], 1000)])  # as if it were accepted
    server.free.release()
    until(lambda: not vim._busy)
    vim.key(3, SAMPLE_TEXT[:50], "")
    until(lambda: shown[-1] == (3, SAMPLE_TEXT[50:70], Call.NONE, True))
    server.free.release(2)
    until(lambda: not vim._busy)
    vim.key(4, "x", "")
    server.free.release()
    until(lambda: shown[-1] == (4, SAMPLE_TEXT[1:21], Call.OWN, True))
    server.free.release()
    vim.close()


def test_the_traces_lead_from_a_text_to_a_text() -> None:
    from keystroke_traces import count_asked, read_traces

    traces = read_traces()
    assert len(traces) == 20
    for trace in traces:
        assert count_asked(trace.text, trace.cursor, trace.events) >= 40, f"{trace.name}: hardly anybody is asked"
        text, cursor = trace.text, trace.cursor
        for event in trace.events:
            if "move" in event:
                cursor = int(event["move"])  # type: ignore[call-overload]
            new, gone = str(event.get("type", "")), int(event.get("delete", 0))  # type: ignore[call-overload]
            assert 0 <= gone <= cursor <= len(text)
            text, cursor = text[: cursor - gone] + new + text[cursor:], cursor - gone + len(new)
        assert text != trace.text


def test_traces_that_are_missing_are_made_from_the_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import keystroke_traces

    for number, name in enumerate(("one.py", "two.py")):
        text = f"import {name[:3]}\n\n\n" + f"def f{number}(value):\n    return value + {number}\n\n\n" * 6
        (tmp_path / name).write_text(text)
    old = {name: "import os\n" * 5 for name in ("one.py", "two.py")}
    texts = {f"{commit}:{name}": (tmp_path / name).read_text() if commit == "new" else old[name]
             for commit in ("new", "new~1") for name in old}  # fmt: skip
    # An edit in the middle of a line, of which nothing can be made.
    long = {"new~1": "a" * 400, "new": "a" * 200 + "b" * 100 + "a" * 200}
    texts |= {f"{commit}:three.py": f"x = [{line}]\n" for commit, line in long.items()}
    monkeypatch.setattr(keystroke_traces, "show", texts.__getitem__)
    changes = [("new", "three.py"), ("new", "one.py"), ("new", "two.py")]
    monkeypatch.setattr(keystroke_traces, "history", lambda: changes)
    out = tmp_path / "traces"
    monkeypatch.setattr(sys, "argv", ["x", "--out", str(out), "--count", "2"])
    keystroke_traces.main()
    made = {path.name: path.read_bytes() for path in out.iterdir()}
    assert set(made) == {"00.jsonl", "01.jsonl"}
    (out / "00.jsonl").unlink()
    keystroke_traces.main()
    again = {path.name: path.read_bytes() for path in out.iterdir()}
    assert again["01.jsonl"] == made["01.jsonl"] and json.loads(again["00.jsonl"].splitlines()[0])["path"] in old
    assert {json.loads(data.splitlines()[0])["path"] for data in again.values()} == set(old)


def replayed(text: str, events: list[dict[str, object]]) -> tuple[str, int]:
    """The text and the cursor that the events of a trace lead to."""
    cursor = 0
    for event in events:
        if "move" in event:
            cursor = int(event["move"])  # type: ignore[call-overload]
        new, gone = str(event.get("type", "")), int(event.get("delete", 0))  # type: ignore[call-overload]
        text, cursor = text[: cursor - gone] + new + text[cursor:], cursor - gone + len(new)
    return text, cursor


letters = st.text("ab \n", max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # of the path alone
@given(start=letters, edits=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), letters), max_size=8))
def test_a_recording_leads_to_what_was_edited(start: str, edits: list[tuple[int, int, str]]) -> None:
    from keystroke_recorder import Recorder

    recorder, text = Recorder(start, clock=lambda: 0.0), start
    for at, gone, come in edits:
        at = min(at, len(text))
        text, cursor = text[:at] + come + text[at + gone :], at + len(come)
        recorder.saw(text, cursor)
        assert replayed(start, recorder.events) == (text, cursor)
    header, *events = (json.loads(line) for line in recorder.lines("x.py").splitlines())
    assert (header["text"], events) == (start, recorder.events)


def test_what_comes_at_once_is_a_look_and_times_are_those_between() -> None:
    from keystroke_recorder import Recorder

    seconds = iter([0.0, 1.0, 1.5, 1.75, 4.0])
    recorder = Recorder("x\n", clock=lambda: next(seconds))
    recorder.saw("x\n", 1)
    recorder.saw("x \n", 2)
    recorder.saw("x = 1\n", 5)
    recorder.saw("x = 1\n\n    \n", 11)
    assert recorder.events[:3] == [{"ms": 1000, "move": 1}, {"ms": 500, "type": " "}, {"ms": 250, "look": True}]
    assert "".join(str(event["type"]) for event in recorder.events[3:6]) == "= 1"
    assert recorder.events[6:] == [{"ms": 2250, "type": "\n\n    "}]


def test_the_editor_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("textual", reason="the editor, of the extra 'tui', is not installed")
    from keystroke_recorder import RecordedApp

    from edge_phi.completion.session import Suggestion, Timing
    from edge_phi.tui.document import Document
    from edge_phi.tui.engine import EngineChoice

    class Silent:
        load_ms = 1.0

        def complete(self, before: str, after: str = "", **_: object) -> Suggestion:
            return Suggestion("", 1, "stop", "m", "scripted", "float32", Timing(1, 2, 3, 4, 5, 6))

        def close(self) -> None: ...

    async def edit() -> tuple[str, list[dict[str, object]]]:
        document = Document()
        document.text = "import os\nx\n"
        app = RecordedApp(document, EngineChoice("m", "onnx", "int4", Silent), None)
        async with app.run_test() as pilot:
            await pilot.press("down", "end", "space", "=", "enter", "backspace", "(", "a", "left", "b", "delete")
            await pilot.pause()
            assert app.recorder is not None
            return app.editor_screen.editor.text, app.recorder.events

    text, events = asyncio.run(edit())
    assert replayed("import os\nx\n", events)[0] == text != "import os\nx\n"
    assert len(events) > 8
