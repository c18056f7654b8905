from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_phi import doctor, store
from edge_phi.cli import main
from edge_phi.engines import Engine
from edge_phi.evaluate.sandbox import Isolation, Mechanism


def test_it_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out, err = capsys.readouterr()
    lines = dict(line.split("  ", 1) for line in out.splitlines())
    assert {"edge-phi", "Python", "memory", "engine onnx", "models", "sandbox"} <= set(lines)
    assert "as it was shipped" in lines["phi-1-nano"] and err == ""


def test_it_says_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["bundled_model"] == {"name": "phi-1-nano", "damage": None}
    assert {"name", "present", "detail"} == set(document["sandbox"]["mechanisms"][0])
    assert document["sandbox"]["enough"] in (True, False)
    assert document["machine"]["cores"] >= 1


def test_a_damaged_model_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(store.bundled_folder(), tmp_path / "models")
    weights = tmp_path / "models/phi-1-nano/model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    monkeypatch.setattr(store, "bundled_folder", lambda: tmp_path / "models")
    assert main(["doctor"]) == 1
    out, err = capsys.readouterr()
    assert "model.safetensors: has changed" in out and "model.safetensors: has changed" in err


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    gone = Isolation((Mechanism("namespaces", False, "unshare: Operation not permitted"),))
    monkeypatch.setattr(doctor, "probe", lambda: gone)
    monkeypatch.setattr(doctor, "ENGINES", {"torch": Engine("torch", ("torch-of-no-name",), "train")})
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "sandbox: namespaces  no: unshare: Operation not permitted" in out
    assert "not enough" in out and "pip install 'edge-phi[train]'" in out


def test_it_loads_no_engine() -> None:
    code = (
        "from edge_phi.cli import main; import sys; assert main(['doctor']) == 0\n"
        "assert not {'torch', 'onnxruntime', 'llama_cpp', 'transformers', 'textual'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, timeout=120)
