from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
import typer

from edge_phi.cli import main
from edge_phi.errors import EdgePhiError, InvalidCall

HEAVY = ("torch", "transformers", "textual", "onnx", "onnxruntime", "llama_cpp", "gguf", "tokenizers", "numpy")


def imported(code: str, *watched: str) -> set[str]:
    """Which of the `watched` packages a fresh interpreter has loaded after `code`."""
    report = f"import sys; print(*({watched!r} & sys.modules.keys()), sep='\\n', file=sys.stderr)"
    report = report.replace(repr(watched), repr(set(watched)))
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def test_importing_the_package_imports_no_engine() -> None:
    assert imported("import edge_phi; dir(edge_phi); edge_phi.InvalidCall", *HEAVY, "typer") == set()


def test_help_lists_every_command_and_imports_no_engine() -> None:
    code = "from edge_phi.cli import main; assert main(['--help']) == 0"
    assert imported(code, "torch", "transformers", "textual", "onnx", "onnxruntime", "llama_cpp") == set()


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Installs functions, Typer apps or module names as the only commands."""
    entries: list[EntryPoint] = []

    def install(**targets: object) -> None:
        for name, target in targets.items():
            value = target if isinstance(target, str) else f"commands_of_this_test:{name}"
            if not isinstance(target, str):
                setattr(module, name, target)
            entries.append(EntryPoint(name, value, "edge_phi.commands"))

    module = types.ModuleType("commands_of_this_test")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **wanted: EntryPoints(entries).select(**wanted))
    yield install


def test_functions_and_apps_are_commands(commands: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    def greet(name: str, loud: bool = False) -> None:
        """Say hello."""
        print(name.upper() if loud else name)

    app = typer.Typer(help="Two of them.")
    app.command("first")(lambda: print("first"))
    app.command("second")(lambda: print("second"))
    commands(greet=greet, many=app, gone="module_that_is_not_there:run")
    assert main(["greet", "ann", "--loud"]) == 0
    assert main(["many", "second"]) == 0
    assert capsys.readouterr() == ("ANN\nsecond\n", "")
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    assert all(text in listed for text in ("greet", "Say hello.", "many", "Two of them.", "gone"))


def test_without_arguments_it_opens_the_editor(
    commands: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    commands(open=lambda: print("the editor"))
    assert main([]) == 0
    assert capsys.readouterr().out == "the editor\n"


def failing(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InvalidCall("x.py: no such file"), 2, "x.py: no such file"),
        (EdgePhiError("the work failed"), 1, "the work failed"),
        (EdgePhiError("two\nlines \x1b[31m"), 1, "two lines \N{REPLACEMENT CHARACTER}[31m"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (typer.Abort(), 130, "interrupted"),
        (typer.BadParameter("no good"), 2, "Invalid value: no good: see 'edge-phi fail --help'"),
        (OSError(28, "No space left on device"), 1, "the output or a file: No space left on device: check the disk"),
        (PermissionError(13, "Permission denied", "/x"), 1, "/x: Permission denied: check the disk"),
        (MemoryError(), 1, "not enough memory"),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch.nn"),
            1,
            "fail needs torch, which is not installed: pip install 'edge-phi[train]'",
        ),
        (
            ModuleNotFoundError("No module named 'llama_cpp'", name="llama_cpp"),
            1,
            "fail needs llama_cpp, which is not installed: pip install 'edge-phi[gguf]'",
        ),
        (ZeroDivisionError("x"), 1, "this is a bug (ZeroDivisionError: x): set EDGE_PHI_TRACEBACK=1 to see where"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_failure_is_one_line_and_a_code(
    commands: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    line: str,
) -> None:
    commands(fail=failing(error))
    assert main(["fail"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"edge-phi: {line}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nothing"], "No such command"),
        (["--nothing"], "No such option"),
        (["greet"], "Missing argument"),
        (["greet", "a", "--count", "x"], "Invalid value for '--count'"),
        (["greet", "a", "b"], "Got unexpected extra argument"),
        (["many"], "Missing command"),
    ],
)
def test_a_wrong_call_is_one_line_and_2(
    commands: Callable[..., None], capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    def greet(name: str, count: int = 1) -> None:
        """Say hello."""

    app = typer.Typer()
    app.command("first")(lambda: None)
    app.command("second")(lambda: None)
    commands(greet=greet, many=app)
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert line in err
    assert err.count("\n") == 1


def test_a_command_that_cannot_be_imported_says_what_is_missing(
    commands: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    commands(gone="module_that_is_not_there:run")
    assert main(["gone", "x", "--y=1"]) == 1
    assert capsys.readouterr().err.startswith("edge-phi: gone needs module_that_is_not_there, which is not installed")


def test_the_traceback_can_be_seen(
    commands: Callable[..., None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_PHI_TRACEBACK", "1")
    commands(fail=failing(ZeroDivisionError("x")))
    assert main(["fail"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_leaves_and_a_full_disk_are_quiet_at_exit(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", "import sys; from edge_phi.cli import main; sys.exit(main(['--version']))"]
    left = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(write)
    assert (left.returncode, left.stderr) == (141, "")
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert done.stderr.count("\n") == 1


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"edge-phi {importlib.metadata.version('edge-phi')}\n"
