"""`edge-phi complete` as a user runs it: a process, its output, its errors and its exit code."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import write_tiny_checkpoint

EDGE_PHI = [sys.executable, "-c", "import sys; from edge_phi.cli import main; sys.exit(main())"]
AS_LEARNED = str(Path(__file__).parents[1] / "complete_as_learned.py")
DOCUMENT = 'def f(x):\n    """Twice é."""\n    return 2 * x\n\n\ndef g():\n    pass\n'

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's data folder with one model of random weights, as ONNX int4 and float32."""
    pytest.importorskip("onnx", reason="the onnx package, of the extra 'convert', is not installed")
    from edge_phi.convert.onnx import export_onnx

    home = tmp_path_factory.mktemp("home")
    folder = write_tiny_checkpoint(home / "models" / "tiny")
    export_onnx(folder, "int4", folder / "onnx-int4")
    export_onnx(folder, "float32", folder)
    return home


@pytest.fixture
def run(home: Path, tmp_path: Path) -> Run:
    def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*EDGE_PHI, *arguments],
            input=stdin,
            capture_output=True,
            cwd=tmp_path,
            env={**os.environ, "EDGE_PHI_HOME": str(home)},
            timeout=300,
        )

    return run


@pytest.fixture
def learned(tiny_checkpoint: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """The command line of an `edge-phi` whose model has learned `document`."""

    def command(document: str, *arguments: str, seconds: float = 0) -> list[str]:
        path = tmp_path / "document"
        path.write_bytes(document.encode())
        return [sys.executable, AS_LEARNED, str(tiny_checkpoint), str(path), str(seconds), *arguments]

    return command


def test_a_draft_model_changes_nothing_and_needs_the_same_tokenizer(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("def f(x):\n    return ")
    arguments = ("complete", "x.py", "--model", "tiny", "--max-tokens", "12")
    plain, drafted = run(*arguments), run(*arguments, "--draft", "tiny")
    assert (drafted.returncode, drafted.stdout, drafted.stderr) == (0, plain.stdout, b"")
    other = run(*arguments, "--draft", "phi-1-nano")
    assert (other.returncode, other.stdout, other.stderr.count(b"\n")) == (2, b"", 1)
    assert b"phi-1-nano: has other tokens" in other.stderr


def test_a_real_model_completes_a_file_and_reports(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("def f(x):\n    return ")
    arguments = ("complete", "x.py", "--model", "tiny", "--max-tokens", "12")
    plain, reported = run(*arguments), run(*arguments, "--json")
    assert (plain.returncode, plain.stderr) == (reported.returncode, reported.stderr) == (0, b"")
    report = json.loads(reported.stdout)
    assert report["text"].encode() == plain.stdout
    assert (report["model"], report["runtime"], report["quant"]) == ("tiny", "onnx", "int4")
    assert report["finish"] in ("end", "stop", "length")
    assert report["tokens"] >= 12 or report["finish"] != "length"
    timings = report["timings"]
    assert timings["load_ms"] > 0 and timings["ttft_ms"] > 0 and timings["decode_tokens_per_s"] > 0
    assert timings["prompt_tokens"] > 0 and timings["cached_tokens"] == 0
    exact = run(*arguments, "--quant", "onnx:float32", "--json")
    assert json.loads(exact.stdout)["quant"] == "float32"


def test_the_process_loads_only_what_it_needs(home: Path, tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("x")
    code = "import sys; from edge_phi.cli import main; main(); print(*sys.modules, sep='\\n', file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code, "complete", str(tmp_path / "x.py"), "--model", "tiny", "--max-tokens", "2"],
        capture_output=True,
        text=True,
        env={**os.environ, "EDGE_PHI_HOME": str(home)},
        timeout=300,
    )
    modules = set(done.stderr.split())
    assert "onnxruntime" in modules
    assert modules.isdisjoint({"torch", "transformers", "textual", "onnx", "gguf", "llama_cpp", "tree_sitter"})
    assert modules.isdisjoint({"typer", "pydantic", "rich", "subprocess"}), "what takes as long as all else"
    assert modules.isdisjoint({"importlib.metadata", "email", "numpy.random"}), "what takes as long as the model's load"


def test_a_pipe_is_completed_at_its_end(learned: Callable[..., list[str]]) -> None:
    start = DOCUMENT[: DOCUMENT.index("2 * x")]
    done = subprocess.run(learned(DOCUMENT, "complete"), input=start.encode(), capture_output=True, timeout=300)
    assert (done.stdout, done.stderr, done.returncode) == (b"2 * x", b"", 0)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_cursor_in_a_file_with_its_newlines_and_mark(
    learned: Callable[..., list[str]], tmp_path: Path, newline: str
) -> None:
    path = tmp_path / "dos.py"
    path.write_bytes(b"\xef\xbb\xbf" + DOCUMENT.replace("\n", newline).encode())
    expected = '"""Twice é."""' + newline + "    return 2 * x"
    # What is below the cursor would end the completion; the file ends at the cursor's line but for a blank one.
    path.write_bytes(("\ufeff" + DOCUMENT[: DOCUMENT.index('"""')] + "\n\n").replace("\n", newline).encode())
    before = path.read_bytes()
    done = subprocess.run(learned(DOCUMENT, "complete", str(path), "--at", "2:5"), capture_output=True, timeout=300)
    assert (done.stdout.decode(), done.stderr, done.returncode) == (expected, b"", 0)
    assert path.read_bytes() == before


def test_nothing_to_add_is_said(learned: Callable[..., list[str]]) -> None:
    done = subprocess.run(learned(DOCUMENT, "complete"), input=DOCUMENT.encode(), capture_output=True, timeout=300)
    assert (done.stdout, done.returncode) == (b"", 0)
    assert done.stderr == b"edge-phi: the model adds nothing here\n"


def test_a_terminal_gets_no_commands_and_a_pipe_gets_the_text(learned: Callable[..., list[str]]) -> None:
    document = "x = '\x1b[31m\x9b\u202e'\n"
    piped = subprocess.run(learned(document, "complete"), input=b"x =", capture_output=True, timeout=300)
    assert piped.stdout.decode() == " '\x1b[31m\x9b\u202e'"

    terminal, its_end = pty.openpty()
    subprocess.run(learned(document, "complete"), input=b"x =", stdout=its_end, timeout=300, check=True)
    shown = os.read(terminal, 1000).decode()
    os.close(terminal)
    os.close(its_end)
    assert shown == " '\N{REPLACEMENT CHARACTER}[31m" + "\N{REPLACEMENT CHARACTER}" * 2 + "'\r\n"


def test_a_terminal_as_input_is_not_waited_for(learned: Callable[..., list[str]]) -> None:
    terminal, its_end = pty.openpty()
    done = subprocess.run(learned(DOCUMENT, "complete"), stdin=its_end, capture_output=True, timeout=300)
    os.close(terminal)
    os.close(its_end)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"edge-phi: no file: give one, or send the text to standard input\n"


def started(command: list[str]) -> subprocess.Popen[bytes]:
    """The process, once its first text has come."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin and process.stdout
    process.stdin.write(b"x = [")
    process.stdin.close()
    process.stdin = None  # communicate would flush it
    watchdog = threading.Timer(300, process.kill)
    watchdog.start()
    try:
        assert process.stdout.read(3) == b"0, "
    finally:
        watchdog.cancel()
    return process


ENDLESS = "x = [" + ", ".join(map(str, range(5000)))


def test_text_is_streamed_and_ctrl_c_ends_it(learned: Callable[..., list[str]]) -> None:
    process = started(learned(ENDLESS, "complete", "--max-tokens", "5000", seconds=0.05))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert err == b"edge-phi: interrupted\n"
    assert len(out) < len(ENDLESS) / 2


def test_a_reader_that_leaves_ends_it(learned: Callable[..., list[str]]) -> None:
    process = started(learned(ENDLESS, "complete", "--max-tokens", "5000", seconds=0.02))
    assert process.stdout and process.stderr
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(300) == 141


def test_a_full_disk_is_said(learned: Callable[..., list[str]]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            learned(DOCUMENT, "complete"), input=b"def f(x):\n    ", stdout=full, stderr=subprocess.PIPE, timeout=300
        )
    assert done.returncode == 1
    assert done.stderr.startswith(b"edge-phi: the output or a file: No space left on device")
    assert done.stderr.count(b"\n") == 1


@pytest.fixture
def bad_files(tmp_path: Path) -> None:
    (tmp_path / "ok.py").write_text("x = 1\ny = 22\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.py").touch()
    (tmp_path / "mark.py").write_bytes(b"\xef\xbb\xbf")
    (tmp_path / "binary.py").write_bytes(b"\x7fELF\0\1")
    (tmp_path / "latin.py").write_bytes(b"# caf\xe9\n")
    (tmp_path / "large.py").write_bytes(b"x" * 20_000_000)
    os.mkfifo(tmp_path / "pipe.py")


@pytest.mark.usefixtures("bad_files")
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("missing.py", "missing.py: no such file: check the path"),
        ("folder", "folder: is a folder: give a file"),
        ("empty.py", "empty.py: is empty: nothing to continue"),
        ("mark.py", "mark.py: is empty: nothing to continue"),
        ("", "standard input: is empty: nothing to continue"),
        ("binary.py", "binary.py: is a binary file (byte 0 at offset 4): give a text file in UTF-8"),
        ("latin.py", "latin.py: is not UTF-8 (byte 0xe9 at offset 5): convert it to UTF-8 first"),
        ("large.py", "large.py: is 20.0 MB, the limit is 10 MB: give only the part around the cursor"),
        ("pipe.py", "pipe.py: is a pipe or a device: give a file, or send the text to standard input"),
        ("ok.py --at 9:1", "ok.py: line 9 is outside the text: it has lines 1 to 3"),
        ("ok.py --at 2:8", "ok.py: column 8 is outside line 2: it has columns 1 to 7"),
        ("ok.py --at 2", "cursor '2': write LINE:COL, both counted from 1, as in 12:5"),
        ("ok.py --model tinny", "unknown model 'tinny': did you mean tiny?"),
        ("ok.py --model tiny --quant int3", "tiny has no form 'int3': it has "),
        ("ok.py --temperature -1", "temperature is -1.0: it must be 0 (greedy) or more"),
        ("ok.py --temperature nan", "temperature is nan"),
        ("ok.py --max-tokens 0", "max tokens is 0: it must be 1 or more"),
        ("ok.py --seed -3", "seed is -3: it must be 0 or more"),
        ("ok.py --max-tokens many", "Invalid value for '--max-tokens'"),
        ("ok.py more.py", "Got unexpected extra argument"),
    ],
)
def test_a_wrong_call_is_one_line_and_2(run: Run, arguments: str, line: str) -> None:
    done = run("complete", *arguments.split())
    assert done.stderr.decode().startswith(f"edge-phi: {line}")
    assert done.stderr.count(b"\n") == 1
    assert (done.returncode, done.stdout) == (2, b"")


def test_damaged_models_are_one_line_and_1(run: Run, home: Path, tmp_path: Path) -> None:
    (tmp_path / "ok.py").write_text("x = 1\n")
    for file, keep in (
        ("onnx-int4/onnx/model_q4.onnx_data", 1000),
        ("tokenizer.json", 50),
        ("onnx-int4/onnx/model_q4.onnx", 500),
    ):
        broken = tmp_path / f"broken-{Path(file).name}"
        subprocess.run(["cp", "-r", str(home / "models" / "tiny"), str(broken)], check=True)
        (broken / "model.onnx").unlink()
        for copy in (broken / file, *broken.glob(f"onnx-int4/{file}")):
            copy.write_bytes(copy.read_bytes()[:keep])
        done = run("complete", "ok.py", "--model", str(broken), "--quant", "int4")
        assert done.stderr.count(b"\n") == 1, done.stderr.decode()
        assert (done.returncode, done.stdout) == (1, b"")
