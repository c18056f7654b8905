"""Phi's forward pass as an ONNX graph of fused operators, written node by node.

A layer is two products: of its norm with [q, k, v and fc1], and of [attention and GELU] with [dense and fc2]; between
them stand GroupQueryAttention and FastGelu (gelu_new), after them SkipLayerNormalization. Those are ONNX Runtime's own
operators, and fewer and larger ones: exported operation by operation the same model runs at 0.6 times the speed.

The graph's interface is the usual one (input_ids, attention_mask, past_key_values.N.key/value -> logits,
present.N.key/value), for one sequence or several of equal length. One more input, `logits_from`, may be left out: it
says from which position on logits are wanted, and the last layer's MLP and the output head are spared the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edge_phi.checkpoint import PhiConfig
from edge_phi.errors import MissingExtra

from .walk import Product, products

try:
    import onnx
    from onnx import TensorProto
except ImportError as error:
    raise MissingExtra("converting to ONNX needs the package onnx: pip install 'edge-phi[convert]'") from error

FUSED = "com.microsoft"  # the domain of ONNX Runtime's own operators

_OPSETS = (("", 17), (FUSED, 1))
_IR_VERSION = 8  # the one that came with opset 17


class Graph:
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


class Weights(Protocol):
    """How a checkpoint's tensors enter the graph."""

    def embedding(self, graph: Graph, ids: str, name: str) -> str:
        """float32 [batch, sequence, width]: the embedding's rows `ids`."""

    def vector(self, graph: Graph, tensor: str) -> str:
        """float32: a tensor of one dimension."""

    def stacked(self, graph: Graph, x: str, parts: Sequence[Product], name: str) -> str:
        """float32 [batch, sequence, rows]: `x` times each matrix, plus its bias, beside one another."""

    def joined(self, graph: Graph, x: str, parts: Sequence[Product], name: str) -> str:
        """float32 [batch, sequence, rows]: `x` is what the matrices multiply, beside one another; their sum."""


def make_model(config: PhiConfig, weights: Weights) -> onnx.ModelProto:
    """The whole model; `weights` is asked for each tensor in the order of the forward pass."""
    graph = Graph()
    _forward_pass(graph, config, weights)
    inputs, outputs = _interface(config)
    body = onnx.helper.make_graph(graph.nodes, "phi", inputs, outputs, graph.initializers)
    opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in _OPSETS]
    return onnx.helper.make_model(body, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="edge-phi")


def groups(config: PhiConfig) -> list[tuple[Product, ...]]:
    """The products that are computed as one, in the order of the forward pass; the embedding is not among them.

    q, k and v of the last layer stand alone: they are wanted for all positions, what follows them only for some.
    """
    named = {product.name: product for product in products(config)}
    found: list[tuple[Product, ...]] = []
    for layer in range(config.num_hidden_layers):
        qkv, fc1, dense, fc2 = (named[f"layers.{layer}.{part}"] for part in ("qkv", "fc1", "dense", "fc2"))
        last = layer == config.num_hidden_layers - 1
        found += [(qkv,), (fc1,)] if last else [(qkv, fc1)]
        found.append((dense, fc2))
    return [*found, (named["head"],)]


def _forward_pass(graph: Graph, config: PhiConfig, weights: Weights) -> None:
    graph.constant("one", np.array(1, np.int64))
    graph.constant("sequence_axis", np.array([1], np.int64))
    graph.constant("logits_from", np.array([0], np.int64))  # the value of the input that may be left out
    graph.constant("end", np.array([np.iinfo(np.int64).max]))
    graph.constant("widths", np.array([3 * config.hidden_size, config.intermediate_size], np.int64))
    lengths, rotations = _lengths(graph), _rotations(graph, config)
    x = weights.embedding(graph, "input_ids", "embedding")
    normed = graph.node(
        "LayerNormalization", [x, *_norm(graph, weights, "model.layers.0.input_layernorm")], "layers.0.norm",
        axis=-1, epsilon=config.layer_norm_eps,
    )  # fmt: skip
    computed = iter(groups(config))
    last = config.num_hidden_layers - 1
    for layer in range(config.num_hidden_layers):
        name = f"layers.{layer}"
        packed, inner = weights.stacked(graph, normed, next(computed), f"{name}.inputs"), ""
        if layer < last:
            packed, inner = graph.nodes_of("Split", [packed, "widths"], [f"{name}.qkv", f"{name}.fc1"], axis=2)
        cache = [f"past_key_values.{layer}.key", f"past_key_values.{layer}.value"]
        attention, *_ = graph.nodes_of(
            "GroupQueryAttention", [packed, "", "", *cache, *lengths, *rotations],
            [f"{name}.attention", f"present.{layer}.key", f"present.{layer}.value"],
            domain=FUSED, num_heads=config.num_attention_heads, kv_num_heads=config.num_attention_heads, do_rotary=1,
        )  # fmt: skip
        if layer == last:  # all keys and values are known: what follows concerns only rows whose logits are wanted
            attention, normed, x = (_wanted_rows(graph, y) for y in (attention, normed, x))
            inner = weights.stacked(graph, normed, next(computed), f"{name}.fc1")
        hidden = graph.node("FastGelu", [inner], f"{name}.gelu", domain=FUSED)
        both = graph.node("Concat", [attention, hidden], f"{name}.both", axis=2)
        output = weights.joined(graph, both, next(computed), f"{name}.outputs")
        following = "model.final_layernorm" if layer == last else f"model.layers.{layer + 1}.input_layernorm"
        normed, *rest = graph.nodes_of(
            "SkipLayerNormalization", [output, x, *_norm(graph, weights, following)],
            ["norm"] if layer == last else [f"layers.{layer + 1}.norm", "", "", f"layers.{layer + 1}.residual"],
            domain=FUSED, epsilon=config.layer_norm_eps,
        )  # fmt: skip
        x = rest[-1] if rest else ""
    weights.stacked(graph, normed, next(computed), "logits")


def _norm(graph: Graph, weights: Weights, name: str) -> list[str]:
    return [weights.vector(graph, f"{name}.{part}") for part in ("weight", "bias")]


def _lengths(graph: Graph) -> list[str]:
    """What attention asks for: int32 [batch], the last position of each sequence, and int32 [], the longest length."""
    total = graph.node("Gather", [graph.node("Shape", ["attention_mask"], "attention_mask.shape"), "one"], "total")
    tokens = graph.node("ReduceSum", ["attention_mask", "sequence_axis"], "tokens", keepdims=0)
    return [
        graph.node("Cast", [graph.node("Sub", [tokens, "one"], "tokens.last")], "seqlens_k", to=TensorProto.INT32),
        graph.node("Cast", [total], "total_sequence_length", to=TensorProto.INT32),
    ]


def _rotations(graph: Graph, config: PhiConfig) -> list[str]:
    """cos and sin, float32 [context, rotary_dim / 2]: rotating fewer dimensions than a head has is how they say it.

    Angles are rounded to float32 as transformers rounds them, since the weights were trained with those.
    """
    exponents = np.arange(0, config.rotary_dim, 2, dtype=np.float32) / np.float32(config.rotary_dim)
    frequencies = np.float32(1) / np.float32(config.rope_theta) ** exponents
    angles = np.arange(config.max_position_embeddings, dtype=np.float32)[:, None] * frequencies
    return [graph.constant("cos_cache", np.cos(angles)), graph.constant("sin_cache", np.sin(angles))]


def _wanted_rows(graph: Graph, x: str) -> str:
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
