"""GGUF files of random Phi models, of any geometry."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

from edge_phi.store import Artifact


def q4_0_blocks(random: np.random.Generator, rows: int, columns: int, scale: float) -> npt.NDArray[np.uint8]:
    """Random blocks as a file holds them: uint8 [rows, bytes]; weights spread over +-8 * `scale`."""
    blocks = random.integers(0, 256, (rows, columns // 32, 18), np.uint8)
    scales = (random.uniform(0.5, 1.5, (rows, columns // 32)) * scale).astype("<f2")
    blocks[..., :2] = scales[..., None].view(np.uint8)
    return blocks.reshape(rows, -1)


def write_random_gguf(
    path: Path, *, width: int, heads: int, inner: int, head: str = "F16", words: int = 100, layers: int = 2
) -> Artifact:
    """A random Phi of any geometry: its matrices Q4_0, its output head F16 or Q8_0, its embedding F32."""
    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "phi2")
    writer.add_context_length(256)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(inner)
    writer.add_block_count(layers)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_eps(1e-5)
    writer.add_rope_dimension_count(min(32, width // heads))
    writer.add_rope_freq_base(10_000.0)

    def matrix(name: str, rows: int, columns: int) -> None:
        blocks = q4_0_blocks(random, rows, columns, 0.02)
        writer.add_tensor(f"{name}.weight", blocks, raw_dtype=gguf.GGMLQuantizationType.Q4_0)
        writer.add_tensor(f"{name}.bias", random.normal(0, 0.1, rows).astype(np.float32))

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", random.normal(1, 0.1, width).astype(np.float32))
        writer.add_tensor(f"{name}.bias", random.normal(0, 0.1, width).astype(np.float32))

    writer.add_tensor("token_embd.weight", random.normal(0, 1, (words, width)).astype(np.float32))
    for layer in range(layers):
        norm(f"blk.{layer}.attn_norm")
        matrix(f"blk.{layer}.attn_qkv", 3 * width, width)
        matrix(f"blk.{layer}.attn_output", width, width)
        matrix(f"blk.{layer}.ffn_up", inner, width)
        matrix(f"blk.{layer}.ffn_down", width, inner)
    norm("output_norm")
    kind = gguf.GGMLQuantizationType[head]
    words_matrix = gguf.quantize(random.normal(0, 0.2, (words, width)).astype(np.float32), kind)
    writer.add_tensor("output.weight", words_matrix, raw_dtype=kind)
    writer.add_tensor("output.bias", random.normal(0, 0.1, words).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Artifact("random", "gguf", "q4_0", path, path.parent)
