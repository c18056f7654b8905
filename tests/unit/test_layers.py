"""Imports run one way: the core knows nothing of what stands on it, and importing it loads nothing heavy."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "textual", "onnx", "onnxruntime", "llama_cpp", "gguf", "tokenizers")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The four packages laid out as the wheel lays them out."""
    folder = tmp_path_factory.mktemp("tree")
    ignore = shutil.ignore_patterns("models", "__pycache__")
    shutil.copytree(ROOT / "edge_phi", folder / "edge_phi", ignore=ignore)
    for name in ("train", "convert", "tui"):
        shutil.copytree(ROOT / name, folder / "edge_phi" / name, ignore=ignore)
    return folder


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    program = (
        "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command; lint_imports_command()"
    )
    return subprocess.run(
        [sys.executable, "-c", program, "--config", str(ROOT / "pyproject.toml"), "--no-cache"],
        cwd=tree,
        capture_output=True,
        text=True,
    )


def test_no_import_runs_upward(tree: Path) -> None:
    pytest.importorskip("importlinter", reason="the layering check needs import-linter (extra 'dev')")
    result = lint(tree)
    assert result.returncode == 0, result.stdout


def test_an_import_that_runs_upward_is_seen(tree: Path, tmp_path: Path) -> None:
    pytest.importorskip("importlinter", reason="the layering check needs import-linter (extra 'dev')")
    wrong = tmp_path / "tree"
    shutil.copytree(tree, wrong)
    with (wrong / "edge_phi" / "store.py").open("a") as file:
        file.write("\nfrom edge_phi.train import recipe\n")
    result = lint(wrong)
    assert result.returncode == 1
    assert "edge_phi.store -> edge_phi.train" in result.stdout


@pytest.mark.parametrize("module", ["edge_phi", "edge_phi.cli", "edge_phi.checkpoint", "edge_phi.store"])
def test_importing_the_core_loads_nothing_heavy(module: str) -> None:
    program = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
