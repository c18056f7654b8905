"""The choice of types, and the bytes, against llama.cpp's own quantizer."""

from __future__ import annotations

import ctypes
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import write_tiny_checkpoint
from safetensors.numpy import save_file

from edge_phi.checkpoint import PhiConfig, open_checkpoint
from edge_phi.convert.calibration import load_calibration
from edge_phi.convert.gguf import export_gguf
from edge_phi.convert.imatrix import Imatrix, compute_imatrix
from edge_phi.convert.mixture import FILE_TYPES, tensor_types
from edge_phi.gguf_header import read_gguf_header
from edge_phi.gguf_model import tensor_shapes

pytest.importorskip("gguf", reason="the gguf package, of the extra 'convert', is not installed")
llama_cpp = pytest.importorskip("llama_cpp", reason="llama.cpp, of the extra 'gguf', is not installed")

Quantize = Callable[..., str]


@pytest.fixture
def llama_quantize() -> Iterator[Quantize]:
    """llama.cpp's quantizer: from a file to a file; returns what it says."""
    from edge_phi.runtimes import llama_cpp as runtime

    said: list[str] = []

    @llama_cpp.llama_log_callback
    def log(level: int, text: bytes, _: object) -> None:
        said.append(text.decode(errors="replace"))

    def quantize(source: Path, target: Path, file_type: str, imatrix: Imatrix | None = None, dry: bool = False) -> str:
        said.clear()
        parameters = llama_cpp.llama_model_quantize_default_params()
        parameters.ftype, parameters.dry_run, parameters.nthread = FILE_TYPES[file_type].number, dry, 1
        if imatrix:
            parameters.imatrix = entries(imatrix)
        assert not llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(parameters))
        return "".join(said)

    llama_cpp.llama_log_set(log, None)
    yield quantize
    llama_cpp.llama_log_set(runtime._log_callback(llama_cpp), None)


def entries(imatrix: Imatrix) -> Any:
    """The C array that the quantizer takes; a nameless entry ends it."""
    array = (llama_cpp.llama_model_imatrix_data * (len(imatrix.importance) + 1))()
    for entry, (name, values) in zip(array, imatrix.importance.items(), strict=False):
        entry.name, entry.size = name.encode(), len(values)
        entry.data = np.ascontiguousarray(values).ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    return array


def write_checkpoint(folder: Path, layers: int, width: int, deviation: float = 0) -> PhiConfig:
    """A checkpoint in float16, of a geometry as small as may be."""
    write_tiny_checkpoint(folder, layers=1)
    words = json.loads((folder / "config.json").read_text())["vocab_size"]
    config = PhiConfig(words, width, width, layers, 2, 64, eos_token_id=0)
    random = np.random.default_rng(0)
    weights = {
        name: random.normal(0, deviation, shape).astype(np.float16) if deviation else np.zeros(shape, np.float16)
        for name, shape in config.tensor_shapes().items()
    }
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config.to_json()))
    return config


@pytest.mark.parametrize(
    ("layers", "width"), [(1, 256), (6, 256), (9, 256), (17, 256), (24, 256), (32, 256), (9, 96), (9, 80)]
)
def test_every_tensor_gets_the_type_llama_cpp_gives_it(
    tmp_path: Path, llama_quantize: Quantize, layers: int, width: int
) -> None:
    config = write_checkpoint(tmp_path, layers, width)
    export_gguf(tmp_path, "f32", tmp_path / "f32.gguf")
    names = [name for name, shape in tensor_shapes(config).items() if len(shape) == 2]
    one = Imatrix({"blk.0.ffn_up.weight": np.ones(width, np.float32)}, "text", 1, 1)
    for file_type in FILE_TYPES:
        for imatrix in (None, one):
            log = llama_quantize(tmp_path / "f32.gguf", tmp_path / "none.gguf", file_type, imatrix, dry=True)
            theirs = {name: "F32" for name in names}  # the log names no type of what stays as it is
            theirs |= {m[1]: m[2].upper() for m in re.finditer(r"(\S+\.weight) .*-> +\S+ MiB \((\w+)\)", log)}
            ours = tensor_types(config, file_type, with_importance=imatrix is not None)
            assert {name: ours[name] for name in names} == theirs, (file_type, imatrix)


@pytest.mark.parametrize("file_type", FILE_TYPES)
def test_every_tensor_has_the_bytes_llama_cpp_makes(tmp_path: Path, llama_quantize: Quantize, file_type: str) -> None:
    write_checkpoint(tmp_path, 1, 256, deviation=0.05)
    checkpoint = open_checkpoint(tmp_path)
    export_gguf(tmp_path, "f32", tmp_path / "f32.gguf")
    imatrix = compute_imatrix(checkpoint, load_calibration(checkpoint, limit=64))
    for given in (None, imatrix):
        export_gguf(tmp_path, file_type, tmp_path / "ours.gguf", imatrix=given)
        llama_quantize(tmp_path / "f32.gguf", tmp_path / "theirs.gguf", file_type, given)
        assert contents(tmp_path / "ours.gguf") == contents(tmp_path / "theirs.gguf")


def contents(path: Path) -> dict[str, tuple[str, bytes]]:
    raw = path.read_bytes()
    tensors = read_gguf_header(path).tensors
    return {name: (tensor.type, raw[tensor.offset : tensor.offset + tensor.nbytes]) for name, tensor in tensors.items()}
