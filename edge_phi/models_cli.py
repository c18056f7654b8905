"""`edge-phi models`: what this machine has, and whether it is what was written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from .checkpoint import open_checkpoint
from .completion.terminal import one_line
from .errors import EdgePhiError
from .inventory import Entry, entries, verify_model
from .rederive import rederive
from .store import Model, find_model, list_models

app = typer.Typer(add_completion=False, no_args_is_help=True, help="The models of this machine: list, show, verify.")

_AsJson = Annotated[bool, typer.Option("--json", help="One JSON document instead of the lines.")]
_Name = Annotated[str, typer.Argument(metavar="MODEL", help="A model's name, its folder, or a GGUF file.")]
_Names = Annotated[
    Optional[list[str]],  # noqa: UP045  evaluated by Typer on Python 3.10 too
    typer.Argument(metavar="[MODEL]...", help="Names, folders or GGUF files; all models of this machine if none."),
]


@app.command("list")
def list_(as_json: _AsJson = False) -> None:
    """Every form of every model, with size, precision and where it came from."""
    models = [(model, entries(model)) for model in list_models()]
    if as_json:
        _print_json({"models": [_summary(model, found) for model, found in models]})
        return
    rows = [["model", "form", "MB", "precision", "made"]]
    for model, found in models:
        rows += [[model.name, *_cells(entry)] for entry in found]
    _print_table(rows, right=[2])


@app.command()
def show(model: _Name, as_json: _AsJson = False) -> None:
    """One model: its geometry, and each of its forms with all that is known of its making."""
    found = find_model(model)
    listed = entries(found)
    geometry, notes = _geometry(found)
    if as_json:
        _print_json({**_summary(found, listed), "geometry": geometry, "notes": notes})
        return
    _print_table(
        [["name", found.name], ["folder", str(found.folder)], *([key, str(geometry[key])] for key in geometry)]
    )
    for note in notes:
        typer.echo(one_line(note))
    for entry in listed:
        typer.echo("\n" + "\n".join(one_line(line) for line in _paragraph(entry)))


@app.command()
def verify(
    models: _Names = None,
    as_json: _AsJson = False,
    again: Annotated[
        bool, typer.Option("--rederive", help="Convert the checkpoint again and compare byte for byte; takes as long.")
    ] = False,
    calibration: Annotated[
        Optional[Path],  # noqa: UP045  evaluated by Typer on Python 3.10 too
        typer.Option(help="For --rederive: the text that was calibrated on, if it was not edge-phi's own."),
    ] = None,
) -> None:
    """Hash every file again and hold it against the lineage beside it.

    Ends with 1 if anything is missing, was added, or differs in a single bit.
    """
    found = [find_model(name) for name in models] if models else list_models()
    verdicts = [
        (model.name, rederive(model, calibration=calibration) if again else verify_model(model)) for model in found
    ]
    if as_json:
        _print_json({"models": [{"name": name, "forms": [asdict(one) for one in forms]} for name, forms in verdicts]})
    else:
        held = "made again, the same bytes" if again else "as it was written"
        _print_table(
            [[name, one.form, one.damage or f"{held}: {one.files} files"] for name, forms in verdicts for one in forms]
        )
    damage = [one.damage for _, forms in verdicts for one in forms if one.damage]
    if damage:
        raise EdgePhiError(damage[0] + (f" (and {len(damage) - 1} more)" if len(damage) > 1 else ""))


def _summary(model: Model, found: list[Entry]) -> dict[str, Any]:
    return {"name": model.name, "folder": str(model.folder), "forms": [asdict(entry) for entry in found]}


def _geometry(model: Model) -> tuple[dict[str, Any], list[str]]:
    """What a model's checkpoint says of itself, and what was read other than it is written."""
    for artifact in model.artifacts:
        if artifact.format == "safetensors":
            try:
                checkpoint = open_checkpoint(artifact.path)
            except EdgePhiError:
                break  # said where the form is listed
            return {**asdict(checkpoint.config), "parameters": checkpoint.config.parameters}, list(checkpoint.notes)
    return {}, []


def _cells(entry: Entry) -> list[str]:
    size = "-" if entry.file_bytes is None else f"{entry.file_bytes / 1e6:.1f}"
    return [entry.form, size, entry.precision, entry.problem or entry.made or "no lineage"]


def _paragraph(entry: Entry) -> list[str]:
    form, size, precision, made = _cells(entry)
    lines = [f"{form}  {size} MB, {precision}", f"  {entry.path}", f"  {made}"]
    for key in ("source", "files") if entry.lineage else ():
        hashes = entry.lineage.get(key) if entry.lineage else None
        if isinstance(hashes, dict):
            lines += [f"  {key:6}  {digest}  {name}" for name, digest in hashes.items()]
    if entry.lineage and entry.lineage.get("training_data"):
        lines.append(f"  data    {entry.lineage['training_data']}")
    return lines


def _print_table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    cells = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    for row in cells:
        aligned = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        typer.echo("  ".join(aligned).rstrip())


def _print_json(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, indent=2))
