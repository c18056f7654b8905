"""Starting the editor: what it opens, with which engines."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_phi.store import Artifact

    from .engine import EngineChoice, SessionLike

_NICENESS = 10  # of the engines: the editor must never wait for them
_OPTIONS = {"--model": "model", "-m": "model", "--quant": "quant", "-q": "quant"}


def quick(arguments: Sequence[str]) -> int | None:
    """Start the editor if `arguments` are a file and options with their values; None for help and whatever is wrong."""
    file: Path | None = None
    values: dict[str, str] = {}
    left = iter(arguments)
    for one in left:
        if one in _OPTIONS:
            value = next(left, "-")
            if value.startswith("-"):
                return None
            values[_OPTIONS[one]] = value
        elif one.startswith("-") or file is not None:
            return None
        else:
            file = Path(one)
    gc.disable()  # until the first frame: what is imported and composed is no garbage, only much to look at
    try:
        return start(file, **values)
    finally:
        gc.enable()


def start(file: Path | None, model: str = "", quant: str = "") -> int:
    """Edit `file`, or a scratch text, until the user quits; returns the exit code.

    Args:
        file: one that is not there is made when it is saved.
        model: a model's name, its folder, or a GGUF file; the default one if empty.
        quant: a form of the model; the one to use by default if empty.

    Raises:
        InvalidCall: the file, the model or the settings are not to be had, or there is no terminal.
    """
    from edge_phi.errors import InvalidCall
    from edge_phi.store import DEFAULT_MODEL

    from . import alt_keys
    from .app import EdgePhiApp  # Textual takes a while to import, and a wrong call should be told at once
    from .document import Document, open_document
    from .memory import memory_file, recall
    from .settings import read_settings, settings_file

    model = model or DEFAULT_MODEL
    settings = read_settings(settings_file())
    document = open_document(file) if file is not None else Document()
    quantized, baseline = choose_engines(model, quant or None)
    # Textual reads keys and draws there, unless it was told to talk to a browser instead.
    if not (os.environ.get("TEXTUAL_DRIVER") or (sys.stdin.isatty() and sys.stderr.isatty())):
        raise InvalidCall("the editor needs a terminal: use 'edge-phi complete' in a pipe")
    app = EdgePhiApp(
        document, quantized, baseline,
        settings=settings, memory=recall(memory_file()), model=model, choose=choose_engines,
    )  # fmt: skip
    if settings.theme and settings.theme not in app.available_themes:
        raise InvalidCall(f"{settings_file()}: theme {settings.theme!r}: there is none of that name: see the palette")
    alt_keys.install()
    app.run()
    return app.return_code or 0


def choose_engines(model: str, quant: str | None) -> tuple[EngineChoice, EngineChoice | None]:
    """What suggests, and what it is compared with; only looked up, for loading takes a while."""
    from edge_phi.store import find_model

    found = find_model(model)
    artifact, baseline = found.artifact(quant), found.baseline()
    if baseline is None or baseline == artifact:
        return _choice(model, artifact, ahead=True), None
    return _choice(model, artifact, ahead=True), _choice(model, baseline, ahead=False)


def _choice(model: str, artifact: Artifact, *, ahead: bool) -> EngineChoice:
    from .engine import EngineChoice

    def open_session() -> SessionLike:
        from .session_process import SessionProcess

        return SessionProcess(model, artifact.name, keep=ahead, niceness=_NICENESS)

    return EngineChoice(artifact.model, artifact.engine, artifact.quant, open_session, ahead)
