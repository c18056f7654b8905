"""The independent check: a process of its own that gets exercises as text, runs them and compares.

Run as a script with limits on its time and memory. It reads one JSON list of `[text, [[call, output], ...]]`
from stdin and writes a JSON list of reasons, "" for an exercise that holds. It imports nothing of this package.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

CPU_SECONDS = 120
MEMORY_BYTES = 1 << 30
SECONDS_EACH = 2.0
WALL_SECONDS = 240.0


def verify(records: Sequence[tuple[str, Sequence[tuple[str, str]]]]) -> list[str]:
    """Check exercises in a fresh process; a batch that kills the process is checked one by one.

    Returns:
        One reason per record, "" where every example came out as written.
    """
    if not records:
        return []
    reasons = _in_process(records)
    if reasons is not None:
        return reasons
    if len(records) == 1:
        return ["verifier was killed"]
    middle = len(records) // 2
    return verify(records[:middle]) + verify(records[middle:])


def check(text: str, examples: Sequence[Sequence[str]]) -> str:
    """Run one exercise in this process and return why it fails, or ""."""
    scope: dict[str, Any] = {"__name__": "exercise"}
    try:
        with _alarm(SECONDS_EACH), contextlib.redirect_stdout(io.StringIO()):
            exec(compile(text, "<exercise>", "exec"), scope)
            shown = [(e.source.strip(), e.want.strip()) for e in _doctests(text)]
            for call, output in [*shown, *examples]:
                if not _same(call, output, scope):
                    return "wrong output"
    except TimeoutError:
        return "ran too long"
    except MemoryError:
        return "ran out of memory"
    except BaseException as error:
        return f"raised {type(error).__name__}"
    return "" if examples else "no example"


def _same(call: str, output: str, scope: dict[str, Any]) -> bool:
    try:
        value = eval(call, scope)
    except SyntaxError:
        exec(call, scope)  # a statement of a class's example
        return output == ""
    expected = ast.literal_eval(output) if output else None
    return type(value) is type(expected) and bool(value == expected)


def _doctests(text: str) -> list[doctest.Example]:
    parser = doctest.DocTestParser()
    found: list[doctest.Example] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found += parser.get_examples(ast.get_docstring(node) or "")
    return found


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def late(_signal: int, _frame: object) -> None:
        raise TimeoutError

    if not hasattr(signal, "setitimer"):  # Windows: the wall-time limit of the process has to do
        yield
        return
    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _in_process(records: Sequence[tuple[str, Sequence[tuple[str, str]]]]) -> list[str] | None:
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(Path(__file__))],
            input=json.dumps(records).encode(),
            capture_output=True,
            timeout=WALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode != 0:
        return None
    try:
        reasons = json.loads(done.stdout)
    except ValueError:
        return None
    fits = isinstance(reasons, list) and len(reasons) == len(records)
    return [str(reason) for reason in reasons] if fits else None


def _limit() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


if __name__ == "__main__":
    _limit()
    answers = [check(text, examples) for text, examples in json.load(sys.stdin)]
    sys.stdout.write(json.dumps(answers))
