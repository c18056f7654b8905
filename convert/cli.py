"""`edge-phi convert`: a checkpoint to the forms that laptops and phones run, each with its lineage beside it."""

from __future__ import annotations

import contextlib
import difflib
import re
import sys
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from edge_phi.checkpoint import WEIGHTS_FILE, Checkpoint, open_checkpoint, weights_files
from edge_phi.cores import usable_cores
from edge_phi.errors import EdgePhiError, InvalidCall
from edge_phi.lineage import lineage_path, trace, write_lineage
from edge_phi.measure.machine import this_machine
from edge_phi.measure.progress import progress_on_stderr
from edge_phi.safetensors_files import refuse_pickles
from edge_phi.store import ONNX_GRAPHS, Model, find_model, user_folder

from .calibration import Calibration, load_calibration
from .foreign import PHI, architecture_of, export_by_optimum, quantize_gguf
from .gguf import export_gguf, uses_quantizer
from .imatrix import Imatrix, export_imatrix, read_imatrix
from .mixture import FILE_TYPES
from .walk import Working

SHIPPED = ("onnx:float32", "onnx:int4", "gguf:f16", "gguf:q8_0", "gguf:q4_k_m", "gguf:q4_0")  # what `all` means
IMATRIX = "imatrix"
FORMS = (*(f"onnx:{quant}" for quant in ONNX_GRAPHS), *(f"gguf:{quant}" for quant in FILE_TYPES), IMATRIX)

_MIXED = re.compile(r"gguf:mix(\d{1,6}(?:_\d{1,3})?)(mb|gb)")  # types for each tensor, within a size


@dataclass(frozen=True)
class _Rounding:
    """What beside the weights decides what they are rounded to; at most one is given."""

    calibration: Calibration | None = None
    imatrix: Imatrix | None = None


def convert(
    model: Annotated[str, typer.Argument(help="A model's name, the folder of a trained model, or a GGUF file.")],
    to: Annotated[
        Optional[list[str]],  # noqa: UP045  evaluated by Typer on Python 3.10 too
        typer.Option(help=f"What to make: {', '.join(FORMS)}, or all. May be given several times, or with commas."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the results; the model's own, or for a bundled model yours, if not given."),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|none",
            help="Text like what the model will be used for, to fit the rounding to; edge-phi's own if not given. "
            "With none, weights are rounded each by itself, as llama-quantize does: faster, less exact.",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="A GGUF file of at most that size, as 700MB: each tensor gets its own type."),
    ] = None,
    imatrix: Annotated[
        Path | None,
        typer.Option(help="For GGUF: round as llama-quantize does, weighed by this importance matrix."),
    ] = None,
) -> None:
    """Quantize a trained model to GGUF (llama.cpp) and ONNX; prints the path of each file or folder made.

    A GGUF file of any architecture is quantized by llama.cpp as it does it, a folder of another architecture than Phi
    exported by optimum in float32.
    """
    if imatrix is not None and calibration is not None:
        raise InvalidCall("--imatrix and --calibration are two ways of rounding: give one")
    forms = _forms([*(to or []), *([] if budget is None else [_mixed(budget)])])
    found = find_model(model)
    if _is_foreign(found):
        make = partial(_make_foreign, found)
        folder = found.folder
    else:
        folder = _checkpoint_folder(found)
        opened = open_checkpoint(folder)  # a damaged one ends here, before anything is made
        for note in opened.notes:
            print(note, file=sys.stderr, flush=True)
        rounding = _rounding(opened, forms, calibration, imatrix)
        make = partial(_make, name=found.name, checkpoint=folder, rounding=rounding)
    if out is None:
        by_path = folder.resolve() == Path(model).resolve() or found.artifacts[0].path == Path(model)
        out = folder if by_path else user_folder() / found.name
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgePhiError(f"{out}: cannot be made ({error.strerror}): give another --out") from error
    for form in forms:
        print(f"{found.name}: making {form}", file=sys.stderr, flush=True)
        with progress_on_stderr() as progress:
            made = make(form, out=out, working=progress.working)
        print(made, flush=True)


def _forms(wanted: list[str]) -> list[str]:
    """What was asked for, each once, in the order given."""
    names = [name.strip().lower() for option in wanted for name in option.split(",") if name.strip()]
    if not names:
        raise InvalidCall(f"--to names nothing to make: choose from {', '.join(FORMS)}, all")
    forms: list[str] = []
    for name in names:
        if name not in (*FORMS, "all") and not _MIXED.fullmatch(name):
            raise InvalidCall(f"cannot make {name!r}: did you mean {_nearest(name)}?")
        forms += SHIPPED if name == "all" else (name,)
    return list(dict.fromkeys(forms))


def _mixed(size: str) -> str:
    """The form of at most that size: "700 MB" -> "gguf:mix700mb"."""
    form = f"gguf:mix{size.strip().lower().replace(' ', '').replace('.', '_')}"
    if not _MIXED.fullmatch(form):
        raise InvalidCall(f"--budget {size}: give a number and MB or GB, as in 700MB")
    return form


def _budget_bytes(form: str) -> int | None:
    """How many bytes a form may have: "gguf:mix700mb" -> 700,000,000; None if it says nothing about that."""
    match = _MIXED.fullmatch(form)
    return int(Decimal(match[1].replace("_", ".")) * {"mb": 10**6, "gb": 10**9}[match[2]]) if match else None


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


def _is_foreign(model: Model) -> bool:
    """Whether it is nothing but a GGUF file, or a folder of another architecture."""
    if any(artifact.format == "safetensors" for artifact in model.artifacts):
        return architecture_of(model.folder) not in ("", PHI)
    return bool(model.artifacts) and all(artifact.format == "gguf" for artifact in model.artifacts)


def _rounding(checkpoint: Checkpoint, forms: list[str], calibration: str | None, imatrix: Path | None) -> _Rounding:
    if imatrix is not None:
        others = [form for form in forms if not form.startswith("gguf:")]
        if others:
            raise InvalidCall(f"--imatrix is for GGUF, not for {others[0]}: leave one of them out")
        return _Rounding(imatrix=read_imatrix(imatrix, checkpoint))
    if not any(map(_uses_calibration, forms)):
        return _Rounding()
    if calibration == "none":
        if IMATRIX in forms:
            raise InvalidCall("an importance matrix is computed from text: leave out --calibration none")
        return _Rounding()
    return _Rounding(load_calibration(checkpoint, None if calibration is None else Path(calibration)))


def _uses_calibration(form: str) -> bool:
    format_ = form.partition(":")[0]
    # llama.cpp rounds Q8_0 the same way whatever matters: a pass over the text would be in vain.
    return form in (IMATRIX, "onnx:int4") or (format_ == "gguf" and form != "gguf:q8_0" and _is_rounded(form))


def _is_rounded(form: str) -> bool:
    """Whether llama.cpp's block formats make a GGUF form."""
    return _budget_bytes(form) is not None or uses_quantizer(form.partition(":")[2])


def _make(form: str, *, name: str, checkpoint: Path, rounding: _Rounding, out: Path, working: Working) -> Path:
    """Make one form in the layout of `edge_phi.store` and return its file or folder."""
    format_, _, quant = form.partition(":")
    if form == "onnx:float32":
        artifact = out / "model.onnx"
    else:
        artifact = out / {"onnx": f"onnx-{quant}", "gguf": f"{name}.{quant}.gguf", IMATRIX: f"{name}.imatrix"}[format_]
    _forget_lineage(artifact)
    packages = ["edge-phi", "numpy"]
    arguments = _arguments(form, rounding)
    calibration = rounding.calibration if _uses_calibration(form) else None
    if format_ == "onnx":
        from .onnx import export_onnx

        folder = out if quant == "float32" else artifact
        export_onnx(checkpoint, quant, folder, calibration=calibration, working=working)
        packages.append("onnx")
    elif form == IMATRIX:
        assert calibration is not None
        export_imatrix(checkpoint, artifact, calibration, working)
        packages.append("gguf")
    else:
        budget_bytes = _budget_bytes(form)
        types = export_gguf(
            checkpoint,
            quant,
            artifact,
            calibration=calibration,
            imatrix=rounding.imatrix,
            budget_bytes=budget_bytes,
            working=working,
        )
        packages.append("gguf")
        if budget_bytes is not None:
            arguments["types"] = types
        if _is_rounded(form):
            packages.append("llama-cpp-python")
    if artifact.is_dir():
        files = [file for file in artifact.rglob("*") if file.is_file()]
    else:
        weights = weights_files(checkpoint) if form == "onnx:float32" else []
        files = [artifact, *(out / name for name in weights)]
    lineage = trace(files, checkpoint, form=form, arguments=arguments, packages=packages, beside=out)
    write_lineage(lineage, artifact)
    return artifact


def _arguments(form: str, rounding: _Rounding) -> dict[str, Any]:
    """What beside the checkpoint decides the bytes of a form, for its lineage."""
    if rounding.calibration is not None and _uses_calibration(form):
        # The processor is named because sums of float32, and with them some roundings, depend on it.
        return {
            "method": "importance" if form == IMATRIX else "compensated",
            "calibration": rounding.calibration.name,
            "calibration_sha256": rounding.calibration.sha256,
            "calibration_tokens": int(rounding.calibration.tokens.size),
            "processor": this_machine().cpu,
            "threads": usable_cores(),
        }
    if rounding.imatrix is not None and _is_rounded(form):
        imatrix = rounding.imatrix
        return {"method": "importance", "imatrix": imatrix.dataset, "imatrix_sha256": imatrix.digest}
    return {"method": "plain"} if form == "onnx:int4" or form.startswith("gguf:") else {}


def _make_foreign(model: Model, form: str, *, out: Path, working: Working) -> Path:
    """Let llama.cpp or optimum make one form of what is no checkpoint of ours.

    They are not asked how far they are.

    Raises:
        InvalidCall: neither makes it from this.
    """
    quant = form.partition(":")[2]
    (source,) = [artifact for artifact in model.artifacts if artifact.format in ("safetensors", "gguf")][:1]
    if source.format == "gguf" and quant in FILE_TYPES and uses_quantizer(quant):
        artifact = out / f"{model.name}.{quant}.gguf"
        if artifact.exists() and artifact.samefile(source.path):
            raise InvalidCall(f"{artifact}: is what would be converted: give another --out")
        _forget_lineage(artifact)
        quantize_gguf(source.path, FILE_TYPES[quant].number, artifact)
        files, packages = [artifact], ["edge-phi", "llama-cpp-python"]
    elif source.format == "safetensors" and form == "onnx:float32":
        artifact = out / "onnx-float32"
        _forget_lineage(artifact)
        export_by_optimum(source.path, artifact)
        files = [file for file in artifact.rglob("*") if file.is_file()]
        packages = ["edge-phi", "optimum-onnx", "onnx", "torch", "transformers"]
    elif source.format == "gguf":
        raise InvalidCall(
            f"{source.path}: a GGUF file is only made smaller, to gguf:q4_k_m and the like, not to {form}"
        )
    else:
        architecture = architecture_of(source.path)
        raise InvalidCall(
            f"{source.path}: {architecture} is no Phi and cannot be made {form}: --to onnx:float32 exports it; "
            "for GGUF use llama.cpp's convert_hf_to_gguf.py, then give the file it makes"
        )
    lineage = trace(files, source.path, form=form, arguments={"method": "plain"}, packages=packages, beside=out)
    write_lineage(lineage, artifact)
    return artifact


def _forget_lineage(artifact: Path) -> None:
    """Remove an earlier artifact's lineage: it is not true of what comes now."""
    with contextlib.suppress(OSError):  # a folder that cannot be written to is reported by what writes to it
        lineage_path(artifact).unlink(missing_ok=True)
