"""No engine is a special case but where the engines are: edge_phi/runtimes, and the table in edge_phi/engines.py."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from edge_phi import engines, runtimes
from edge_phi.engines import ENGINES
from edge_phi.errors import MissingExtra
from edge_phi.measure.figures import figures_of
from edge_phi.measure.machine import engine_version
from edge_phi.measure.timing import PromptTiming
from edge_phi.measure.worker import Measurement
from edge_phi.store import Artifact

ROOT = Path(__file__).parents[2]


def modules() -> list[Path]:
    """All of the four packages but the engines themselves."""
    found = [path for room in ("edge_phi", "train", "convert", "tui") for path in sorted((ROOT / room).rglob("*.py"))]
    engine_rooms = (ROOT / "edge_phi/runtimes", ROOT / "edge_phi/engines.py")
    return [path for path in found if not any(path.is_relative_to(room) for room in engine_rooms)]


def names_the_native_engine(source: str) -> list[int]:
    """Lines that name it as a value, or import from it."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        named = isinstance(node, ast.Constant) and node.value == "native"
        module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
        imported = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
        if named or any("native" in name.split(".") for name in (module, *imported)):
            lines.append(node.lineno)
    return sorted(lines)


def test_nothing_outside_asks_for_the_native_engine() -> None:
    found = {
        str(path.relative_to(ROOT)): names_the_native_engine(path.read_text(encoding="utf-8")) for path in modules()
    }
    assert len(found) > 100
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_whoever_would_ask_for_it_is_seen() -> None:
    assert names_the_native_engine('\nif artifact.engine == "native":\n    pass\n') == [2]
    assert names_the_native_engine("from .runtimes import native\nimport edge_phi.runtimes.native.pages\n") == [1, 2]
    assert names_the_native_engine("from edge_phi.runtimes.native.packing import pack\nx = 'a native tongue'\n") == [1]


def test_the_editor_suggests_with_it_where_it_is_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from edge_phi.tui.start import choose_engines

    monkeypatch.delenv(engines.VARIABLE, raising=False)
    for there, engine in ((True, "native"), (False, "onnx")):
        library = tmp_path / str(there) / "engine.so"
        library.parent.mkdir()
        if there:
            library.touch()
        monkeypatch.setattr(engines, "NATIVE_LIBRARY", library)
        suggests, timed = choose_engines("phi-1-nano", None)
        assert suggests.engine == engine and timed is not None and timed.quant == "float32"


def test_every_engine_has_a_module_and_a_version() -> None:
    for name, engine in ENGINES.items():
        assert any((ROOT / "edge_phi/runtimes" / place).is_file() for place in (f"{name}.py", f"{name}/__init__.py"))
        assert engine.packages
    assert engine_version("native").startswith("edge-phi ") and engine_version("nobody's") == ""


def test_the_report_names_the_engine_that_was_loaded(tmp_path: Path) -> None:
    """A Q4_0 file that the native engine turned out not to compute has llama.cpp's figures."""
    path = tmp_path / "tiny.q4_0.gguf"
    path.write_bytes(b"GGUF")
    measured = Measurement(1.0, "llama_cpp", 1, 1, 1, (PromptTiming(1, 1.0, (1.0,), (1, 2)),))
    figures = figures_of(Artifact("tiny", "gguf", "q4_0", path, tmp_path), [measured])
    assert (figures.engine, figures.engine_version) == ("llama_cpp", engine_version("llama_cpp"))


def test_instruction_sets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert runtimes.instruction_set("onnx") == ""
    if engines.NATIVE_LIBRARY.is_file():
        assert runtimes.instruction_set("native")
    from edge_phi.runtimes.native import library

    library.load_library.cache_clear()
    monkeypatch.setattr(library, "NATIVE_LIBRARY", tmp_path / "engine.so")
    with pytest.raises(MissingExtra, match="was not built"):
        runtimes.instruction_set("native")
