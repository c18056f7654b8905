"""The models screen, themes, and what is remembered."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from textual.widgets import DataTable

from edge_phi.errors import MissingExtra
from edge_phi.store import find_model
from edge_phi.tui.engine import EngineChoice
from edge_phi.tui.memory import Memory, recall
from edge_phi.tui.screens.models import ModelsScreen
from edge_phi.tui.screens.tour import Tour
from edge_phi.tui.themes import CYCLE

if TYPE_CHECKING:
    from conftest import Stage


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no models but the bundled one."""
    monkeypatch.setenv("EDGE_PHI_HOME", str(tmp_path))
    return tmp_path


async def opened(stage: Stage) -> DataTable[str]:
    await stage.press("f9")
    await stage.until(lambda: isinstance(stage.app.screen, ModelsScreen) and "onnx:int4" in stage.drawn())
    return stage.app.screen.query_one(DataTable)


async def test_every_form_is_listed_with_size_precision_and_lineage(stage: Stage, home: Path) -> None:
    async with stage.open("x = ", (120, 30)):
        table = await opened(stage)
        await stage.pilot.pause()
        rows = [[str(cell) for cell in table.get_row_at(row)] for row in range(table.row_count)]
        forms = [artifact.name for artifact in find_model().artifacts]
        assert [row[2] for row in rows] == forms
        by_form = {row[2]: row for row in rows}
        assert by_form["onnx:int4"][0] == "●" and by_form["onnx:float32"][0] == "="
        assert float(by_form["onnx:int4"][3]) > 1 and "from weights" in by_form["onnx:int4"][5]
        assert rows[table.cursor_row][2] == "onnx:int4"
        assert "made from: model.safetensors" in stage.drawn()  # of the row under the cursor


async def test_paths_do_not_say_whose_home_they_are_in(
    stage: Stage, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(home))
    shutil.copytree(find_model().folder, home / "models" / "a-copy")
    async with stage.open("x = ", (140, 30)):
        table = await opened(stage)
        found = [str(table.get_row_at(number)[1]) for number in range(table.row_count)]
        table.move_cursor(row=found.index("a-copy"))
        await stage.until(lambda: f"~{os.sep}{Path('models', 'a-copy')}" in stage.drawn())
        assert str(home) not in stage.drawn()


async def test_one_changed_byte_is_found(stage: Stage, home: Path) -> None:
    copy = home / "models" / "copy"
    shutil.copytree(find_model().folder, copy)
    graph = copy / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\x00")
    async with stage.open("x = ", (140, 30)):
        table = await opened(stage)
        found = [table.get_row_at(number) for number in range(table.row_count)]
        rows = {(str(row[1]), str(row[2])): number for number, row in enumerate(found)}
        table.move_cursor(row=rows["copy", "onnx:float32"])
        await stage.press("v")

        def verdict(name: str, form: str) -> str:
            return str(table.get_row_at(rows[name, form])[5])

        await stage.until(lambda: "as written" in stage.drawn())
        assert "model.onnx" in verdict("copy", "onnx:float32")
        assert "as written" in verdict("copy", "onnx:int4")


async def test_another_form_suggests_and_the_text_stays(stage: Stage, home: Path) -> None:
    stage.say("42")
    other, other_baseline = type(stage.quantized)("q4_0", 1.0), type(stage.quantized)("float32", 1.0)
    other.answers = other_baseline.answers = [["43"]]
    asked: list[tuple[str, str | None]] = []

    def choose(model: str, form: str | None) -> tuple[EngineChoice, EngineChoice]:
        asked.append((model, form))
        return (
            EngineChoice("nano", "native", "q4_0", other.open),
            EngineChoice("nano", "onnx", "float32", other_baseline.open),
        )

    async with stage.open("x = "):
        stage.app._choose = choose
        await stage.press("y")
        await opened(stage)
        await stage.press("home", "enter")
        await stage.until(lambda: stage.app.screen is stage.screen and stage.screen.panel.quantized.quant == "q4_0")
        assert asked == [("phi-1-nano", find_model().artifacts[0].name)]
        assert stage.editor.document.text == "yx = " and stage.screen.modified
        await stage.until(lambda: stage.screen.panel.quantized.state == "ready" and stage.quantized.closed)
        await stage.ask(line=1, column=6)
        assert stage.lines()[0] == "yx = 43" and stage.quantized.prompts == []
        assert stage.screen.panel.quantized.engine == "onnx", "what has answered, not what was looked for"


async def test_a_form_that_cannot_be_used_changes_nothing(stage: Stage, home: Path) -> None:
    def choose(model: str, form: str | None) -> tuple[EngineChoice, EngineChoice]:
        raise MissingExtra("gguf needs llama_cpp: pip install 'edge-phi[gguf]'")

    async with stage.open("x = "):
        stage.app._choose = choose
        await opened(stage)
        await stage.press("enter")
        await stage.until(lambda: "gguf needs llama_cpp: pip install 'edge-phi[gguf]'" in stage.messages())
        assert stage.screen.panel.quantized.quant == "int4" and not stage.quantized.closed


async def test_the_theme_goes_round_and_is_remembered(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "state" / "tui.json"
    async with stage.open("x = "):
        stage.app._memory = Memory(path, tour_seen=True)
        seen = []
        for _ in CYCLE:
            await stage.press("alt+t")
            seen.append(stage.app.theme)
        assert sorted(seen) == sorted(CYCLE)
        await stage.until(lambda: path.exists() and recall(path).theme == seen[-1])


async def test_the_tour_is_shown_once(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "state" / "tui.json"
    async with stage.open("x = ", memory=recall(path)):
        await stage.until(lambda: isinstance(stage.app.screen, Tour))
        for id_words in ("^o", "^n", "tab", "^→", "f2", "^s", "f1"):
            assert id_words in stage.drawn()
        await stage.press("enter")
        await stage.until(lambda: stage.app.screen is stage.screen)
        await stage.press("y")
        assert stage.editor.document.text == "yx = "
        await stage.until(lambda: path.exists())
    assert recall(path).tour_seen


@pytest.mark.parametrize("kept", ["", "{", "[]", "3", '{"theme": 3, "tour_seen": "yes"}', "\x00"])
def test_what_is_remembered_may_be_damaged(tmp_path: Path, kept: str) -> None:
    path = tmp_path / "tui.json"
    path.write_text(kept)
    assert recall(path) == Memory(path)
    Memory(path, "textual-light", True).keep()
    assert json.loads(path.read_text()) == {"theme": "textual-light", "tour_seen": True}
    Memory(path / "below-a-file", "x").keep()  # cannot be kept, and nobody is told
