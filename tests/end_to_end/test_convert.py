"""Who waits at a terminal for a conversion sees how far it is."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from pseudo_terminal import PseudoTerminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")


def test_each_product_that_a_calibrated_conversion_rounds_is_named_and_counted(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    for package, extra in (("gguf", "convert"), ("onnx", "convert"), ("llama_cpp", "gguf")):
        pytest.importorskip(package, reason=f"{package}, of the extra {extra!r}, is not installed")
    options = ["--to", "gguf:q4_0,onnx:int4", "--budget", "1MB", "--out", str(tmp_path / "out")]
    command = [sys.executable, "-m", "edge_phi", "convert", str(tiny_checkpoint), *options]
    terminal = PseudoTerminal(command, tmp_path, {})
    assert terminal.end() == 0
    said = re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", terminal.written).decode()
    heads = ("making gguf:q4_0", "making onnx:int4", "making gguf:mix1mb")
    _, *forms = re.split("|".join(heads), said)
    assert len(forms) == len(heads)
    inside = [f"layers.{layer}.{part}" for layer in (0, 1) for part in ("qkv", "fc1", "dense", "fc2")]
    whole = [(str(done), name) for done, name in enumerate(["embedding", *inside, "head"])]
    assert [steps(r"\[(\d+)/10\] (\S+)", form) for form in forms] == [whole] * 3
    assert [steps(r"\[(\d+)/3\] what rounding does", form) for form in forms] == [[], [], ["0", "1", "2"]]


def steps(pattern: str, written: str) -> list[Any]:
    """What was shown, each once: the last line is drawn again before it goes."""
    return list(dict.fromkeys(re.findall(pattern, written)))
