"""What the editor's first frame waits for."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from edge_phi.tui.start import quick

if TYPE_CHECKING:
    from conftest import Stage

CODE = """
import sys
import edge_phi.quick
import edge_phi.tui.app
from edge_phi.tui.start import choose_engines
choose_engines("phi-1-nano", None)
heavy = ["typer", "pydantic", "numpy", "onnxruntime", "tokenizers", "torch", "llama_cpp", "pyarrow", "httpx"]
heavy += ["tree_sitter_python", "tomllib", "textual.widgets._tabs"]
heavy += ["edge_phi.compare", *(f"edge_phi.tui.screens.{name}" for name in ["bench", "questions", "ask_path"])]
print(*[name for name in heavy if name in sys.modules])
"""


async def test_the_first_frame_has_no_more_widgets_than_it_shows(stage: Stage) -> None:
    async with stage.open("x"):
        hidden = [node for node in stage.screen.walk_children() if not node.display]
        assert [node for node in hidden if not node.has_class("-textual-system")] == []


def test_the_first_frame_waits_for_no_engine_and_no_other_screen() -> None:
    found = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
    assert found.stdout.split() == []


def test_no_figures_are_asked_of_the_engines_before_there_are_any() -> None:
    code = "import sys\nfrom edge_phi.tui.comparison import percentiles\nfrom edge_phi.tui.latency import History\n"
    code += "percentiles(History())\nassert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_not_plainly_a_call_is_left_to_the_command() -> None:
    for arguments in (["--help"], ["a.py", "b.py"], ["--model"], ["--model", "--quant"], ["--no-such", "x"], ["-"]):
        assert quick(arguments) is None
