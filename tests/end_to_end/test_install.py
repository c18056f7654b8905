"""Installing edge-phi where there is no compiler: without the native engine, and with everything else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

setuptools = pytest.importorskip("setuptools", reason="building takes setuptools, which is not installed")
pytest.importorskip("pip", reason="installing takes pip, which is not installed")
if int(setuptools.__version__.partition(".")[0]) < 77:
    pytest.skip("building takes setuptools 77, and the one installed is older", allow_module_level=True)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """No program is found by its name, so no compiler; and nothing says where one is."""
    nowhere = tmp_path_factory.mktemp("path")
    kept = {
        name: value for name, value in os.environ.items() if name not in ("CC", "CXX", "CPP", "LDSHARED", "LDCXXSHARED")
    }
    return {**kept, "PATH": str(nowhere), "PYTHONPATH": "", "EDGE_PHI_HOME": str(nowhere / "home")}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    """The package, installed from source into a folder of its own."""
    folder = tmp_path_factory.mktemp("install")
    source = folder / "source"
    unwanted = shutil.ignore_patterns("__pycache__", "*.so", "*.egg-info")
    for name in ("edge_phi", "train", "convert", "tui"):
        shutil.copytree(ROOT / name, source / name, ignore=unwanted)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--verbose", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*command, "--wheel-dir", str(folder), str(source)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'building extension "edge_phi.runtimes.native.engine" failed' in done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def edge_phi(
    site: Path, environment: dict[str, str], *arguments: str, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the installed command, away from the checkout."""
    return subprocess.run(
        [sys.executable, "-m", "edge_phi", *arguments],
        env={**environment, "PYTHONPATH": str(site)},
        cwd=site.parent,
        input=stdin,
        capture_output=True,
        text=True,
    )


def test_doctor_says_that_the_native_engine_was_not_built(site: Path, environment: dict[str, str]) -> None:
    assert (site / "edge_phi/runtimes/native/library.py").is_file()
    assert not [*site.rglob("engine.so")]
    done = edge_phi(site, environment, "doctor")
    assert done.returncode == 0, done.stderr
    lines = dict(line.split("  ", 1) for line in done.stdout.splitlines())
    assert "not built" in lines["engine native"] and "C++17 compiler" in lines["engine native"]
    assert str(site) in lines["bundled models"]


def test_the_bundled_model_completes_all_the_same(site: Path, environment: dict[str, str]) -> None:
    done = edge_phi(site, environment, "complete", "--json", stdin="def add(a, b):\n    return ")
    assert done.returncode == 0, done.stderr
    assert '"runtime": "onnx"' in done.stdout
