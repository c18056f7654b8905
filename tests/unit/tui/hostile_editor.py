"""Runs the editor in this process's terminal on the file it is given, with a model that answers with hostile text.

python hostile_editor.py FILE
"""

from __future__ import annotations

import sys
from pathlib import Path

from conftest import HOSTILE_ANSWER, ScriptedSession

from edge_phi.tui.app import EdgePhiApp
from edge_phi.tui.document import open_document
from edge_phi.tui.engine import EngineChoice

session = ScriptedSession("int4", 1.0)
session.answers = [list(HOSTILE_ANSWER)]  # character by character: no sequence comes in one piece
choice = EngineChoice("na\x1b]0;model\x07no", "onnx", "int4", session.open)
EdgePhiApp(open_document(Path(sys.argv[1])), choice, None, pause_seconds=3600).run()
