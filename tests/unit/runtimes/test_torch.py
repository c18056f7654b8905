from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_phi.errors import Cancelled, EdgePhiError, InvalidCall, InvalidFile, MissingExtra
from edge_phi.runtimes import open_runtime
from edge_phi.runtimes import torch as torch_runtime
from edge_phi.runtimes.torch import TorchRuntime
from edge_phi.store import Artifact, find_model

torch = pytest.importorskip("torch", reason="PyTorch, of the extra 'train', is not installed")
transformers = pytest.importorskip("transformers", reason="transformers, of the extra 'train', is not installed")

TOKENS = np.random.default_rng(1).integers(0, 380, 300).tolist()


def artifact_of(folder: Path) -> Artifact:
    return Artifact("tiny-phi", "safetensors", "float32", folder, folder)


@pytest.fixture(scope="module")
def loaded(tiny_checkpoint: Path) -> Iterator[TorchRuntime]:
    before = torch.get_num_threads()
    runtime = TorchRuntime(artifact_of(tiny_checkpoint), threads=1)
    yield runtime
    runtime.close()
    torch.set_num_threads(before)


@pytest.fixture
def runtime(loaded: TorchRuntime) -> TorchRuntime:
    loaded.rewind(0)
    return loaded


@pytest.fixture(scope="module")
def reference(tiny_checkpoint: Path) -> np.ndarray:
    """What transformers itself makes of the folder, in one pass without a cache: float32 [300, vocabulary]."""
    model = transformers.PhiForCausalLM.from_pretrained(tiny_checkpoint, dtype=torch.float32)
    with torch.inference_mode():
        return model(torch.tensor([TOKENS]), use_cache=False).logits[0].numpy()


def test_logits_are_transformers_own_in_any_chunking(
    runtime: TorchRuntime, reference: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (runtime.info.engine, runtime.info.quant, runtime.info.threads) == ("torch", "float32", 1)
    at_once = runtime.extend(TOKENS, all_logits=True)  # more than a chunk
    assert at_once.dtype == np.float32
    np.testing.assert_allclose(at_once, reference, atol=1e-4)
    for size in (1, 3, 100):
        runtime.rewind(200)
        parts = [runtime.extend(TOKENS[i : i + size], all_logits=True) for i in range(200, 300, size)]
        np.testing.assert_allclose(np.concatenate(parts), reference[200:], atol=1e-4)
    monkeypatch.setattr(torch_runtime, "_CHUNK", 64)
    runtime.rewind(0)
    np.testing.assert_allclose(runtime.extend(TOKENS), reference[-1:], atol=1e-4)


def test_after_a_rewind_other_tokens_count_and_the_forgotten_do_not(runtime: TorchRuntime) -> None:
    fresh = runtime.extend(TOKENS[:40] + TOKENS[100:120])
    runtime.rewind(0)
    runtime.extend(TOKENS[:90])
    runtime.rewind(40)
    assert runtime.length == 40
    np.testing.assert_allclose(runtime.extend(TOKENS[100:120]), fresh, atol=1e-4)


class CancelledAtTheThirdLook(threading.Event):
    looks = 0

    def is_set(self) -> bool:
        self.looks += 1
        return self.looks > 2


@pytest.mark.parametrize("count", [1, 280])
def test_cancel_inside_a_call_leaves_the_cache(runtime: TorchRuntime, count: int) -> None:
    runtime.extend(TOKENS[:20])
    cancel = CancelledAtTheThirdLook()  # in the first layer: what was added there goes again
    with pytest.raises(Cancelled):
        runtime.extend(TOKENS[20 : 20 + count], cancel=cancel)
    assert (runtime.length, cancel.looks) == (20, 3)
    after = runtime.extend(TOKENS[20:30])
    runtime.rewind(0)
    np.testing.assert_allclose(after, runtime.extend(TOKENS[:30]), atol=1e-4)


def test_calls_it_refuses_and_close(tiny_checkpoint: Path, capfd: pytest.CaptureFixture[str]) -> None:
    runtime = open_runtime(artifact_of(tiny_checkpoint))
    assert isinstance(runtime, TorchRuntime)
    for tokens in ([], [380], [-1], [0] * 513):
        with pytest.raises(InvalidCall):
            runtime.extend(tokens)
    with pytest.raises(InvalidCall):
        runtime.rewind(1)
    runtime.close()
    runtime.close()
    with pytest.raises(InvalidCall, match="closed"):
        runtime.extend([1])
    with pytest.raises(InvalidCall, match="0 threads"):
        TorchRuntime(artifact_of(tiny_checkpoint), threads=0)
    assert capfd.readouterr() == ("", "")


def test_bfloat16_weights_are_widened_without_loss(tmp_path: Path) -> None:
    from conftest import write_tiny_checkpoint

    folder = write_tiny_checkpoint(tmp_path / "bf16", layers=1, dtype="BF16")
    runtime = TorchRuntime(artifact_of(folder))
    model = transformers.PhiForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        expected = model(torch.tensor([TOKENS[:20]])).logits[0].numpy()
    np.testing.assert_allclose(runtime.extend(TOKENS[:20], all_logits=True), expected, atol=1e-4)
    runtime.close()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("model.safetensors", lambda data: data[:-100]),
        ("model.safetensors", lambda data: data[:500]),
        ("model.safetensors", lambda data: b""),
        ("config.json", lambda data: json.dumps(json.loads(data) | {"model_type": "llama"}).encode()),
        ("config.json", lambda data: json.dumps(json.loads(data) | {"hidden_size": 128}).encode()),
        ("config.json", lambda data: data[:40]),
    ],
)
def test_damaged_folders_are_one_line(tiny_checkpoint: Path, tmp_path: Path, name: str, change: object) -> None:
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "copy")
    (folder / name).write_bytes(change((folder / name).read_bytes()))  # type: ignore[operator]
    with pytest.raises(InvalidFile, match=name.replace(".", r"\.")) as caught:
        TorchRuntime(artifact_of(folder))
    assert "\n" not in str(caught.value)


def test_an_empty_folder_is_a_wrong_call(tmp_path: Path) -> None:
    with pytest.raises(EdgePhiError, match="holds no model"):
        find_model(tmp_path)
    with pytest.raises(InvalidCall):
        TorchRuntime(artifact_of(tmp_path))


def test_without_torch_the_message_names_the_extra(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"edge-phi\[train\]"):
        TorchRuntime(artifact_of(tiny_checkpoint))
