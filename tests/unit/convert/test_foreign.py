"""Models of other architectures, through the command: llama.cpp and optimum make what they can, the rest is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_phi.cli import main
from edge_phi.gguf_header import read_gguf_header
from edge_phi.lineage import verify

gguf = pytest.importorskip("gguf", reason="the gguf package, of the extra 'convert', is not installed")


@pytest.fixture
def llama_gguf(tmp_path: Path) -> Path:
    """A random Llama of one layer in float16, without a tokenizer's merges: enough for the quantizer."""
    path = tmp_path / "llama.f16.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_file_type(1)
    writer.add_context_length(64)
    writer.add_embedding_length(256)
    writer.add_block_count(1)
    writer.add_feed_forward_length(256)
    writer.add_head_count(4)
    writer.add_head_count_kv(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("no_vocab")
    random = np.random.default_rng(0)
    for name in ("token_embd", "output", *(f"blk.0.{part}" for part in (
        "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"
    ))):  # fmt: skip
        writer.add_tensor(f"{name}.weight", random.normal(size=(256, 256)).astype(np.float16))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(256, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_llama_cpp_quantizes_a_file_of_its_own(
    llama_gguf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("llama_cpp", reason="llama.cpp, of the extra 'gguf', is not installed")
    assert main(["convert", str(llama_gguf), "--to", "gguf:q4_k_m", "--out", str(tmp_path / "out")]) == 0
    made = tmp_path / "out" / "llama.q4_k_m.gguf"
    assert capsys.readouterr().out == f"{made}\n"
    types = {name: tensor.type for name, tensor in read_gguf_header(made).tensors.items()}
    assert types["blk.0.attn_q.weight"] == "Q4_K" and types["blk.0.attn_norm.weight"] == "F32"
    lineage = verify(made)
    assert list(lineage.source) == ["llama.f16.gguf"] and "llama-cpp-python" in lineage.tools

    assert main(["convert", str(made), "--to", "gguf:q4_0", "--out", str(tmp_path / "again")]) == 2
    assert "quantized already (Q4_K, Q6_K)" in capsys.readouterr().err
    assert main(["convert", str(llama_gguf), "--to", "onnx:int4", "--out", str(tmp_path / "again")]) == 2
    assert "not to onnx:int4" in capsys.readouterr().err
    assert list((tmp_path / "again").iterdir()) == []


def test_optimum_exports_a_folder_that_it_knows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("optimum.exporters.onnx", reason="optimum-onnx, of the extra 'foreign', is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers, of the extra 'train', is not installed")
    onnxruntime = pytest.importorskip("onnxruntime")
    config = transformers.LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=32,
    )  # fmt: skip
    folder = tmp_path / "llama"
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    assert main(["convert", str(folder), "--to", "gguf:q4_0", "--out", str(tmp_path / "out")]) == 2
    assert "LlamaForCausalLM is no Phi and cannot be made gguf:q4_0" in capsys.readouterr().err
    assert main(["convert", str(folder), "--to", "onnx:float32", "--out", str(tmp_path / "out")]) == 0
    session = onnxruntime.InferenceSession(tmp_path / "out" / "onnx-float32" / "model.onnx")
    assert {"input_ids", "past_key_values.0.key"} <= {one.name for one in session.get_inputs()}
    assert verify(tmp_path / "out" / "onnx-float32").form == "onnx:float32"

    (folder / "config.json").write_text((folder / "config.json").read_text().replace("LlamaForCausalLM", "OuaraForX"))
    (folder / "config.json").write_text((folder / "config.json").read_text().replace('"llama"', '"ouara"'))
    assert main(["convert", str(folder), "--to", "onnx:float32", "--out", str(tmp_path / "none")]) == 1
    assert "optimum cannot export OuaraForX" in capsys.readouterr().err
    assert list((tmp_path / "none").iterdir()) == []
