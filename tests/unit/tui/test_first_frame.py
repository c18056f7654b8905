"""What the editor's first frame waits for."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
import edge_phi.tui.app
from edge_phi.tui.cli import choose_engines
choose_engines("phi-1-nano", None)
heavy = ["numpy", "onnxruntime", "tokenizers", "torch", "llama_cpp", "pyarrow", "httpx", "tree_sitter_python"]
heavy += ["edge_phi.compare", *(f"edge_phi.tui.screens.{name}" for name in ["bench", "questions", "ask_path"])]
print(*[name for name in heavy if name in sys.modules])
"""


def test_the_first_frame_waits_for_no_engine_and_no_other_screen() -> None:
    found = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
    assert found.stdout.split() == []
