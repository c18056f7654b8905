"""What to train, on what, for how long: one TOML file a model, every value overridable as --key=value."""

from __future__ import annotations

import dataclasses
import difflib
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_phi.checkpoint import PhiConfig, read_config
from edge_phi.errors import EdgePhiError, InvalidCall
from edge_phi.store import find_model

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Stage:
    """A part of the run with its own mixture and learning rate."""

    name: str
    share: float  # of all steps
    peak_rate: float
    final_rate: float
    warmup: float  # share of this stage's steps; from 2 on, their number
    mixture: dict[str, float]  # token array -> weight; normalized by the loop


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, besides the data's bytes and the machine's arithmetic."""

    name: str
    model: dict[str, Any]
    data: dict[str, list[str]]  # token array -> the sources in it; "*" takes those that no other array names
    stages: tuple[Stage, ...]
    steps: int  # that the schedule is laid out for
    batch: int  # sequences a step, over all processes
    length: int  # tokens a sequence
    stop: int = 0  # step to end at, before the schedule does; 0: at its end
    micro_batch: int = 0  # sequences that one process takes at once, the rest accumulated; 0: all of its share
    seed: int = 0
    start_from: str = ""  # checkpoint folder, or model of this machine, of the same geometry to begin with
    quantize: str = ""  # "q4_0": compute with weights rounded as a Q4_0 file holds them, see quantize_aware.py
    round_from: str = ""  # Q4_0 file of start_from, or its form as "gguf:q4_0": begin with its codes, keep its scales
    distill: float = 0.0  # share of the loss that is the KL divergence from a teacher's predictions; the rest is text
    teacher: str = ""  # checkpoint folder, or model of this machine, with this tokenizer; start_from if not given
    grow_from: str = ""  # checkpoint folder of a smaller member of the family to begin with, see grow.py
    optimizer: str = "adamw"
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.1
    clip: float = 1.0  # gradient norm
    dropout: float = 0.0  # of attention, residual and embedding
    vocabulary: int = 8192  # of the tokenizer to train, where the data have none
    exercises: int = 30_000  # how many to generate
    quality: float = 1.0  # share of the Python to keep, by its educational value; 1: all, none is judged
    tau: float = 0.8  # match rate of syntax trees from which on a text is too close to a benchmark
    weights: str = "bfloat16"  # as saved
    compile: bool = False  # torch.compile: about a minute at the start, then some 15 % faster; needs a C++ compiler
    validate_every: int = 100  # steps
    save_every: int = 200  # steps
    keep_every: int = 0  # steps; keep a checkpoint of each, the best on held-out text is the result; 0: the last is
    tensorboard: bool = False

    @property
    def last_step(self) -> int:
        """Where the run ends."""
        return self.stop or self.steps

    def config(self, *, vocab_size: int, eos_token_id: int) -> PhiConfig:
        """The model's geometry with its tokenizer's facts.

        Args:
            vocab_size: the tokenizer's; the recipe's own, if it gives one, is that of the padded embedding.
            eos_token_id: of the end of text.

        Raises:
            InvalidCall: the recipe's vocabulary is smaller than the tokenizer's, or its geometry is impossible.
        """
        padded = self.model.get("vocab_size", vocab_size)
        if padded < vocab_size:
            raise InvalidCall(
                f"recipe {self.name}: its vocab_size of {padded} is smaller than the tokenizer's {vocab_size}"
            )
        return PhiConfig(**self.model | {"vocab_size": padded, "eos_token_id": eos_token_id})


def load_recipe(name: str, overrides: dict[str, str] | None = None) -> Recipe:
    """Read a recipe by name or path and apply overrides.

    Raises:
        InvalidCall: no such recipe, an unknown key (the nearest one is named), or a value of the wrong type.
    """
    path = Path(name) if name.endswith(".toml") else Path(__file__).parent / "recipes" / f"{name}.toml"
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        known = sorted(file.stem for file in (Path(__file__).parent / "recipes").glob("*.toml"))
        raise InvalidCall(f"unknown recipe {name!r}: {_nearest(name, known)}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidCall(f"{path}: not readable as a recipe ({error})") from error
    raw |= {key.replace("-", "_"): value for key, value in (overrides or {}).items()}
    try:
        if raw.get("start_from") and not raw.get("grow_from"):
            source = str(raw["start_from"])
            raw["start_from"] = str(_folder_of(source))
            if raw.get("teacher"):
                raw["teacher"] = str(_folder_of(str(raw["teacher"])))
            if "model" not in raw:
                raw["model"] = _model_of(Path(raw["start_from"]))
            if raw.get("round_from"):
                raw["round_from"] = str(_rounded_file(source, str(raw["round_from"])))
        return _validated(_build(raw))
    except EdgePhiError as error:
        raise InvalidCall(f"recipe {name}: {error}") from error


def read_overrides(arguments: list[str]) -> dict[str, str]:
    """What a command line has left over, --KEY=VALUE each, as `load_recipe` takes it.

    Raises:
        InvalidCall: an argument is written otherwise.
    """
    overrides = {}
    for argument in arguments:
        key, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or not equals:
            raise InvalidCall(f"cannot read {argument!r}: write overrides as --key=value")
        overrides[key] = value
    return overrides


def _build(raw: dict[str, Any]) -> Recipe:
    fields = {entry.name: entry for entry in dataclasses.fields(Recipe)}
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in fields:
            raise InvalidCall(f"unknown key {key!r}: {_nearest(key, list(fields))}")
        if key == "stages":
            if not isinstance(value, list):
                raise InvalidCall("stages cannot be set on the command line: copy the recipe's file and edit it")
            if not all(isinstance(stage, dict) for stage in value):
                raise InvalidCall("stages takes tables: write each one under [[stages]]")
            value = tuple(_build_stage(stage) for stage in value)
        elif key in ("model", "data"):
            if not isinstance(value, dict):
                raise InvalidCall(f"{key} cannot be set on the command line: copy the recipe's file and edit it")
            value = _build_model(value) if key == "model" else value
        else:
            value = _convert(key, value, str(fields[key].type))
        values[key] = value
    missing = [
        entry.name for entry in fields.values() if entry.default is dataclasses.MISSING and entry.name not in values
    ]
    if missing:
        remedy = ": give --start-from=CHECKPOINT, whose geometry it then has" if missing[0] == "model" else ""
        raise InvalidCall(f"{missing[0]} is missing{remedy}")
    return Recipe(**values)


def _folder_of(checkpoint: str) -> Path:
    """The folder itself, or that of the model of that name."""
    path = Path(checkpoint)
    return path if len(path.parts) > 1 or path.is_dir() else find_model(checkpoint).folder


def _rounded_file(checkpoint: str, wanted: str) -> Path:
    """The GGUF file itself, or the one of that form that was made of the checkpoint."""
    if wanted.endswith(".gguf"):
        return Path(wanted)
    for artifact in find_model(checkpoint).artifacts:
        if wanted == artifact.name:
            return artifact.path
    raise InvalidCall(
        f"{checkpoint} has no {wanted} whose rounding to begin with: make it with 'edge-phi convert {checkpoint} --to "
        f"{wanted}', or give --round-from= to begin with each weight rounded by itself"
    )


def _model_of(folder: Path) -> dict[str, Any]:
    """The geometry of the checkpoint to begin with, for a recipe that has none of its own."""
    config = dataclasses.asdict(read_config(folder))
    del config["eos_token_id"]
    return config


def _build_stage(raw: dict[str, Any]) -> Stage:
    names = [entry.name for entry in dataclasses.fields(Stage)]
    for key in raw:
        if key not in names:
            raise InvalidCall(f"unknown key {key!r} in a stage: {_nearest(key, names)}")
    missing = [name for name in names if name not in raw]
    if missing:
        raise InvalidCall(f"a stage has no {missing[0]}")
    numbers = {key: _convert(f"a stage's {key}", raw[key], "float") for key in names if key not in ("name", "mixture")}
    if not isinstance(raw["mixture"], dict):
        raise InvalidCall(f"a stage's mixture is {raw['mixture']!r}: it takes {{ NAME = weight }}")
    mixture = {key: _convert(f"the weight of {key}", weight, "float") for key, weight in raw["mixture"].items()}
    return Stage(name=str(raw["name"]), mixture=mixture, **numbers)


def _build_model(raw: dict[str, Any]) -> dict[str, Any]:
    fields = {entry.name: entry for entry in dataclasses.fields(PhiConfig) if entry.name != "eos_token_id"}
    for key in raw:
        if key not in fields:
            raise InvalidCall(f"unknown key {key!r} in model: {_nearest(key, list(fields))}")
    needed = [name for name, entry in fields.items() if entry.default is dataclasses.MISSING and name != "vocab_size"]
    missing = [name for name in needed if name not in raw]
    if missing:
        raise InvalidCall(f"model has no {missing[0]}")
    return {key: _convert(f"model's {key}", value, str(fields[key].type)) for key, value in raw.items()}


def _convert(key: str, value: Any, type_name: str) -> Any:
    """Overrides come as text."""
    converters: dict[str, Callable[[Any], Any]] = {"int": int, "float": float, "str": str, "bool": _boolean}
    try:
        if type_name == "int" and isinstance(value, str):
            value = value.replace(",", "").replace("_", "")
        converted = converters[type_name](value)
        if (type_name == "int" and converted != float(value)) or (
            type_name == "float" and not math.isfinite(converted)
        ):
            raise ValueError
        return converted
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidCall(f"{key} is {value!r}: it takes {_WORD[type_name]}") from error


def _boolean(value: Any) -> bool:
    if value in (True, "true"):
        return True
    if value in (False, "false"):
        return False
    raise ValueError


_WORD = {"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false"}


def _validated(recipe: Recipe) -> Recipe:
    for key in ("steps", "batch", "length", "validate_every", "save_every"):
        if getattr(recipe, key) < 1:
            raise InvalidCall(f"{key} is {getattr(recipe, key)}: it must be at least 1")
    for key in ("stop", "micro_batch", "keep_every"):
        if getattr(recipe, key) < 0:
            raise InvalidCall(f"{key} is {getattr(recipe, key)}: it must be 0 or more")
    if recipe.stop > recipe.steps:
        raise InvalidCall(
            f"stop is {recipe.stop}: the schedule ends at step {recipe.steps}, give --stop=0 to end with it"
        )
    for key in ("dropout", "beta1", "beta2"):
        if not 0 <= getattr(recipe, key) < 1:
            raise InvalidCall(f"{key} is {getattr(recipe, key)}: it must be at least 0 and less than 1")
    if not 0 < recipe.quality <= 1:
        raise InvalidCall(f"quality is {recipe.quality}: it is a share, more than 0 and at most 1")
    if not 0.8 <= recipe.tau <= 1:
        raise InvalidCall(f"tau is {recipe.tau}: it must be from 0.8 to 1")
    for key in ("eps", "clip"):
        if getattr(recipe, key) <= 0:
            raise InvalidCall(f"{key} is {getattr(recipe, key)}: it must be more than 0")
    if recipe.weight_decay < 0:
        raise InvalidCall(f"weight_decay is {recipe.weight_decay}: it must be 0 or more")
    if recipe.start_from and recipe.grow_from:
        raise InvalidCall("start_from and grow_from exclude each other: give one")
    if recipe.quantize not in ("", "q4_0"):
        raise InvalidCall(f"quantize is {recipe.quantize!r}: {_nearest(recipe.quantize, ['q4_0'])}")
    if recipe.round_from and not (recipe.quantize and recipe.start_from):
        raise InvalidCall("round_from is a file of what a quantized run starts from: give quantize and start_from")
    if not 0 <= recipe.distill <= 1:
        raise InvalidCall(f"distill is {recipe.distill}: it is a share of the loss, from 0 to 1")
    if recipe.distill and not (recipe.teacher or recipe.start_from):
        raise InvalidCall("distill learns from a checkpoint: give --teacher=CHECKPOINT")
    context = recipe.model.get("max_position_embeddings", 2048)
    if recipe.length > context:
        raise InvalidCall(f"length is {recipe.length}: the model's context is {context}")
    if recipe.optimizer not in ("adamw", "muon"):
        raise InvalidCall(f"optimizer is {recipe.optimizer!r}: {_nearest(recipe.optimizer, ['adamw', 'muon'])}")
    if recipe.weights not in ("bfloat16", "float32"):
        raise InvalidCall(f"weights is {recipe.weights!r}: {_nearest(recipe.weights, ['bfloat16', 'float32'])}")
    for stage in recipe.stages:
        if min(stage.share, stage.peak_rate, stage.final_rate, stage.warmup, *stage.mixture.values()) < 0:
            raise InvalidCall(f"stage {stage.name} has a number below 0")
        if stage.warmup > 1 and not stage.warmup.is_integer():
            raise InvalidCall(
                f"stage {stage.name}: warmup is {stage.warmup}: it is a share of the stage's steps, at most 1, or their"
                " number"
            )
        if not sum(stage.mixture.values()):
            raise InvalidCall(f"stage {stage.name}: its mixture draws from nothing")
    if abs(sum(stage.share for stage in recipe.stages) - 1) > 1e-6:
        raise InvalidCall("the stages' shares do not add up to 1")
    return recipe


def _nearest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, 1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
