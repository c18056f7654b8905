"""The bench: what its process tells, in a table that can be sorted, stopped and exported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from looks import SIZES, THEMES, check, look
from textual.widgets import DataTable

from edge_phi.tui import bench_process
from edge_phi.tui.bench import COLUMNS, Bench, cell
from edge_phi.tui.plots import Point, bars, points
from edge_phi.tui.screens import bench as bench_screen
from edge_phi.tui.screens.bench import BenchScreen

if TYPE_CHECKING:
    from conftest import Stage

FORMS = {
    "kind": "forms",
    "forms": [{"form": "onnx:float32", "file_bytes": 18e6}, {"form": "onnx:int4", "file_bytes": 7e6}],
}
FIGURES: dict[str, Any] = {
    "kind": "figures", "form": "onnx:int4", "load_ms": 100.0, "ttft_ms": 41.25, "decode_tokens_per_s": 787.0,
    "peak_rss_bytes": 81e6,
}  # fmt: skip


def form(name: str, rate: float, kl: float | None, peak: float) -> dict[str, Any]:
    return {
        "name": name, "file_bytes": 7e6, "load_ms": 100.0, "ttft_ms": 40.0, "decode_tokens_per_s": rate,
        "peak_rss_bytes": peak, "first_line": {"p50_ms": 25.0},
        "fidelity": None if kl is None else {"kl_mean": kl, "top1": 0.968},
    }  # fmt: skip


DONE = {
    "kind": "done",
    "json": {
        "baseline": "onnx:float32",
        "forms": [form("onnx:float32", 392.0, None, 124e6), form("onnx:int4", 787.0, 0.0016, 81e6)],
    },
    "html": "<!doctype html>page",
}


def test_figures_come_one_by_one_and_the_medians_take_their_place() -> None:
    bench = Bench()
    for event in (FORMS, {"kind": "working", "what": "round 1", "done": 1, "total": 6}, FIGURES):
        bench.hear(event)
    assert (bench.done, bench.total, bench.doing) == (1, 6, "round 1")
    row = bench.rows["onnx:int4"]
    assert [cell(row, column) for column in COLUMNS] == ["onnx:int4", "787", "41.2", "–", "–", "–", "81", "7.0", "100"]
    bench.hear(DONE)
    assert cell(bench.rows["onnx:int4"], COLUMNS[2]) == "40.0" and bench.rows["onnx:int4"].kl == 0.0016
    assert bench.baseline == "onnx:float32" and bench.html.startswith("<!doctype")


def test_rows_are_sorted_with_the_best_first_and_the_unknown_last() -> None:
    bench = Bench()
    for event in (FORMS, DONE):
        bench.hear(event)
    by = {column.field: [row.form for row in bench.sorted_by(column)] for column in COLUMNS}
    assert by["decode_tokens_per_s"] == ["onnx:int4", "onnx:float32"]
    assert by["peak_mb"] == ["onnx:int4", "onnx:float32"]
    assert by["kl"] == ["onnx:int4", "onnx:float32"]  # the baseline has none from itself
    assert by["form"] == ["onnx:float32", "onnx:int4"]


@pytest.mark.parametrize("event", [{}, {"kind": "figures"}, {"kind": "forms", "forms": 3}, {"kind": "done", "json": 1}])
def test_what_is_not_an_event_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError)):
        Bench().hear(event)


def test_plots_put_every_mark_where_it_belongs_and_keep_to_their_frame() -> None:
    drawn = points([Point("a", 100, 1e-2), Point("b", 50, 1e-6)], 40, 10, x_title="x", y_title="y", least_y=1e-6)
    assert len(drawn) == 10 and all(len(line) <= 40 for line in drawn)
    rows = [line for line in drawn if "│" in line]
    assert rows[0].endswith("a") and "b" in rows[-1] and rows[-1].index("b") < rows[0].index("a")
    assert points([], 40, 10, x_title="x", y_title="y", least_y=1e-6) == []
    assert bars([("a", 10.0), ("b", 5.0)], 20, title="t") == ["t", "a " + "█" * 15 + " 10", "b " + "█" * 7 + "▌ 5"]
    assert bars([("a", 10.0)], 6, title="t") == []


def telling(*events: object, then: str = "") -> list[str]:
    """The command line of a process that tells `events`, then does `then`."""
    lines = [event if isinstance(event, str) else json.dumps(event) for event in events]
    code = f"import sys, time\nfor line in {lines!r}: print(line, flush=True)\n{then}"
    return [sys.executable, "-c", code]


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Put the command line that a bench runs at its end."""
    commands: list[list[str]] = []
    monkeypatch.setattr(bench_screen, "command", lambda model, fresh: commands[-1])
    return commands


async def opened(stage: Stage) -> BenchScreen:
    await stage.press("f8")
    await stage.until(lambda: isinstance(stage.app.screen, BenchScreen) and "onnx" in stage.drawn())
    assert isinstance(stage.app.screen, BenchScreen)
    return stage.app.screen


@pytest.mark.parametrize("size", [(60, 20), (120, 40)])
async def test_figures_are_shown_sorted_and_exported(
    stage: Stage, process: list[list[str]], size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    process.append(telling(FORMS, FIGURES, "not JSON", {"kind": "?"}, {"kind": "note", "line": "a\x1b[2Jb"}, DONE))
    async with stage.open("x = ", size):
        screen = await opened(stage)
        assert "Enter measures" in stage.drawn()
        await stage.press("enter")
        await stage.until(lambda: "measured against onnx:float32" in stage.drawn())
        drawn = stage.drawn()
        assert "787" in drawn and "\x1b" not in drawn
        if size[1] > 24:
            assert "peak memory, MB" in drawn and "KL from full precision" in drawn
        table = screen.query_one(DataTable)
        await stage.press("s")
        assert [str(table.get_row_at(row)[0]) for row in (0, 1)] == ["a onnx:int4", "b onnx:float32"]
        await stage.press("e")
        await stage.until(lambda: len(list(tmp_path.iterdir())) == 3 and bool(stage.messages()))
        html, found, svg = sorted(tmp_path.iterdir())
        assert html.read_text() == "<!doctype html>page"
        assert json.loads(found.read_text()) == DONE["json"]
        assert "<svg" in svg.read_text() and "@font-face" not in svg.read_text()  # fonts from a server
        await stage.press("escape")
        await stage.until(lambda: stage.app.screen is stage.screen)


async def test_it_can_be_stopped_and_leaving_stops_it(stage: Stage, process: list[list[str]], tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    forever = f"import os; open({str(pid)!r}, 'w').write(str(os.getpid()))\nwhile True: time.sleep(0.05)"
    process.append(telling(FORMS, FIGURES, then=forever))
    async with stage.open("x = ", (100, 30)):
        screen = await opened(stage)
        for leave in ("c", "escape"):
            pid.unlink(missing_ok=True)
            await stage.press("enter")
            await stage.until(lambda: pid.exists() and pid.read_text() != "")
            await stage.press(leave)
            await stage.until(lambda: not _alive(int(pid.read_text())))
            if leave == "c":
                await stage.until(lambda: "what was measured is kept" in stage.drawn())
                assert screen.bench.rows["onnx:int4"].ttft_ms == 41.25
        await stage.press("y")
        assert stage.editor.document.text == "yx = "


@pytest.mark.parametrize(
    ("events", "then", "words"),
    [
        ([{"kind": "failed", "line": "nano: no\x1b form"}], "sys.exit(1)", "nano: no␛ form"),
        ([], "raise RuntimeError('engine fell over')", "engine fell over"),
    ],
)
async def test_a_failure_is_told(
    stage: Stage, process: list[list[str]], events: list[object], then: str, words: str
) -> None:
    process.append(telling(*events, then=then))
    async with stage.open("x = ", (100, 30)):
        await opened(stage)
        await stage.press("enter")
        await stage.until(lambda: words in stage.drawn())


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
async def test_it_looks_as_it_did(stage: Stage, size: tuple[int, int], theme: str) -> None:
    async with stage.open("x = ", size):
        stage.app.theme = theme
        await stage.press("f8")
        await stage.until(lambda: isinstance(stage.app.screen, BenchScreen) and "onnx" in stage.drawn())
        screen = stage.app.screen
        assert isinstance(screen, BenchScreen)
        screen.bench.rows.clear()
        for event in (FORMS, DONE):
            screen.bench.hear(event)
        screen._draw()
        await stage.pilot.pause(0.05)
        check(f"bench-{size[0]}x{size[1]}-{theme}", look(stage.app))


def test_the_process_ends_when_the_editor_is_gone(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "EDGE_PHI_HOME": str(tmp_path)}
    command = bench_process.command("phi-1-nano", fresh=True)
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    assert child.stdin and child.stdout
    try:
        assert b'"kind"' in child.stdout.readline()  # at work
        child.stdin.close()  # as when the editor is killed
        child.wait(30)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    assert child.returncode == bench_process.INTERRUPTED


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    time.sleep(0)
    return not (state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z")
