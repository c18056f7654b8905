"""`edge-phi convert`: a checkpoint to the forms that laptops and phones run, each with its lineage beside it."""

from __future__ import annotations

import contextlib
import difflib
import sys
from pathlib import Path
from typing import Annotated

import typer

from edge_phi.checkpoint import WEIGHTS_FILE, open_checkpoint, weights_files
from edge_phi.errors import EdgePhiError, InvalidCall
from edge_phi.lineage import lineage_path, trace, write_lineage
from edge_phi.safetensors_files import refuse_pickles
from edge_phi.store import Model, find_model, user_folder

SHIPPED = ("onnx:float32", "onnx:int4", "gguf:f16", "gguf:q8_0", "gguf:q4_k_m", "gguf:q4_0")  # what `all` means
FORMS = (*SHIPPED, "gguf:f32")


def convert(
    model: Annotated[str, typer.Argument(help="A model's name, or the folder of a trained model.")],
    to: Annotated[
        list[str],
        typer.Option(help=f"What to make: {', '.join(FORMS)}, or all. May be given several times, or with commas."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the results; the model's own, or for a bundled model yours, if not given."),
    ] = None,
) -> None:
    """Quantize a trained model to GGUF (llama.cpp) and ONNX; prints the path of each file or folder made."""
    forms = _forms(to)
    found = find_model(model)
    checkpoint = _checkpoint_folder(found)
    opened = open_checkpoint(checkpoint)  # a damaged one ends here, before anything is made
    for note in opened.notes:
        print(note, file=sys.stderr, flush=True)
    if out is None:
        out = checkpoint if checkpoint == Path(model) else user_folder() / found.name
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgePhiError(f"{out}: cannot be made ({error.strerror}): give another --out") from error
    for form in forms:
        print(f"{found.name}: making {form}", file=sys.stderr, flush=True)
        print(_make(form, found.name, checkpoint, out), flush=True)


def _forms(wanted: list[str]) -> list[str]:
    """What was asked for, each once, in the order given."""
    names = [name.strip().lower() for option in wanted for name in option.split(",") if name.strip()]
    if not names:
        raise InvalidCall(f"--to names nothing to make: choose from {', '.join(FORMS)}, all")
    forms: list[str] = []
    for name in names:
        if name not in (*FORMS, "all"):
            raise InvalidCall(f"cannot make {name!r}: did you mean {_nearest(name)}?")
        forms += SHIPPED if name == "all" else (name,)
    return list(dict.fromkeys(forms))


def _nearest(name: str) -> str:
    def likeness(form: str) -> float:
        return max(difflib.SequenceMatcher(None, name, text).ratio() for text in (form, form.partition(":")[2]))

    return max(FORMS, key=likeness)


def _checkpoint_folder(model: Model) -> Path:
    for artifact in model.artifacts:
        if artifact.format == "safetensors":
            return artifact.path
    refuse_pickles(model.folder)
    raise InvalidCall(f"{model.name}: {model.folder} holds no {WEIGHTS_FILE} to convert from")


def _make(form: str, name: str, checkpoint: Path, out: Path) -> Path:
    """Make one form in the layout of `edge_phi.store` and return its file or folder."""
    format_, _, quant = form.partition(":")
    if form == "onnx:float32":
        artifact = out / "model.onnx"
    else:
        artifact = out / (f"onnx-{quant}" if format_ == "onnx" else f"{name}.{quant}.gguf")
    with contextlib.suppress(OSError):  # a folder that cannot be written to is reported below
        lineage_path(artifact).unlink(missing_ok=True)  # an earlier artifact's, not true of what comes now
    packages, arguments = ["edge-phi", "numpy"], {}
    if format_ == "onnx":
        from .onnx import export_onnx

        export_onnx(checkpoint, quant, out if quant == "float32" else artifact)
        packages.append("onnx")
    else:
        from .gguf import export_gguf, uses_quantizer

        arguments = export_gguf(checkpoint, quant, artifact)
        packages.append("gguf")
        if uses_quantizer(quant):
            packages.append("llama-cpp-python")
    if artifact.is_dir():
        files = [file for file in artifact.rglob("*") if file.is_file()]
    else:
        weights = weights_files(checkpoint) if form == "onnx:float32" else []
        files = [artifact, *(out / name for name in weights)]
    lineage = trace(files, checkpoint, form=form, arguments=arguments, packages=packages, beside=out)
    write_lineage(lineage, artifact)
    return artifact
