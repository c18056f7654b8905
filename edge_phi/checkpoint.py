"""The folder a trained model lives in: config.json, model.safetensors, tokenizer.json, lineage.json.

The reader trusts nothing: sizes, offsets and shapes are checked against the file before a byte is used. Weights are
memory-mapped, so that a converter streams them, and a graph may point at their bytes instead of copying them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import InvalidCall, InvalidFile

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
TOKENIZER_FILE = "tokenizer.json"
LINEAGE_FILE = "lineage.json"

_BYTES_PER_ELEMENT = {"F32": 4, "F16": 2, "BF16": 2}
_MAX_HEADER_BYTES = 64 * 2**20


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
    eos_token_id: int = 50256

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
        if not 0 < self.partial_rotary_factor <= 1 or self.rotary_dim % 2:
            raise InvalidFile(
                f"partial_rotary_factor {self.partial_rotary_factor} gives no even rotary width of {self.head_dim}"
            )

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
            raise InvalidFile(f"model_type is {config.get('model_type')!r}: only 'phi' (phi-1, 1.5, 2) is supported")
        heads = config.get("num_attention_heads")
        for key, supported in (
            ("qk_layernorm", (False, None)),
            ("tie_word_embeddings", (False, None)),
            ("hidden_act", ("gelu_new", None)),
            ("num_key_value_heads", (heads, None)),
            ("rope_scaling", (None,)),
        ):
            if config.get(key) not in supported:
                raise InvalidFile(f"{key} is {config[key]!r}: only {supported[0]!r} is supported")
        # Phi's early published configs say bos=1, eos=2, ids that mean something else in their own tokenizer: a reader
        # that believes them never stops.
        eos = config.get("eos_token_id")
        if eos is None or (eos == 2 and config.get("vocab_size") == 51_200):
            eos = 50256
        # transformers 5 nests the rotary parameters.
        rotary = config.get("rope_parameters") or {}
        try:
            return cls(
                vocab_size=config["vocab_size"],
                hidden_size=config["hidden_size"],
                intermediate_size=config["intermediate_size"],
                num_hidden_layers=config["num_hidden_layers"],
                num_attention_heads=config["num_attention_heads"],
                max_position_embeddings=config.get("max_position_embeddings", 2048),
                partial_rotary_factor=float(
                    config.get("partial_rotary_factor", rotary.get("partial_rotary_factor", 0.5))
                ),
                rope_theta=float(config.get("rope_theta", rotary.get("rope_theta", 10_000.0))),
                layer_norm_eps=float(config.get("layer_norm_eps", 1e-5)),
                eos_token_id=int(eos),
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
class StoredTensor:
    """Where one tensor's bytes lie in `model.safetensors`."""

    dtype: str  # F32, F16 or BF16
    shape: tuple[int, ...]
    offset: int  # bytes from the start of the file
    nbytes: int


@dataclass(frozen=True)
class Checkpoint:
    """A checked checkpoint folder; `tensor` reads its weights."""

    folder: Path
    config: PhiConfig
    tensors: dict[str, StoredTensor]

    @property
    def weights_path(self) -> Path:
        """The `model.safetensors` of this folder."""
        return self.folder / WEIGHTS_FILE

    @property
    def dtype(self) -> str:
        """The weights' stored type (that of the embedding): F32, F16 or BF16."""
        return self.tensors["model.embed_tokens.weight"].dtype

    def tensor(self, name: str) -> npt.NDArray[np.float32]:
        """One weight as float32, shape as in `PhiConfig.tensor_shapes`; lossless from F16 and BF16."""
        stored = self.tensors[name]
        raw = self._bytes[stored.offset : stored.offset + stored.nbytes]
        if stored.dtype == "BF16":  # the upper half of a float32
            return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32).reshape(stored.shape)
        return raw.view("<f4" if stored.dtype == "F32" else "<f2").astype(np.float32).reshape(stored.shape)

    @cached_property
    def _bytes(self) -> npt.NDArray[np.uint8]:
        return np.memmap(self.weights_path, dtype=np.uint8, mode="r")


def open_checkpoint(folder: str | Path) -> Checkpoint:
    """Check a checkpoint folder and return it; weights are read on demand.

    Raises:
        InvalidCall: the folder is not there or holds no checkpoint.
        InvalidFile: config.json or model.safetensors is damaged, truncated, or of another architecture.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InvalidCall(f"{folder}: no such folder: give the folder that holds config.json and {WEIGHTS_FILE}")
    config = read_config(folder)
    weights = folder / WEIGHTS_FILE
    if not weights.is_file():
        pickled = sorted(folder.glob("*.bin")) + sorted(folder.glob("*.pt"))
        if pickled:
            raise InvalidFile(f"{pickled[0]}: pickled weights can run code and are not read: save as {WEIGHTS_FILE}")
        raise InvalidCall(f"{folder}: {WEIGHTS_FILE} is missing: give the folder of a trained model")
    tensors = _read_safetensors_header(weights)
    for name, shape in config.tensor_shapes().items():
        if name not in tensors:
            raise InvalidFile(f"{weights}: tensor {name} is missing: the checkpoint is incomplete, get it again")
        if tensors[name].shape != shape:
            raise InvalidFile(
                f"{weights}: tensor {name} has shape {list(tensors[name].shape)}, {CONFIG_FILE} says {list(shape)}"
            )
    return Checkpoint(folder, config, tensors)


def read_config(folder: str | Path) -> PhiConfig:
    """Read `config.json` of a model folder.

    Raises:
        InvalidCall: there is none.
        InvalidFile: it is not a Phi configuration.
    """
    path = Path(folder) / CONFIG_FILE
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InvalidCall(f"{path}: {error.strerror}: give the folder of a trained model") from error
    try:
        config = json.loads(raw)
        if not isinstance(config, dict):
            raise InvalidFile("it holds no JSON object")
        return PhiConfig.from_json(config)
    except (ValueError, RecursionError) as error:
        raise InvalidFile(f"{path}: not readable as JSON ({error}): get the model again") from error
    except InvalidFile as error:
        raise InvalidFile(f"{path}: {error}") from error


def _read_safetensors_header(path: Path) -> dict[str, StoredTensor]:
    """The format is 8 bytes of header length, a JSON header, then the tensors: huggingface.co/docs/safetensors."""
    damaged = f"{path}: damaged or truncated"
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _MAX_HEADER_BYTES):
            raise InvalidFile(f"{damaged} (header of {length} bytes in a file of {size}): get the model again")
        raw = file.read(length)
    try:
        header = json.loads(raw)
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        tensors = {}
        for name, entry in entries.items():
            begin, end = (int(value) for value in entry["data_offsets"])
            shape = tuple(int(value) for value in entry["shape"])
            dtype = str(entry["dtype"])
            if dtype not in _BYTES_PER_ELEMENT:
                raise InvalidFile(f"{path}: tensor {name} is {dtype}: only F32, F16 and BF16 are supported")
            nbytes = math.prod(shape) * _BYTES_PER_ELEMENT[dtype]
            if min(shape, default=0) < 0 or begin < 0 or end - begin != nbytes or 8 + length + end > size:
                raise InvalidFile(f"{damaged} (tensor {name} lies outside the file): get the model again")
            tensors[name] = StoredTensor(dtype, shape, 8 + length + begin, nbytes)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidFile(f"{damaged} (its header is not valid: {error}): get the model again") from error
    return tensors
