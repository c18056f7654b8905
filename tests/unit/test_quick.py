"""The editor begins without Typer where the call is a plain one."""

from __future__ import annotations

import importlib.metadata
import sys
import types
from collections.abc import Sequence
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from edge_phi import quick
from edge_phi.cli import main


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Installs a quick command `fast`, which answers 7, and None where it is asked to; what it was called with."""
    calls: list[list[str]] = []

    def fast(arguments: Sequence[str]) -> int | None:
        calls.append(list(arguments))
        return None if "--help" in arguments else 7

    module = types.ModuleType("quick_of_this_test")
    module.fast = fast  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    entries = [EntryPoint(name, f"{module.__name__}:{name}", "edge_phi.quick") for name in ("fast",)]
    entries.append(EntryPoint("gone", "module_that_is_not_there:run", "edge_phi.quick"))
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **wanted: EntryPoints(entries).select(**wanted))
    return calls


def test_a_quick_command_is_run_and_its_code_is_the_exit_code(calls: list[list[str]]) -> None:
    assert main(["fast", "a", "b"]) == 7
    assert calls == [["a", "b"]]


def test_what_it_leaves_alone_goes_the_usual_way(calls: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fast", "--help"]) == 2 and "No such command" in capsys.readouterr().err
    assert quick.run(["gone"]) is None and quick.run(["other"]) is None


def test_the_editor_is_one() -> None:
    (entry,) = importlib.metadata.entry_points(group="edge_phi.quick", name="open")
    assert entry.value == "edge_phi.tui.start:quick"
