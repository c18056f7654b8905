"""Phi in PyTorch: one LayerNorm shared by attention and MLP, which run in parallel; partial rotary embedding.

As published (microsoft/phi-1): biases in every projection and in the head, untied embeddings, gelu_new, LayerNorm
epsilon 1e-5, rotary embedding (theta 1e4, rotate-half) on a head's first dimensions. q, k and v are one projection
here and three tensors in a checkpoint.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_phi.checkpoint import PhiConfig


class Phi(nn.Module):
    """Tokens int64 [batch, length] to logits [batch, length, vocabulary] in the weights' type."""

    def __init__(self, config: PhiConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.final_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size)
        cos, sin = rotary_table(config)
        self.cos: Tensor
        self.sin: Tensor
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits for every position."""
        length = tokens.shape[1]
        cos, sin = self.cos[:length], self.sin[:length]
        hidden = self.embed_tokens(tokens)
        for layer in self.layers:
            hidden = layer(hidden, cos, sin)
        return self.lm_head(self.final_layernorm(hidden))  # type: ignore[no-any-return]

    @torch.no_grad()
    def initialize(self, seed: int) -> None:
        """Normal weights of standard deviation 0.02; what writes to the residual stream scaled by 1/sqrt(2 layers).

        The scale is GPT-2's (Radford et al. 2019, section 2.3); phi's papers give none.
        """
        generator = torch.Generator().manual_seed(seed)
        residual = 0.02 / math.sqrt(2 * self.config.num_hidden_layers)
        for name, weight in self.named_parameters():
            if weight.dim() == 1:
                weight.fill_(1.0 if name.endswith("layernorm.weight") else 0.0)
            else:
                std = residual if name.endswith(("dense.weight", "fc2.weight")) else 0.02
                weight.normal_(0.0, std, generator=generator)


class Block(nn.Module):
    """x + attention(norm(x)) + mlp(norm(x))."""

    def __init__(self, config: PhiConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.heads = config.num_attention_heads
        self.input_layernorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.qkv = nn.Linear(width, 3 * width)
        self.dense = nn.Linear(width, width)
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, hidden: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """One layer over hidden states [batch, length, width]."""
        batch, length, width = hidden.shape
        normed = self.input_layernorm(hidden)
        q, k, v = self.qkv(normed).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True)
        attended = attended.transpose(1, 2).reshape(batch, length, width)
        mlp = self.fc2(F.gelu(self.fc1(normed), approximate="tanh"))
        return hidden + self.dense(attended) + mlp  # type: ignore[no-any-return]


def rotary_table(config: PhiConfig) -> tuple[Tensor, Tensor]:
    """Cosines and sines, float32 [context, rotary_dim / 2] each (Su et al. 2021, arXiv 2104.09864)."""
    exponents = torch.arange(0, config.rotary_dim, 2, dtype=torch.float32) / config.rotary_dim
    angles = torch.outer(torch.arange(config.max_position_embeddings).float(), config.rope_theta**-exponents)
    return angles.cos(), angles.sin()


def rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the first dimensions of [batch, heads, length, head_dim] by position; the rest passes."""
    half = cos.shape[-1]
    first, second, rest = torch.split(heads, [half, half, heads.shape[-1] - 2 * half], dim=-1)
    cos, sin = cos.to(heads.dtype), sin.to(heads.dtype)
    return torch.cat((first * cos - second * sin, second * cos + first * sin, rest), dim=-1)
