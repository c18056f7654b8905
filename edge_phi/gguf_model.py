"""A Phi model as a GGUF file spells it: architecture `phi2`, its geometry, its tensors, its tokenizer.

Loaders and engines believe a file once it is open: some divide by its head count, index by its array lengths, or abort
the whole process over a tensor of the wrong type. What they would believe is checked here first.
"""

from __future__ import annotations

import math

from tokenizers import AddedToken, decoders, pre_tokenizers
from tokenizers import Tokenizer as _Engine
from tokenizers.models import BPE

from .checkpoint import PhiConfig
from .errors import InvalidFile
from .gguf_header import GgufHeader, Scalar
from .tokenizer import Tokenizer

ARCHITECTURE = "phi2"

_KNOWN_KEYS = {
    "context_length", "embedding_length", "feed_forward_length", "block_count", "vocab_size",
    "attention.head_count", "attention.head_count_kv", "attention.layer_norm_epsilon",
    "rope.dimension_count", "rope.freq_base",
}  # fmt: skip
_NOT_WEIGHTS = {"I8", "I16", "I32", "I64", "F64"}

# llama.cpp's names for GPT-2's pre-tokenizer; files older than the key have none.
_GPT2_PRE_TOKENIZERS = ("gpt-2", "phi-2", None)
_CONTROL, _USER_DEFINED, _UNUSED = 3, 4, 5  # token types of the GGUF format; the others are plain words


def read_config(header: GgufHeader) -> PhiConfig:
    """The geometry of the Phi model in this file, after checking that its tensors have it.

    Raises:
        InvalidFile: another architecture, a variant no engine here computes, or a tensor missing or misshapen.
    """
    if header.architecture != ARCHITECTURE:
        raise InvalidFile(
            f"{header.path}: architecture {header.architecture[:40]!r}: only {ARCHITECTURE!r} "
            "(phi-1, phi-1.5, phi-2) is supported"
        )
    _check_whole(header)
    for key in header.metadata:
        if key.startswith(f"{ARCHITECTURE}.") and key.removeprefix(f"{ARCHITECTURE}.") not in _KNOWN_KEYS:
            raise InvalidFile(f"{header.path}: {key[:80]!r} is a variant of Phi that is not supported")
    config = _config(header)
    for name, shape in tensor_shapes(config).items():
        tensor = header.tensors.get(name)
        if tensor is None:
            raise InvalidFile(f"{header.path}: tensor {name} is missing: get the model again")
        if tensor.shape != shape:
            raise InvalidFile(
                f"{header.path}: tensor {name} has shape {list(tensor.shape)}, its metadata says {list(shape)}"
            )
        if tensor.type in _NOT_WEIGHTS or (len(shape) == 1 and tensor.type != "F32"):
            raise InvalidFile(f"{header.path}: tensor {name} is {tensor.type}: no engine computes with that")
    return config


def read_geometry(header: GgufHeader) -> tuple[int, int]:
    """Words of the vocabulary and tokens of context of the model in this file, of whatever architecture.

    Only Phi is checked tensor by tensor, as `read_config` says; of another architecture little more is known than that
    the file is whole, and the engine's own checks are what is left.

    Raises:
        InvalidFile: it does not say, or as `read_config`.
    """
    if header.architecture == ARCHITECTURE:
        config = read_config(header)
        return config.vocab_size, config.max_position_embeddings
    _check_whole(header)
    embedding = header.tensors.get("token_embd.weight")
    context = header.metadata.get(f"{header.architecture}.context_length")
    if embedding is None or len(embedding.shape) != 2 or not isinstance(context, int) or context < 1:
        raise InvalidFile(f"{header.path}: architecture {header.architecture[:40]!r}: not a model that writes text")
    return embedding.shape[0], context


def tensor_shapes(config: PhiConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor's GGUF name and shape (numpy's order); q, k and v are one fused tensor, in that order."""
    width, inner, words = config.hidden_size, config.intermediate_size, config.vocab_size
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (words, width)}
    for layer in range(config.num_hidden_layers):
        for name, rows, columns in (
            ("attn_qkv", 3 * width, width),
            ("attn_output", width, width),
            ("ffn_up", inner, width),
            ("ffn_down", width, inner),
        ):
            shapes[f"blk.{layer}.{name}.weight"] = (rows, columns)
            shapes[f"blk.{layer}.{name}.bias"] = (rows,)
        shapes[f"blk.{layer}.attn_norm.weight"] = (width,)
        shapes[f"blk.{layer}.attn_norm.bias"] = (width,)
    shapes["output_norm.weight"] = shapes["output_norm.bias"] = (width,)
    shapes["output.weight"] = (words, width)
    shapes["output.bias"] = (words,)
    return shapes


def read_tokenizer(header: GgufHeader) -> Tokenizer:
    """Build the tokenizer from the file's own metadata: equal to the `tokenizer.json` it was made from.

    Raises:
        InvalidFile: there is none, it is of another kind than GPT-2's, or its tables do not fit together.
    """
    kind, pre = header.metadata.get("tokenizer.ggml.model"), header.metadata.get("tokenizer.ggml.pre")
    if kind != "gpt2" or pre not in _GPT2_PRE_TOKENIZERS:
        name = f"{kind}/{pre}"[:80]
        raise InvalidFile(
            f"{header.path}: tokenizer {name!r}: only GPT-2's byte-level BPE is read from a GGUF file; "
            "put the model's tokenizer.json beside it"
        )
    words = _texts(header, "tokenizer.ggml.tokens")
    types = header.metadata.get("tokenizer.ggml.token_type", (1,) * len(words))
    if not isinstance(types, tuple) or len(types) != len(words):
        raise _broken(header, "tokenizer.ggml.token_type")
    vocabulary = {word: id_ for id_, (word, type_) in enumerate(zip(words, types, strict=True)) if type_ != _UNUSED}
    if len(vocabulary) != len(words) - types.count(_UNUSED):
        raise InvalidFile(f"{header.path}: a word comes twice in its vocabulary: get the model again")
    merges = [tuple(merge.split(" ")) for merge in _texts(header, "tokenizer.ggml.merges")]
    try:
        engine = _Engine(BPE(vocab=vocabulary, merges=merges))
        engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        engine.decoder = decoders.ByteLevel()
        engine.add_special_tokens(_added(words, types, _CONTROL))
        engine.add_tokens(_added(words, types, _USER_DEFINED))
    except Exception as error:  # the engine raises bare Exception
        raise InvalidFile(f"{header.path}: its tokenizer is damaged ({error}): get the model again") from error
    return Tokenizer(engine)


def _check_whole(header: GgufHeader) -> None:
    if header.metadata.get("split.count", 1) != 1:
        raise InvalidFile(f"{header.path}: one part of a split model: join its parts first")


def _added(words: tuple[str, ...], types: tuple[Scalar, ...], wanted: int) -> list[AddedToken]:
    return [
        AddedToken(word, special=wanted == _CONTROL, normalized=False)
        for word, type_ in zip(words, types, strict=True)
        if type_ == wanted
    ]


def _config(header: GgufHeader) -> PhiConfig:
    embedding = header.tensors.get("token_embd.weight")
    if embedding is None:
        raise InvalidFile(f"{header.path}: tensor token_embd.weight is missing: get the model again")
    heads = _whole(header, "attention.head_count")
    width = _whole(header, "embedding_length")
    if _whole(header, "attention.head_count_kv", heads) != heads:
        raise InvalidFile(f"{header.path}: grouped-query attention is a variant of Phi that is not supported")
    layers = _whole(header, "block_count")
    if layers > len(header.tensors):
        raise _broken(header, f"{ARCHITECTURE}.block_count")
    try:
        return PhiConfig(
            vocab_size=embedding.shape[0],
            hidden_size=width,
            intermediate_size=_whole(header, "feed_forward_length"),
            num_hidden_layers=layers,
            num_attention_heads=heads,
            max_position_embeddings=_whole(header, "context_length"),
            partial_rotary_factor=_share(_whole(header, "rope.dimension_count"), width // heads or 1),
            rope_theta=_real(header, "rope.freq_base", 10_000.0),
            layer_norm_eps=_real(header, "attention.layer_norm_epsilon"),
            eos_token_id=_end_of_text(header),
        )
    except InvalidFile as error:
        raise InvalidFile(f"{header.path}: {error}") from error


def _share(part: int, whole: int) -> float:
    """`part / whole`, such that `int(_share(part, whole) * whole)` is `part` again."""
    share = part / whole
    return share if int(share * whole) == part else math.nextafter(share, math.inf)


def _whole(header: GgufHeader, key: str, default: int | None = None) -> int:
    value = header.metadata.get(f"{ARCHITECTURE}.{key}", default)
    if not isinstance(value, int) or not 0 < value <= 2**24:
        raise _broken(header, f"{ARCHITECTURE}.{key}")
    return value


def _real(header: GgufHeader, key: str, default: float | None = None) -> float:
    value = header.metadata.get(f"{ARCHITECTURE}.{key}", default)
    if not isinstance(value, float) or not 0 < value < 1e9:
        raise _broken(header, f"{ARCHITECTURE}.{key}")
    return value


def _end_of_text(header: GgufHeader) -> int:
    value = header.metadata.get("tokenizer.ggml.eos_token_id", 50256)
    if not isinstance(value, int):
        raise _broken(header, "tokenizer.ggml.eos_token_id")
    return value


def _texts(header: GgufHeader, key: str) -> tuple[str, ...]:
    value: Scalar | tuple[Scalar, ...] | None = header.metadata.get(key)
    texts = value if isinstance(value, tuple) else ()
    strings = tuple(text for text in texts if isinstance(text, str))
    if not strings or len(strings) != len(texts):
        raise _broken(header, key)
    return strings


def _broken(header: GgufHeader, key: str) -> InvalidFile:
    return InvalidFile(f"{header.path}: {key} is missing or not of its kind: get the model again")
