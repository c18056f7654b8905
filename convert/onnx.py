"""Checkpoint -> ONNX: the fused graph, written node by node from the checkpoint's own bytes.

No torch and no exporter stands between the weights and the graph, so the same checkpoint always gives the same bytes.
A layer is GroupQueryAttention over one packed q/k/v product, SkipLayerNormalization and FastGelu (gelu_new): ONNX
Runtime's own operators, about 1.7 times as fast as the same model exported operation by operation.

The graph's interface is the usual one (input_ids, attention_mask, past_key_values.N.key/value -> logits,
present.N.key/value), for one sequence or several of equal length. One more input, `logits_from`, may be left out: it
says from which position on logits are wanted, and the last layer's MLP and the output head are spared the rest.

float32: the graph names bytes of the checkpoint's own `model.safetensors`, or shards, as its weights and casts them,
which ONNX Runtime does once, while loading. int4: `model.onnx.data` holds every product's weights in blocks
(`edge_phi.blocks`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import numpy.typing as npt

from edge_phi import blocks
from edge_phi.atomic import atomic_folder, write_bytes
from edge_phi.checkpoint import Checkpoint, PhiConfig, open_checkpoint
from edge_phi.errors import InvalidCall, InvalidFile, MissingExtra

from .onnx_folder import BESIDE, copy_beside, copy_weights, refuse_links

try:
    import onnx
    from onnx import TensorProto
except ImportError as error:
    raise MissingExtra("converting to ONNX needs the package onnx: pip install 'edge-phi[convert]'") from error

QUANTS = ("float32", "int4")

_GRAPH_FILE = "model.onnx"
_DATA_FILE = "model.onnx.data"
_FUSED = "com.microsoft"
_OPSETS = (("", 17), (_FUSED, 1))
_IR_VERSION = 8  # the one that came with opset 17
_STORED_TYPES = {"F32": TensorProto.FLOAT, "F16": TensorProto.FLOAT16, "BF16": TensorProto.BFLOAT16}
_ROTARY_MULTIPLE = 16  # GroupQueryAttention: "cos_cache dimension 1 must be ... a multiple of 8", which is half of them
_ALIGNMENT = 64  # bytes; of a tensor in the data file
# On phi-1-nano two thirds trained, 4 bits for the output head doubled the KL divergence (0.0062, with 8 bits 0.0030);
# the embedding in 8 bits was as good as in float16.
_HEAD_BITS = 8
_EMBEDDING_BITS = 8


def export_onnx(checkpoint_folder: Path, quant: str, out_folder: Path) -> None:
    """Write a checkpoint as an ONNX folder: model.onnx, its weights, config.json and the tokenizer.

    Args:
        checkpoint_folder: config.json, model.safetensors or its shards, and tokenizer.json.
        quant: "float32" or "int4".
        out_folder: int4 replaces it whole, if it holds nothing but an earlier export. float32 adds to it, and to the
            checkpoint's own folder only model.onnx; elsewhere the weights are copied (a hard link would be cheaper,
            but the onnx package refuses to read weights that have two names).

    Raises:
        InvalidCall: no checkpoint there, an unknown `quant`, or an `out_folder` that holds something else.
        InvalidFile: the checkpoint is damaged, a weight is not a finite number, or ONNX Runtime cannot rotate so few
            dimensions.
        EdgePhiError: the folder cannot be written to.
    """
    if quant not in QUANTS:
        raise InvalidCall(f"ONNX has no form {quant!r} here: choose {' or '.join(QUANTS)}")
    checkpoint = open_checkpoint(checkpoint_folder)
    rotated = checkpoint.config.rotary_dim
    if rotated % _ROTARY_MULTIPLE:
        raise InvalidFile(
            f"{checkpoint.folder}: rotates {rotated} dimensions of a head, ONNX Runtime's attention only multiples of "
            f"{_ROTARY_MULTIPLE}: convert to GGUF"
        )
    out = Path(out_folder).resolve()
    if out.exists() and not out.is_dir():
        raise InvalidCall(f"{out}: is a file: an ONNX export is a folder, give another name")
    if quant == "float32":
        _export_float32(checkpoint, out)
    else:
        _export_int4(checkpoint, out)


def _export_float32(checkpoint: Checkpoint, out: Path) -> None:
    """model.onnx comes last: a folder that has it has all it needs."""
    for name in checkpoint.config.tensor_shapes():
        checkpoint.tensor(name)  # refused here if it is not finite: nothing else would look at its values
    if out == checkpoint.folder.resolve():
        refuse_links(checkpoint)
    else:
        copy_weights(checkpoint, out)
        copy_beside(checkpoint, out)
    model = _model(checkpoint.config, _StoredWeights(checkpoint))
    write_bytes(out / _GRAPH_FILE, model.SerializeToString(deterministic=True))


def _export_int4(checkpoint: Checkpoint, out: Path) -> None:
    if out.exists():
        foreign = sorted(path.name for path in out.iterdir() if path.name not in (_GRAPH_FILE, _DATA_FILE, *BESIDE))
        if foreign:
            raise InvalidCall(f"{out}: holds {foreign[0]}, which is no part of an int4 export: give another folder")
    with atomic_folder(out) as folder:
        with (folder / _DATA_FILE).open("wb") as data:
            model = _model(checkpoint.config, _BlockWeights(checkpoint, data))
        (folder / _GRAPH_FILE).write_bytes(model.SerializeToString(deterministic=True))
        copy_beside(checkpoint, folder)


class _Graph:
    """Nodes and initializers in the order they were asked for; each method returns the name of what it added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[TensorProto] = []

    def node(self, operator: str, inputs: Sequence[str], name: str, *, domain: str = "", **attributes: Any) -> str:
        """A node with one output, both called `name`."""
        return self.nodes_of(operator, inputs, [name], domain=domain, **attributes)[0]

    def nodes_of(
        self, operator: str, inputs: Sequence[str], outputs: list[str], *, domain: str = "", **attributes: Any
    ) -> list[str]:
        """A node with several outputs, called as the first."""
        self.nodes.append(
            onnx.helper.make_node(operator, inputs, outputs, name=outputs[0], domain=domain, **attributes)
        )
        return outputs

    def constant(self, name: str, values: npt.NDArray[Any]) -> str:
        """A small array kept in the graph itself."""
        self.initializers.append(onnx.numpy_helper.from_array(values, name))
        return name

    def stored(self, name: str, type_: int, shape: Sequence[int], file: str, offset: int, nbytes: int) -> str:
        """An array whose bytes lie in a file beside the graph."""
        tensor = TensorProto(name=name, data_type=type_, dims=shape, data_location=TensorProto.EXTERNAL)
        for key, value in (("location", file), ("offset", str(offset)), ("length", str(nbytes))):
            tensor.external_data.add(key=key, value=value)
        self.initializers.append(tensor)
        return name


class _Weights(Protocol):
    """How the checkpoint's tensors, called by their names in it, enter the graph."""

    def embedding(self, graph: _Graph, ids: str, weight: str, name: str) -> str:
        """float32 [batch, sequence, width]: the rows `ids` of `weight`."""

    def vector(self, graph: _Graph, tensors: Sequence[str]) -> str:
        """float32: tensors of one dimension, joined."""

    def sum(self, graph: _Graph, tensors: Sequence[str]) -> str:
        """float32: tensors of one dimension, added."""

    def product(
        self, graph: _Graph, x: str, tensors: Sequence[str], name: str, *, bias: Sequence[str] = (), head: bool = False
    ) -> str:
        """float32 [batch, sequence, rows]: `x` times the transpose of the matrices stacked upon one another, + bias."""


class _StoredWeights:
    """float32: each tensor stays where it lies in the checkpoint's files; casts and transpositions fold at load."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._tensors = checkpoint.tensors

    def embedding(self, graph: _Graph, ids: str, weight: str, name: str) -> str:
        rows = graph.node("Gather", [self._stored(graph, weight), ids], f"{name}.stored")  # of the table as it is
        return graph.node("Cast", [rows], name, to=TensorProto.FLOAT)

    def vector(self, graph: _Graph, tensors: Sequence[str]) -> str:
        parts = [self._float32(graph, tensor) for tensor in tensors]
        return parts[0] if len(parts) == 1 else graph.node("Concat", parts, f"{tensors[0]}.joined", axis=0)

    def sum(self, graph: _Graph, tensors: Sequence[str]) -> str:
        return graph.node("Add", [self._float32(graph, tensor) for tensor in tensors], f"{tensors[0]}.sum")

    def product(
        self, graph: _Graph, x: str, tensors: Sequence[str], name: str, *, bias: Sequence[str] = (), head: bool = False
    ) -> str:
        parts = [
            graph.node("Transpose", [self._float32(graph, tensor)], f"{tensor}.transposed", perm=[1, 0])
            for tensor in tensors
        ]
        matrix = parts[0] if len(parts) == 1 else graph.node("Concat", parts, f"{tensors[0]}.packed", axis=1)
        if not bias:
            return graph.node("MatMul", [x, matrix], name)
        y = graph.node("MatMul", [x, matrix], f"{name}.unbiased")
        return graph.node("Add", [y, self.vector(graph, bias)], name)

    def _stored(self, graph: _Graph, tensor: str) -> str:
        at = self._tensors[tensor]
        return graph.stored(tensor, _STORED_TYPES[at.dtype], at.shape, at.file, at.offset, at.nbytes)

    def _float32(self, graph: _Graph, tensor: str) -> str:
        stored = self._stored(graph, tensor)
        if self._tensors[tensor].dtype == "F32":
            return stored
        return graph.node("Cast", [stored], f"{tensor}.float32", to=TensorProto.FLOAT)


class _BlockWeights:
    """int4: products in blocks of 4 bits, the output head and the embedding in blocks of 8, vectors in float32."""

    def __init__(self, checkpoint: Checkpoint, data: IO[bytes]) -> None:
        self._checkpoint = checkpoint
        self._data = data

    def embedding(self, graph: _Graph, ids: str, weight: str, name: str) -> str:
        table = blocks.quantize(self._checkpoint.tensor(weight), _EMBEDDING_BITS)
        codes, scales = self._blocks(graph, weight, table, table.codes.reshape(len(table.codes), -1))
        return graph.node(
            "GatherBlockQuantized", [codes, ids, scales], name, domain=_FUSED,
            bits=table.bits, block_size=blocks.BLOCK, gather_axis=0, quantize_axis=1,
        )  # fmt: skip

    def vector(self, graph: _Graph, tensors: Sequence[str]) -> str:
        return self._write(graph, tensors[0], np.concatenate([self._checkpoint.tensor(name) for name in tensors]))

    def sum(self, graph: _Graph, tensors: Sequence[str]) -> str:
        total = np.add.reduce([self._checkpoint.tensor(name) for name in tensors])
        return self._write(graph, f"{tensors[0]}.sum", total)

    def product(
        self, graph: _Graph, x: str, tensors: Sequence[str], name: str, *, bias: Sequence[str] = (), head: bool = False
    ) -> str:
        weights = np.concatenate([self._checkpoint.tensor(tensor) for tensor in tensors])
        matrix = blocks.quantize(weights, _HEAD_BITS if head else 4)
        inputs = [x, *self._blocks(graph, tensors[0], matrix, matrix.codes)]
        if bias:
            inputs += ["", "", self.vector(graph, bias)]  # no zero points, no order of the columns
        return graph.node(
            "MatMulNBits", inputs, name, domain=_FUSED, N=weights.shape[0], K=weights.shape[1],
            bits=matrix.bits, block_size=blocks.BLOCK, accuracy_level=4,  # 4: activations in int8
        )  # fmt: skip

    def _blocks(self, graph: _Graph, name: str, matrix: blocks.Blocks, codes: npt.NDArray[np.uint8]) -> tuple[str, str]:
        stored = self._write(graph, f"{name}.scales.float16", matrix.scales)
        scales = graph.node("Cast", [stored], f"{name}.scales", to=TensorProto.FLOAT)
        return self._write(graph, f"{name}.codes", codes), scales

    def _write(self, graph: _Graph, name: str, values: npt.NDArray[Any]) -> str:
        raw = values.astype(values.dtype.newbyteorder("<")).tobytes()
        self._data.write(bytes(-self._data.tell() % _ALIGNMENT))
        offset = self._data.tell()
        self._data.write(raw)
        type_ = onnx.helper.np_dtype_to_tensor_dtype(values.dtype)
        return graph.stored(name, type_, values.shape, _DATA_FILE, offset, len(raw))


def _model(config: PhiConfig, weights: _Weights) -> onnx.ModelProto:
    graph = _Graph()
    _forward_pass(graph, config, weights)
    inputs, outputs = _interface(config)
    body = onnx.helper.make_graph(graph.nodes, "phi", inputs, outputs, graph.initializers)
    opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in _OPSETS]
    return onnx.helper.make_model(body, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="edge-phi")


def _forward_pass(graph: _Graph, config: PhiConfig, weights: _Weights) -> None:
    graph.constant("one", np.array(1, np.int64))
    graph.constant("sequence_axis", np.array([1], np.int64))
    graph.constant("logits_from", np.array([0], np.int64))  # the value of the input that may be left out
    graph.constant("end", np.array([np.iinfo(np.int64).max]))
    lengths, rotations = _lengths(graph), _rotations(graph, config)
    x = weights.embedding(graph, "input_ids", "model.embed_tokens.weight", "embedding")
    first = [weights.vector(graph, [f"model.layers.0.input_layernorm.{part}"]) for part in ("weight", "bias")]
    normed = graph.node("LayerNormalization", [x, *first], "layers.0.norm", axis=-1, epsilon=config.layer_norm_eps)
    last = config.num_hidden_layers - 1
    for layer in range(config.num_hidden_layers):
        prefix, name = f"model.layers.{layer}.", f"layers.{layer}"
        projections = [f"{prefix}self_attn.{part}_proj" for part in "qkv"]
        packed = weights.product(
            graph, normed, [f"{p}.weight" for p in projections], f"{name}.qkv", bias=[f"{p}.bias" for p in projections]
        )
        cache = [f"past_key_values.{layer}.key", f"past_key_values.{layer}.value"]
        attention, *_ = graph.nodes_of(
            "GroupQueryAttention", [packed, "", "", *cache, *lengths, *rotations],
            [f"{name}.attention", f"present.{layer}.key", f"present.{layer}.value"],
            domain=_FUSED, num_heads=config.num_attention_heads, kv_num_heads=config.num_attention_heads, do_rotary=1,
        )  # fmt: skip
        if layer == last:  # all keys and values are known: what follows concerns only rows whose logits are wanted
            attention, normed, x = (_wanted_rows(graph, y) for y in (attention, normed, x))
        hidden = graph.node(
            "FastGelu",
            [
                weights.product(graph, normed, [f"{prefix}mlp.fc1.weight"], f"{name}.fc1"),
                weights.vector(graph, [f"{prefix}mlp.fc1.bias"]),
            ],
            f"{name}.gelu",
            domain=_FUSED,
        )
        dense = weights.product(graph, attention, [f"{prefix}self_attn.dense.weight"], f"{name}.dense")
        fc2 = weights.product(graph, hidden, [f"{prefix}mlp.fc2.weight"], f"{name}.fc2")
        both = graph.node("Add", [dense, fc2], f"{name}.output")
        bias = weights.sum(graph, [f"{prefix}self_attn.dense.bias", f"{prefix}mlp.fc2.bias"])
        following = "model.final_layernorm" if layer == last else f"model.layers.{layer + 1}.input_layernorm"
        norm = [weights.vector(graph, [f"{following}.{part}"]) for part in ("weight", "bias")]
        normed, *rest = graph.nodes_of(
            "SkipLayerNormalization", [both, x, *norm, bias],
            ["norm"] if layer == last else [f"layers.{layer + 1}.norm", "", "", f"layers.{layer + 1}.residual"],
            domain=_FUSED, epsilon=config.layer_norm_eps,
        )  # fmt: skip
        x = rest[-1] if rest else ""
    weights.product(graph, normed, ["lm_head.weight"], "logits", bias=["lm_head.bias"], head=True)


def _lengths(graph: _Graph) -> list[str]:
    """What attention asks for: int32 [batch], the last position of each sequence, and int32 [], the longest length."""
    total = graph.node("Gather", [graph.node("Shape", ["attention_mask"], "attention_mask.shape"), "one"], "total")
    tokens = graph.node("ReduceSum", ["attention_mask", "sequence_axis"], "tokens", keepdims=0)
    return [
        graph.node("Cast", [graph.node("Sub", [tokens, "one"], "tokens.last")], "seqlens_k", to=TensorProto.INT32),
        graph.node("Cast", [total], "total_sequence_length", to=TensorProto.INT32),
    ]


def _rotations(graph: _Graph, config: PhiConfig) -> list[str]:
    """cos and sin, float32 [context, rotary_dim / 2]: rotating fewer dimensions than a head has is how they say it.

    Angles are rounded to float32 as transformers rounds them, since the weights were trained with those.
    """
    exponents = np.arange(0, config.rotary_dim, 2, dtype=np.float32) / np.float32(config.rotary_dim)
    frequencies = np.float32(1) / np.float32(config.rope_theta) ** exponents
    angles = np.arange(config.max_position_embeddings, dtype=np.float32)[:, None] * frequencies
    return [graph.constant("cos_cache", np.cos(angles)), graph.constant("sin_cache", np.sin(angles))]


def _wanted_rows(graph: _Graph, x: str) -> str:
    return graph.node("Slice", [x, "logits_from", "end", "sequence_axis"], f"{x}.wanted")


def _interface(config: PhiConfig) -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    value = onnx.helper.make_tensor_value_info
    heads, width = config.num_attention_heads, config.head_dim
    inputs = [
        value("input_ids", TensorProto.INT64, ["batch_size", "sequence_length"]),
        value("attention_mask", TensorProto.INT64, ["batch_size", "total_sequence_length"]),
    ]
    outputs = [value("logits", TensorProto.FLOAT, ["batch_size", "wanted_length", config.vocab_size])]
    for layer in range(config.num_hidden_layers):
        for part in ("key", "value"):
            past = ["batch_size", heads, "past_sequence_length", width]
            present = ["batch_size", heads, "present_sequence_length", width]
            inputs.append(value(f"past_key_values.{layer}.{part}", TensorProto.FLOAT, past))
            outputs.append(value(f"present.{layer}.{part}", TensorProto.FLOAT, present))
    inputs.append(value("logits_from", TensorProto.INT64, [1]))  # an initializer too: that makes it optional
    return inputs, outputs
