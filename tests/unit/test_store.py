"""Which form of a model is used where nobody says which."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_phi import engines
from edge_phi.store import Artifact, Model, find_model


def model(*forms: tuple[str, str]) -> Model:
    here = Path("nowhere")
    return Model("some", here, tuple(Artifact("some", *form, here, here) for form in forms))  # type: ignore[arg-type]


FORMS = [("safetensors", "float32"), ("onnx", "float32"), ("gguf", "q8_0"), ("gguf", "q4_0"), ("onnx", "int4")]


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    library = tmp_path / "engine.so"
    monkeypatch.setattr(engines, "NATIVE_LIBRARY", library)
    monkeypatch.delenv(engines.VARIABLE, raising=False)
    return library


def test_our_own_engine_comes_first_where_it_is_built(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert model(*FORMS).artifact().name == "onnx:int4"
    built.touch()
    assert model(*FORMS).artifact().name == "gguf:q4_0"
    monkeypatch.setenv(engines.VARIABLE, "llama_cpp")
    assert model(*FORMS).artifact().name == "onnx:int4"


def test_what_is_quantized_comes_before_full_precision(built: Path) -> None:
    assert model(*FORMS[:3]).artifact().name == "gguf:q8_0"
    assert model(*FORMS[:2]).artifact().name == "onnx:float32"
    assert model(*FORMS[:1]).artifact().name == "torch:float32"


def test_the_bundled_model_has_a_form_for_every_machine(built: Path) -> None:
    assert find_model("phi-1-nano").artifact().name == "onnx:int4"
    built.touch()
    assert find_model("phi-1-nano").artifact().name == "gguf:q4_0"
