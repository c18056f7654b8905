"""The models this machine has, and the files each is kept in.

A model folder holds a checkpoint and beside it what was converted from it:

    config.json model.safetensors tokenizer.json lineage.json    the checkpoint: float32 through PyTorch; the weights
                                                                 may be shards under model.safetensors.index.json
    model.onnx                                                   float32 through ONNX Runtime, same weights file
    NAME.q4_0.gguf, NAME.f16.gguf ...                            our own engine (Q4_0), or llama.cpp
    onnx-int4/onnx/model_q4.onnx ...                             int4 through ONNX Runtime; onnx-int8, onnx-float16

The bundled models lie inside the package, read-only; what is converted from them or pulled goes to the user's data
folder. A model is the union of both.
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import platformdirs

from . import checkpoint, engines
from .errors import InvalidCall
from .safetensors_files import refuse_pickles

if TYPE_CHECKING:
    from .tokenizer import Tokenizer

DEFAULT_MODEL = "phi-1-nano"

Format = Literal["safetensors", "onnx", "gguf"]

# Where an ONNX folder has its graph, by quant: float32 beside the checkpoint, others where the Hub's folders have it.
ONNX_GRAPHS = {
    "float32": "model.onnx",
    "float16": "onnx/model_fp16.onnx",
    "int8": "onnx/model_int8.onnx",
    "int4": "onnx/model_q4.onnx",
}

_GGUF_NAME = re.compile(r"\.(?P<quant>[a-z][a-z0-9_]*)\.gguf$", re.IGNORECASE)


@dataclass(frozen=True)
class Artifact:
    """One loadable form of a model: a GGUF file, an ONNX folder, or the checkpoint itself."""

    model: str
    format: Format
    quant: str  # "float32", "int4", "f16", "q8_0", "q4_k_m", "q4_0", ...
    path: Path  # the GGUF file or the folder
    folder: Path  # where config.json and tokenizer.json are

    @property
    def engine(self) -> str:
        """The runtime that loads it, one of `engines.ENGINES`; see `engines.engine_for`."""
        return engines.engine_for(self.format, self.quant)

    @property
    def name(self) -> str:
        """What `--quant` takes: the format and the precision, as in "gguf:q4_0"; "torch:float32" for the checkpoint."""
        return f"{'torch' if self.format == 'safetensors' else self.format}:{self.quant}"

    @property
    def graph(self) -> Path:
        """The file of an ONNX folder that ONNX Runtime opens."""
        name = ONNX_GRAPHS.get(self.quant, "model.onnx")
        return self.path / (name if (self.path / name).is_file() else "model.onnx")

    @property
    def made(self) -> Path:
        """What its lineage file lies beside: the GGUF file, the folder, or the graph beside a checkpoint."""
        return self.path.resolve() / "model.onnx" if self.name == "onnx:float32" else self.path.resolve()

    @property
    def file_bytes(self) -> int:
        """Size on disk in bytes of what this form needs to run, tokenizer and configuration left out.

        Raises:
            InvalidFile: the weights are in shards, and their index is damaged or one is missing.
        """
        if self.format == "gguf":
            return self.path.stat().st_size
        if self.format == "safetensors" or self.quant == "float32":
            names = checkpoint.weights_files(self.path) if checkpoint.has_weights(self.path) else []
            names += ["model.onnx"] if self.format == "onnx" else []
            return sum((self.path / name).stat().st_size for name in names)
        return sum(file.stat().st_size for file in self.graph.parent.glob(f"{self.graph.name}*"))


@dataclass(frozen=True)
class Model:
    """A model this machine has, under its name, with every form of it."""

    name: str
    folder: Path  # of the checkpoint; of the artifact where there is no checkpoint
    artifacts: tuple[Artifact, ...]

    def artifact(self, quant: str | None = None) -> Artifact:
        """The form `quant` names, as "gguf:q4_0" or only "q4_0"; the one to use by default if None.

        Raises:
            InvalidCall: this model has no such form.
        """
        if quant is None:
            return self._default()
        wanted = quant.lower()
        for artifact in sorted(self.artifacts, key=lambda artifact: _PREFERENCE.index(artifact.format)):
            if wanted in (artifact.name, artifact.quant):
                return artifact
        here = ", ".join(artifact.name for artifact in self.artifacts)
        raise InvalidCall(
            f"{self.name} has no form {quant!r}: it has {here}; make another with "
            f"'edge-phi convert {self.name} --to FORMAT:QUANT'"
        )

    def baseline(self) -> Artifact | None:
        """Full precision: the checkpoint through ONNX Runtime where it has that form, else through PyTorch."""
        for format_ in ("onnx", "safetensors"):
            for artifact in self.artifacts:
                if artifact.format == format_ and artifact.quant == "float32":
                    return artifact
        return None

    def _default(self) -> Artifact:
        if not self.artifacts:
            raise InvalidCall(f"{self.name}: {self.folder} holds nothing that can be loaded")
        return min(self.artifacts, key=_last_choice)


def _last_choice(artifact: Artifact) -> tuple[bool, int]:
    """What is to be used by default comes first: quantized, and in the engine that is to be preferred."""
    return artifact.quant == "float32", list(engines.ENGINES).index(artifact.engine)


_PREFERENCE: list[Format] = ["onnx", "gguf", "safetensors"]


def bundled_folder() -> Path:
    """Where the models that come with the package lie."""
    return Path(__file__).parent / "models"


def user_folder() -> Path:
    """Where pulled and converted models are kept; `EDGE_PHI_HOME` moves it."""
    home = os.environ.get("EDGE_PHI_HOME")
    return (Path(home) if home else Path(platformdirs.user_data_dir("edge-phi", appauthor=False))) / "models"


def list_models() -> list[Model]:
    """All models of this machine, by name."""
    names = {
        entry.name
        for root in (bundled_folder(), user_folder())
        if root.is_dir()
        for entry in root.iterdir()
        if entry.is_dir() and not entry.name.startswith(".")
    }
    models = (_stored_model(name) for name in sorted(names))
    return [model for model in models if model.artifacts]


def find_model(name: str | Path = DEFAULT_MODEL) -> Model:
    """The model of that name, or the one at that path: a checkpoint folder, an ONNX folder or a GGUF file.

    Raises:
        InvalidCall: there is no such model; names the nearest one.
        InvalidFile: the folder at that path holds pickled weights and no others.
    """
    path = Path(name)
    if path.suffix.lower() == ".gguf" or path.is_dir() or len(path.parts) > 1:
        return _model_at(path)
    model = _stored_model(str(name))
    if model.artifacts:
        return model
    known = [known.name for known in list_models()]
    near = difflib.get_close_matches(str(name), known, 1)
    hint = f"did you mean {near[0]}?" if near else f"this machine has {', '.join(known) or 'none'}"
    raise InvalidCall(f"unknown model {str(name)!r}: {hint}")


def load_tokenizer_for(artifact: Artifact) -> Tokenizer:
    """The tokenizer of an artifact: its folder's `tokenizer.json`, or what a GGUF file without one says itself.

    Raises:
        InvalidCall: there is none.
        InvalidFile: it is damaged, or of a kind that is not supported.
    """
    from . import gguf_header, gguf_model, tokenizer

    if artifact.format == "gguf" and not (artifact.folder / checkpoint.TOKENIZER_FILE).is_file():
        return gguf_model.read_tokenizer(gguf_header.read_gguf_header(artifact.path))
    return tokenizer.load_tokenizer(artifact.folder)


def _model_at(path: Path) -> Model:
    if not path.exists():
        raise InvalidCall(f"{path}: no such file or folder: give a model's name, its folder or a GGUF file")
    folder = path if path.is_dir() else path.parent
    name = path.resolve().name if path.is_dir() else _GGUF_NAME.sub("", path.name)
    artifacts = tuple(_artifacts(name, [path])) if path.is_dir() else (_gguf_artifact(name, path, folder),)
    if not artifacts:
        refuse_pickles(path)
        raise InvalidCall(f"{path}: holds no model: expected {checkpoint.WEIGHTS_FILE}, model.onnx or a .gguf file")
    return Model(name, folder, artifacts)


def _stored_model(name: str) -> Model:
    folders = [root / name for root in (bundled_folder(), user_folder()) if (root / name).is_dir()]
    with_config = [folder for folder in folders if (folder / checkpoint.CONFIG_FILE).is_file()]
    folder = (with_config or folders or [user_folder() / name])[0]
    return Model(name, folder, tuple(_artifacts(name, folders, folder)))


def _artifacts(name: str, folders: list[Path], home: Path | None = None) -> list[Artifact]:
    """Every form in `folders`, each once; `home` holds the tokenizer for files that have none beside them."""
    found: dict[str, Artifact] = {}
    for folder in folders:
        tokenizer_folder = folder if (folder / checkpoint.TOKENIZER_FILE).is_file() or home is None else home
        here: list[Artifact] = []
        if checkpoint.has_weights(folder):
            here.append(Artifact(name, "safetensors", "float32", folder, folder))
        for onnx in (folder, *sorted(folder.glob("onnx-*/"))):
            here += _onnx_artifacts(name, onnx)
        for gguf in sorted(folder.glob("*.gguf")):
            here.append(_gguf_artifact(name, gguf, tokenizer_folder))
        for artifact in here:
            found.setdefault(artifact.name, artifact)
    return list(found.values())


def _onnx_artifacts(name: str, folder: Path) -> list[Artifact]:
    """The forms whose graph is in an ONNX folder; of a graph at its top the folder's name says which form it is."""
    quants = [quant for quant, graph in ONNX_GRAPHS.items() if (folder / graph).is_file()]
    if "float32" in quants and folder.name.startswith("onnx-"):
        quants[quants.index("float32")] = folder.name.removeprefix("onnx-")
    return [Artifact(name, "onnx", quant, folder, folder) for quant in dict.fromkeys(quants)]


def _gguf_artifact(name: str, path: Path, folder: Path) -> Artifact:
    match = _GGUF_NAME.search(path.name)
    return Artifact(name, "gguf", match["quant"].lower() if match else "gguf", path, folder)
