from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from scripted import LearnedRuntime

from edge_phi.completion import others as others_module
from edge_phi.completion.others import Others
from edge_phi.completion.session import Session
from edge_phi.tokenizer import load_tokenizer

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux says what others do")


class Machine:
    """A machine with two cores, of which this process has both; time passes when it is told."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stat, self.now, self.own, self.busy = folder / "stat", 0.0, 0.0, [0.0, 0.0, 0.0]
        monkeypatch.setattr(others_module.os, "sched_getaffinity", lambda _: {0, 1})
        clock = SimpleNamespace(monotonic=lambda: self.now, process_time=lambda: self.own)
        monkeypatch.setattr(others_module, "time", clock)
        self.pass_time(0, own=0, busy=(0, 0, 0))

    def pass_time(self, seconds: float, *, own: float, busy: tuple[float, float, float]) -> None:
        self.now, self.own = self.now + seconds, self.own + own
        self.busy = [before + more for before, more in zip(self.busy, busy, strict=True)]
        ticks = [int(one * os.sysconf("SC_CLK_TCK")) for one in self.busy]
        lines = [f"cpu{number} {used} 0 0 9999 7 0 0 0 0 0" for number, used in enumerate(ticks)]
        self.stat.write_text("\n".join(["cpu 1 2 3 4 5 6 7 8 9 10", *lines, "intr 12 0", "ctxt 9"]))


def test_only_others_on_our_cores_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path, monkeypatch)
    others = Others(machine.stat)
    machine.pass_time(1, own=1.0, busy=(1.0, 0.75, 1.0))  # core 2 is not ours
    assert others.busy_cores() == pytest.approx(0.75)
    machine.pass_time(0.05, own=0.0, busy=(0.05, 0.05, 0))
    assert others.busy_cores() == pytest.approx(0.75), "too short to tell"
    machine.pass_time(1, own=0.5, busy=(0.5, 0, 0))
    assert others.busy_cores() == pytest.approx(0.1 / 1.05)
    machine.stat.unlink()
    machine.now += 1
    assert others.busy_cores() == 0.0


def test_a_session_makes_way_and_comes_back(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, monkeypatch)
    tokenizer = load_tokenizer(tiny_checkpoint)

    class Threaded(LearnedRuntime):
        def use_threads(self, threads: int) -> None:
            used.append(threads)
            self.info = self.info.__class__(**{**self.info.__dict__, "threads": threads})

    used: list[int] = []
    runtime = Threaded(tokenizer, "x = 1\n")
    runtime.use_threads(2)
    session = Session(runtime, tokenizer, model="m", load_ms=0)
    session._others = Others(machine.stat)
    for busy in ((0.0, 0.2, 0), (1.0, 0.1, 0), (1.0, 1.0, 0), (0.1, 0.0, 0)):
        machine.pass_time(1, own=0, busy=busy)
        session.complete("x = ")
    assert used == [2, 1, 2], "one thread stays, however busy the machine"
