"""`edge-phi open`: the editor in a terminal."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_phi.errors import InvalidCall
from edge_phi.store import DEFAULT_MODEL, Artifact, find_model

if TYPE_CHECKING:
    from .engine import EngineChoice, SessionLike


def open_editor(
    file: Annotated[
        Path | None, typer.Argument(help="The file to edit; a scratch buffer if there is none.", show_default=False)
    ] = None,
    model: Annotated[
        str, typer.Option("--model", "-m", help="A model's name, its folder, or a GGUF file.")
    ] = DEFAULT_MODEL,
    quant: Annotated[
        str, typer.Option("--quant", "-q", help="A form of the model: onnx:int4, or only int4.", show_default=False)
    ] = "",
) -> None:
    """Edit a file with suggestions from a model on this machine, timed beside full precision."""
    from . import alt_keys
    from .app import EdgePhiApp  # Textual takes a while to import, and a wrong call should be told at once
    from .document import Document, open_document
    from .memory import memory_file, recall
    from .settings import read_settings, settings_file

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
    if app.return_code:
        raise typer.Exit(app.return_code)


def choose_engines(model: str, quant: str | None) -> tuple[EngineChoice, EngineChoice | None]:
    """What suggests, and what it is compared with; only looked up, for loading takes a while."""
    found = find_model(model)
    artifact, baseline = found.artifact(quant), found.baseline()
    if baseline is None or baseline == artifact:
        return _choice(model, artifact, ahead=True), None
    return _choice(model, artifact, ahead=True), _choice(model, baseline, ahead=False)


def _choice(model: str, artifact: Artifact, *, ahead: bool) -> EngineChoice:
    from .engine import EngineChoice

    def open_session() -> SessionLike:
        from edge_phi.completion.session import open_session

        # Whichever engine comes first would pay for the import in its load figure.
        importlib.import_module(f"edge_phi.runtimes.{artifact.engine}")
        return open_session(model, quant=artifact.name, snapshots=ahead)

    return EngineChoice(artifact.model, artifact.engine, artifact.quant, open_session, ahead)
