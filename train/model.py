"""Phi in PyTorch: one LayerNorm shared by attention and MLP, which run in parallel; partial rotary embedding.

As published (microsoft/phi-1): biases in every projection and in the head, untied embeddings, gelu_new, LayerNorm
epsilon 1e-5, rotary embedding (theta 1e4, rotate-half) on a head's first dimensions. q, k and v are one projection
here and three tensors in a checkpoint.

Precision is explicit, without autocast. Parameters are float32 masters. The embedding's output is cast to
`compute_dtype`, and each projection casts its weights to what comes in, so that the residual stream and all matrix
products are in that type. float32 stay: LayerNorm, the rotary angles and the rotation, attention's softmax (inside
PyTorch's kernels), and softmax, sums and mean of the loss. Under FSDP2 the same rule holds with
`MixedPrecisionPolicy(param_dtype=compute_dtype, reduce_dtype=torch.float32, cast_forward_inputs=False)`: without the
last, it would cast the rotary angles.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from edge_phi.checkpoint import PhiConfig

from .distill import Lesson, distillation_loss
from .loss import linear_cross_entropy


class Phi(nn.Module):
    """A Phi language model.

    Built under `torch.device("meta")` it takes no memory; `to_empty(device=...)` and `initialize(seed)` then make it.

    Attributes:
        compute_dtype: type of the residual stream and of matrix products; float32 if not set.
    """

    compute_dtype: torch.dtype

    def __init__(self, config: PhiConfig, *, dropout: float = 0.0) -> None:
        """`dropout` acts where phi has it: embedding, attention weights, and what is added to the residual stream."""
        super().__init__()
        self.config = config
        self.compute_dtype = torch.float32
        self.embed_tokens = Embedding(config.vocab_size, config.hidden_size)
        self.embed_dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(Block(config, dropout) for _ in range(config.num_hidden_layers))
        self.final_layernorm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.lm_head = Linear(config.hidden_size, config.vocab_size)
        self._loss = linear_cross_entropy
        self._distillation_loss = distillation_loss
        cos, sin = rotary_table(config)
        self.cos: Tensor
        self.sin: Tensor
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, tokens: Tensor, targets: Tensor | None = None, lesson: Lesson | None = None) -> Tensor:
        """Logits, or the loss where targets are given.

        Args:
            tokens: int64 [batch, length].
            targets: int64 [batch, length]: for each token the one that follows it.
            lesson: what a teacher says of the same tokens; the loss is then `distillation_loss`.

        Returns:
            Logits [batch, length, vocabulary] in `compute_dtype`; or the mean cross-entropy, float32, nats per token.
        """
        hidden = self.hidden(tokens)
        if targets is None:
            return self.lm_head(hidden)  # type: ignore[no-any-return]
        head = self.lm_head.weight, self.lm_head.bias
        if lesson is None:
            return self._loss(hidden.flatten(0, 1), *head, targets.flatten())
        return self._distillation_loss(hidden.flatten(0, 1), *head, targets.flatten(), lesson)

    def hidden(self, tokens: Tensor) -> Tensor:
        """What the head reads, after the last norm: [batch, length, width] in `compute_dtype`."""
        length = tokens.shape[1]
        cos, sin = self.cos[:length], self.sin[:length]
        hidden = self.embed_dropout(self.embed_tokens(tokens).to(self.compute_dtype))
        for layer in self.layers:
            hidden = layer(hidden, cos, sin)
        return self.final_layernorm(hidden)  # type: ignore[no-any-return]

    def compile_by_layer(self, *, backend: str = "inductor") -> None:
        """Compile one graph that all layers share and one for the loss, instead of one for everything.

        That takes seconds where `compile()` takes a minute, and leaves FSDP2's gathering between layers outside.
        """
        for layer in self.layers:
            layer.compile(fullgraph=True, dynamic=False, backend=backend)
        self._loss = torch.compile(linear_cross_entropy, fullgraph=True, dynamic=False, backend=backend)
        self._distillation_loss = torch.compile(distillation_loss, fullgraph=True, dynamic=False, backend=backend)

    @torch.no_grad()
    def initialize(self, seed: int) -> None:
        """Normal weights of standard deviation 0.02; what writes to the residual stream scaled by 1/sqrt(2 layers).

        The scale is GPT-2's (Radford et al. 2019, section 2.3); phi's papers give none. Every weight is drawn on the
        CPU from a generator of its own, seeded by (seed, name): the same bits on any device, and for any sharding.
        """
        residual = 0.02 / math.sqrt(2 * self.config.num_hidden_layers)
        for name, weight in self.named_parameters():
            if weight.dim() == 1:
                weight.fill_(1.0 if name.endswith("layernorm.weight") else 0.0)
            else:
                std = residual if name.endswith(("dense.weight", "fc2.weight")) else 0.02
                drawn = torch.empty(weight.shape, device="cpu").normal_(0.0, std, generator=_generator(seed, name))
                if isinstance(weight, DTensor):  # every process draws the whole and keeps its part: nothing is sent
                    drawn = distribute_tensor(drawn, weight.device_mesh, weight.placements, src_data_rank=None)
                weight.copy_(drawn)
        for buffer, values in zip((self.cos, self.sin), rotary_table(self.config), strict=True):
            buffer.copy_(values)


class Block(nn.Module):
    """x + attention(norm(x)) + mlp(norm(x))."""

    def __init__(self, config: PhiConfig, dropout: float) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.heads = config.num_attention_heads
        self.input_layernorm = LayerNorm(width, eps=config.layer_norm_eps)
        self.qkv = Linear(width, 3 * width)
        self.dense = Linear(width, width)
        self.fc1 = Linear(width, inner)
        self.fc2 = Linear(inner, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """One layer over hidden states [batch, length, width]; cos and sin float32 [length, rotary_dim / 2]."""
        batch, length, width = hidden.shape
        normed = self.input_layernorm(hidden)
        q, k, v = self.qkv(normed).view(batch, length, 3, self.heads, -1).unbind(2)
        q, k, v = (heads.transpose(1, 2) for heads in (rotate(q, cos, sin), rotate(k, cos, sin), v))
        dropout = self.dropout.p if self.training else 0.0
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=dropout)
        attention = self.dense(attended.transpose(1, 2).reshape(batch, length, width))
        mlp = self.fc2(F.gelu(self.fc1(normed), approximate="tanh"))
        return hidden + self.dropout(attention) + self.dropout(mlp)  # type: ignore[no-any-return]


class Linear(nn.Linear):
    """Computes in the type that comes in; its parameters stay as they are."""

    rounding: Callable[[Tensor, Tensor | None], Tensor] | None = None  # of the weights that it computes with
    scales: Tensor | None  # of the grid that they are rounded to, where it is given

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        self.register_buffer("scales", None)

    def forward(self, input: Tensor) -> Tensor:
        """[..., in_features] to [..., out_features]."""
        weight = self.rounding(self.weight, self.scales) if self.rounding else self.weight
        return F.linear(input, weight.to(input.dtype), self.bias.to(input.dtype))


class Embedding(nn.Embedding):
    """Looks up rounded weights, where a rounding is set."""

    rounding: Callable[[Tensor, Tensor | None], Tensor] | None = None
    scales: Tensor | None

    def __init__(self, words: int, width: int) -> None:
        super().__init__(words, width)
        self.register_buffer("scales", None)

    def forward(self, input: Tensor) -> Tensor:
        """int64 [...] to [..., width]."""
        return F.embedding(input, self.rounding(self.weight, self.scales) if self.rounding else self.weight)


class LayerNorm(nn.LayerNorm):
    """Computes in float32 and returns the type that came in."""

    def forward(self, input: Tensor) -> Tensor:
        """[..., width] to the same."""
        weight, bias = self.weight.float(), self.bias.float()
        return F.layer_norm(input.float(), self.normalized_shape, weight, bias, self.eps).to(input.dtype)


def rotary_table(config: PhiConfig) -> tuple[Tensor, Tensor]:
    """Cosines and sines, float32 [context, rotary_dim / 2] each (Su et al. 2021, arXiv 2104.09864)."""
    exponents = torch.arange(0, config.rotary_dim, 2, dtype=torch.float32) / config.rotary_dim
    angles = torch.outer(torch.arange(config.max_position_embeddings).float(), config.rope_theta**-exponents)
    return angles.cos(), angles.sin()


def rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the first dimensions of [batch, length, heads, head_dim] by position; the rest passes."""
    half = cos.shape[-1]
    first, second, rest = torch.split(heads, [half, half, heads.shape[-1] - 2 * half], dim=-1)
    cos, sin = cos[:, None], sin[:, None]
    turned = (first * cos - second * sin).to(heads.dtype), (second * cos + first * sin).to(heads.dtype)
    return torch.cat((*turned, rest), dim=-1)


def _generator(seed: int, name: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
