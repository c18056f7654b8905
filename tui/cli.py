"""`edge-phi open`: the editor in a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_phi.store import DEFAULT_MODEL

from .start import start


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
    if code := start(file, model, quant):
        raise typer.Exit(code)
