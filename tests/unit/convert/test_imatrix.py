from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from edge_phi.checkpoint import open_checkpoint
from edge_phi.convert import ggml
from edge_phi.convert.calibration import load_calibration
from edge_phi.convert.imatrix import Imatrix, compute_imatrix, export_imatrix, read_imatrix, write_imatrix
from edge_phi.errors import InvalidCall, InvalidFile

pytest.importorskip("gguf", reason="the gguf package, of the extra 'convert', is not installed")


@pytest.fixture(scope="module")
def imatrix(tiny_checkpoint: Path) -> Imatrix:
    checkpoint = open_checkpoint(tiny_checkpoint)
    return compute_imatrix(checkpoint, load_calibration(checkpoint, limit=1024))


def test_the_importance_is_the_mean_square_of_what_a_matrix_sees(tiny_checkpoint: Path, imatrix: Imatrix) -> None:
    torch = pytest.importorskip("torch", reason="torch, of the extra 'train', is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers, of the extra 'train', is not installed")
    checkpoint = open_checkpoint(tiny_checkpoint)
    tokens = load_calibration(checkpoint, limit=1024).tokens
    model = transformers.PhiForCausalLM.from_pretrained(tiny_checkpoint, dtype=torch.float32)
    seen = {}
    modules = {
        "blk.1.attn_qkv.weight": model.model.layers[1].self_attn.k_proj,
        "blk.0.ffn_down.weight": model.model.layers[0].mlp.fc2,
        "blk.1.attn_output.weight": model.model.layers[1].self_attn.dense,
        "output.weight": model.lm_head,
    }
    for name, module in modules.items():
        module.register_forward_pre_hook(lambda _, inputs, name=name: seen.update({name: inputs[0]}))
    with torch.no_grad():
        model(torch.from_numpy(tokens.astype(np.int64)))
    for name, inputs in seen.items():
        np.testing.assert_allclose(imatrix.importance[name], inputs.square().mean((0, 1)).numpy(), rtol=1e-3)
    assert imatrix.importance.keys() == {
        f"blk.{layer}.{kind}.weight" for layer in (0, 1) for kind in ("attn_qkv", "attn_output", "ffn_up", "ffn_down")
    } | {"output.weight"}


def test_what_was_written_is_read_back_and_ggml_reads_it(
    tiny_checkpoint: Path, imatrix: Imatrix, tmp_path: Path
) -> None:
    write_imatrix(imatrix, tmp_path / "a.imatrix")
    read = read_imatrix(tmp_path / "a.imatrix", open_checkpoint(tiny_checkpoint))
    assert (read.dataset, read.tokens, read.sequence) == ("built-in", 1024, 512)
    assert read.importance.keys() == imatrix.importance.keys()
    for name, values in read.importance.items():
        np.testing.assert_allclose(values, imatrix.importance[name], rtol=1e-6)
    export_imatrix(
        tiny_checkpoint, tmp_path / "b.imatrix", load_calibration(open_checkpoint(tiny_checkpoint), limit=1024)
    )
    assert (tmp_path / "b.imatrix").read_bytes() == (tmp_path / "a.imatrix").read_bytes()

    pytest.importorskip("llama_cpp", reason="llama.cpp, of the extra 'gguf', is not installed")
    ggml.check_library()
    library = ggml._library()

    class Parameters(ctypes.Structure):  # struct gguf_init_params
        _fields_ = (("no_alloc", ctypes.c_bool), ("context", ctypes.c_void_p))

    context = ctypes.c_void_p()
    library.gguf_init_from_file.restype = ctypes.c_void_p
    library.gguf_init_from_file.argtypes = [ctypes.c_char_p, Parameters]
    parameters = Parameters(False, ctypes.addressof(context))
    opened = library.gguf_init_from_file(str(tmp_path / "a.imatrix").encode(), parameters)
    assert opened and library.gguf_get_n_tensors(ctypes.c_void_p(opened)) == 2 * len(imatrix.importance)
    for key in (b"imatrix.datasets", b"imatrix.chunk_count", b"imatrix.chunk_size"):
        library.gguf_find_key.restype = ctypes.c_int64
        assert library.gguf_find_key(ctypes.c_void_p(opened), key) >= 0


def test_other_models_files_and_numbers_that_weigh_nothing_are_refused(
    tiny_checkpoint: Path, imatrix: Imatrix, tmp_path: Path
) -> None:
    checkpoint, path = open_checkpoint(tiny_checkpoint), tmp_path / "a.imatrix"
    with pytest.raises(InvalidCall, match=r"a\.imatrix"):
        read_imatrix(path, checkpoint)
    for values, words in (
        (np.full(256, np.nan, np.float32), "ffn_up"),
        (np.full(256, -1, np.float32), "ffn_up"),
        (np.ones(128, np.float32), "another model"),
    ):
        write_imatrix(Imatrix({"blk.0.ffn_up.weight": values}, "text", 512, 512), path)
        with pytest.raises(InvalidFile, match=words):
            read_imatrix(path, checkpoint)
    write_imatrix(Imatrix({"blk.7.ffn_up.weight": np.ones(256, np.float32)}, "text", 512, 512), path)
    with pytest.raises(InvalidFile, match="another model"):
        read_imatrix(path, checkpoint)
    from edge_phi.convert.gguf import export_gguf

    export_gguf(tiny_checkpoint, "f16", tmp_path / "model.gguf")
    with pytest.raises(InvalidFile, match="no importance matrix"):
        read_imatrix(tmp_path / "model.gguf", checkpoint)
