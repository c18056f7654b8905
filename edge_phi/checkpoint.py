"""The folder a trained model lives in: config.json, model.safetensors or its shards, tokenizer.json, lineage.json.

The reader trusts nothing: sizes, offsets and shapes are checked against the files before a byte is used. Weights are
memory-mapped one tensor at a time, so that a converter streams them, and a graph may point at their bytes instead of
copying them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import InvalidCall, InvalidFile
from .safetensors_files import INDEX_FILE, WEIGHTS_FILE, StoredTensor, has_weights, read_tensors, weights_files

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "CONFIG_FILE",
    "INDEX_FILE",
    "LINEAGE_FILE",
    "TOKENIZER_FILE",
    "WEIGHTS_FILE",
    "Checkpoint",
    "PhiConfig",
    "StoredTensor",
    "has_weights",
    "open_checkpoint",
    "read_config",
    "weights_files",
]

CONFIG_FILE = "config.json"
TOKENIZER_FILE = "tokenizer.json"
LINEAGE_FILE = "lineage.json"

_PHI_END_OF_TEXT = 50256  # of the tokenizer of phi-1, phi-1.5 and phi-2
_PHI_WORDS = 51_200


@dataclass(frozen=True)
class PhiConfig:
    """Geometry of a Phi model, with the names of Hugging Face's `PhiForCausalLM` configuration."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int = 2048
    partial_rotary_factor: float = 0.5
    rope_theta: float = 10_000.0
    layer_norm_eps: float = 1e-5
    eos_token_id: int = _PHI_END_OF_TEXT

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
                     "num_attention_heads", "max_position_embeddings"):  # fmt: skip
            value = getattr(self, name)
            if not isinstance(value, int) or not 0 < value <= 2**24:
                raise InvalidFile(f"{name} is {value!r}: it must be a whole number from 1 to {2**24}")
        if self.hidden_size % self.num_attention_heads:
            raise InvalidFile(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}"
            )
        if not 0 < self.partial_rotary_factor <= 1 or self.rotary_dim % 2 or not self.rotary_dim:
            raise InvalidFile(
                f"partial_rotary_factor {self.partial_rotary_factor} gives no even rotary width of {self.head_dim}"
            )
        for name in ("rope_theta", "layer_norm_eps"):
            if not 0 < getattr(self, name) < math.inf:
                raise InvalidFile(f"{name} is {getattr(self, name)}: it must be a number above 0")

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def rotary_dim(self) -> int:
        """How many of a head's first dimensions are rotated."""
        return int(self.partial_rotary_factor * self.head_dim)

    def to_json(self) -> dict[str, Any]:
        """The `config.json` that transformers reads as a `PhiForCausalLM`."""
        return {
            "architectures": ["PhiForCausalLM"],
            "model_type": "phi",
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_attention_heads,
            "max_position_embeddings": self.max_position_embeddings,
            "partial_rotary_factor": self.partial_rotary_factor,
            "rope_theta": self.rope_theta,
            "layer_norm_eps": self.layer_norm_eps,
            "hidden_act": "gelu_new",
            "attention_dropout": 0.0,
            "embd_pdrop": 0.0,
            "resid_pdrop": 0.0,
            "qk_layernorm": False,
            "tie_word_embeddings": False,
            "bos_token_id": self.eos_token_id,
            "eos_token_id": self.eos_token_id,
        }

    @classmethod
    def from_json(cls, config: dict[str, Any]) -> PhiConfig:
        """Read a `config.json` as transformers writes it.

        Raises:
            InvalidFile: another architecture, an unsupported variant, or a missing or impossible number.
        """
        if config.get("model_type") != "phi":
            raise InvalidFile(
                f"model_type is {_short(config.get('model_type'))}: only 'phi' (phi-1, 1.5, 2) is supported"
            )
        heads = config.get("num_attention_heads")
        for key, supported in (
            ("architectures", (["PhiForCausalLM"], None)),
            ("quantization_config", (None,)),
            ("qk_layernorm", (False, None)),
            ("tie_word_embeddings", (False, None)),
            ("hidden_act", ("gelu_new", None)),
            ("num_key_value_heads", (heads, None)),
        ):
            if config.get(key) not in supported:
                raise InvalidFile(f"{key} is {_short(config[key])}: only {supported[0]!r} is supported")
        try:
            rotary = _rotary(config)
            return cls(
                vocab_size=config["vocab_size"],
                hidden_size=config["hidden_size"],
                intermediate_size=config["intermediate_size"],
                num_hidden_layers=config["num_hidden_layers"],
                num_attention_heads=config["num_attention_heads"],
                max_position_embeddings=config.get("max_position_embeddings", 2048),
                partial_rotary_factor=float(rotary["partial_rotary_factor"]),
                rope_theta=float(rotary["rope_theta"]),
                layer_norm_eps=float(config.get("layer_norm_eps", 1e-5)),
                eos_token_id=_end_of_text(config),
            )
        except KeyError as error:
            raise InvalidFile(f"{error.args[0]} is missing") from error
        except (TypeError, ValueError) as error:
            raise InvalidFile(f"a value has the wrong type ({error})") from error

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Every weight's name and shape, in the order of the forward pass."""
        width, inner, words = self.hidden_size, self.intermediate_size, self.vocab_size
        shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (words, width)}
        for layer in range(self.num_hidden_layers):
            prefix = f"model.layers.{layer}."
            shapes[f"{prefix}input_layernorm.weight"] = (width,)
            shapes[f"{prefix}input_layernorm.bias"] = (width,)
            for projection in ("q_proj", "k_proj", "v_proj", "dense"):
                shapes[f"{prefix}self_attn.{projection}.weight"] = (width, width)
                shapes[f"{prefix}self_attn.{projection}.bias"] = (width,)
            shapes[f"{prefix}mlp.fc1.weight"] = (inner, width)
            shapes[f"{prefix}mlp.fc1.bias"] = (inner,)
            shapes[f"{prefix}mlp.fc2.weight"] = (width, inner)
            shapes[f"{prefix}mlp.fc2.bias"] = (width,)
        shapes["model.final_layernorm.weight"] = (width,)
        shapes["model.final_layernorm.bias"] = (width,)
        shapes["lm_head.weight"] = (words, width)
        shapes["lm_head.bias"] = (words,)
        return shapes

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(math.prod(shape) for shape in self.tensor_shapes().values())


@dataclass(frozen=True)
class Checkpoint:
    """A checked checkpoint folder; `tensor` reads its weights."""

    folder: Path
    config: PhiConfig
    tensors: dict[str, StoredTensor]
    notes: tuple[str, ...] = ()  # what was read other than it is written, one line each

    @property
    def dtype(self) -> str:
        """The weights' stored type (that of the embedding): F32, F16 or BF16."""
        return self.tensors["model.embed_tokens.weight"].dtype

    def path_of(self, name: str) -> Path:
        """The file that holds a weight."""
        return self.folder / self.tensors[name].file

    def tensor(self, name: str) -> npt.NDArray[np.float32]:
        """One weight as float32, shape as in `PhiConfig.tensor_shapes`; lossless from F16 and BF16.

        Raises:
            InvalidFile: a value is not a finite number, or the file has become shorter.
        """
        return self.rows(name, 0, self.tensors[name].shape[0])

    def rows(self, name: str, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Rows `start` to `stop` of a weight as float32; see `tensor`.

        The file is mapped only while this reads it, so what was read does not count as this process's memory.

        Raises:
            InvalidFile: a value is not a finite number, or the file has become shorter.
        """
        import numpy as np  # only here: who lists models, or draws an editor's first frame, should not wait for it

        stored = self.tensors[name]
        type_ = np.dtype({"F32": "<f4", "F16": "<f2", "BF16": "<u2"}[stored.dtype])
        shape = (stop - start, *stored.shape[1:])
        offset = stored.offset + start * math.prod(stored.shape[1:]) * type_.itemsize
        try:
            raw = np.memmap(self.path_of(name), dtype=type_, mode="r", offset=offset, shape=shape)
        except (OSError, ValueError) as error:
            raise InvalidFile(f"{self.path_of(name)}: changed since it was opened ({error}): try again") from error
        if stored.dtype == "BF16":  # the upper half of a float32
            bits = raw.astype(np.uint32)
            bits <<= 16
            values: npt.NDArray[np.float32] = np.asarray(bits).view(np.float32)
        else:
            values = np.asarray(raw.astype(np.float32))
        if not (np.isfinite(values.min()) and np.isfinite(values.max())):  # both are NaN where one value is
            raise InvalidFile(
                f"{self.path_of(name)}: tensor {name} holds values that are not finite: the model is broken"
            )
        return values


def open_checkpoint(folder: str | Path) -> Checkpoint:
    """Check a checkpoint folder and return it; weights are read on demand.

    Raises:
        InvalidCall: the folder is not there or holds no checkpoint.
        InvalidFile: config.json or a file of weights is damaged, truncated, pickled, or of another architecture.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InvalidCall(f"{folder}: no such folder: give the folder that holds {CONFIG_FILE} and the weights")
    config = read_config(folder)
    tensors = read_tensors(folder)
    weights = folder / weights_files(folder)[0]
    if config.num_hidden_layers > len(tensors):
        raise InvalidFile(
            f"{weights}: {len(tensors)} tensors, {CONFIG_FILE} says {config.num_hidden_layers} layers: "
            "the checkpoint is incomplete, get it again"
        )
    for name, shape in config.tensor_shapes().items():
        if name not in tensors:
            raise InvalidFile(f"{weights}: tensor {name} is missing: the checkpoint is incomplete, get it again")
        if tensors[name].shape != shape:
            raise InvalidFile(
                f"{folder / tensors[name].file}: tensor {name} has shape {list(tensors[name].shape)}, "
                f"{CONFIG_FILE} says {list(shape)}"
            )
    return Checkpoint(folder, config, tensors, _notes(folder / CONFIG_FILE, config))


def read_config(folder: str | Path) -> PhiConfig:
    """Read `config.json` of a model folder.

    Raises:
        InvalidCall: there is none.
        InvalidFile: it is not a Phi configuration.
    """
    path = Path(folder) / CONFIG_FILE
    config = _read_json(path)
    try:
        return PhiConfig.from_json(config)
    except InvalidFile as error:
        raise InvalidFile(f"{path}: {error}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidCall(f"{path}: {error.strerror}: give the folder of a trained model") from error
    except (ValueError, RecursionError) as error:
        raise InvalidFile(f"{path}: not readable as JSON ({error}): get the model again") from error
    if not isinstance(config, dict):
        raise InvalidFile(f"{path}: it holds no JSON object: get the model again")
    return config


def _notes(path: Path, config: PhiConfig) -> tuple[str, ...]:
    said = _read_json(path).get("eos_token_id")
    if said in (config.eos_token_id, [config.eos_token_id]):
        return ()
    given = "eos_token_id is not given" if said is None else f"eos_token_id {said} is that of early Phi configurations"
    return (f"{path}: {given}, its tokenizer ends texts with {config.eos_token_id}, which is used instead",)


def _end_of_text(config: dict[str, Any]) -> int:
    # Phi's early published configs say bos=1, eos=2, ids that mean something else in their own tokenizer: a reader that
    # believes them never stops. Later ones of phi-1 and phi-1.5 say nothing.
    eos, words = config.get("eos_token_id"), config["vocab_size"]
    if isinstance(eos, list) and len(eos) == 1:
        eos = eos[0]
    if words == _PHI_WORDS and eos in (None, 2):
        return _PHI_END_OF_TEXT
    if type(eos) is not int or not 0 <= eos < words:
        raise InvalidFile(f"eos_token_id is {_short(eos)}: it must be one of the {words} ids of the vocabulary")
    return eos


def _rotary(config: dict[str, Any]) -> dict[str, Any]:
    """Rotary parameters by name. transformers 5 nests them, and what is nested counts there before what is not."""
    nested = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(nested, dict):
        raise InvalidFile(f"rope_parameters is {_short(nested)}: it must be a JSON object")
    kind = nested.get("rope_type", nested.get("type", "default"))
    if kind != "default":
        raise InvalidFile(f"rope_type is {_short(kind)}: only 'default' is supported")
    return {"partial_rotary_factor": 0.5, "rope_theta": 10_000.0, **config, **nested}


def _short(value: object) -> str:
    return repr(value)[:80]
