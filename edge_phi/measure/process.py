"""Python in a child process that never outlives the call that made it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import EdgePhiError, MissingExtra

# Time for a child to clean up after an interrupt, before it is killed.
_GRACE_S = 5.0

# A child would look for modules in the folder the user is in, where a torch.py may lie: take that folder out. (-P does
# it from Python 3.11 on; -I would also hide packages installed for one user.)
_PREAMBLE = "import sys; sys.path = [folder for folder in sys.path if folder]; "


def python(code: str, *arguments: str) -> list[str]:
    """The command line that runs `code` in this interpreter, `arguments` in its `sys.argv[1:]`."""
    return [sys.executable, "-c", _PREAMBLE + code, *arguments]


def run(command: Sequence[str], *, stdin: str = "") -> str:
    """Run a command to its end and return what it wrote to stdout. Interrupted, it takes the child down with it.

    Raises:
        EdgePhiError: it could not be started, was killed by a signal, or ended with another code than 0; the message
            is its last line on stderr where it has one.
    """
    release = _hold_interrupts()
    try:
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            encoding="utf-8", errors="replace",
        )  # fmt: skip
    except OSError as error:
        release()
        raise EdgePhiError(f"{command[0]}: cannot be started ({error.strerror}): check this Python") from error
    with child:
        try:
            release()
            stdout, stderr = child.communicate(stdin)
        except BaseException:
            _end(child)
            raise
    if child.returncode:
        raise EdgePhiError(why_it_ended(child.returncode, stderr))
    return stdout


def ask(command: Sequence[str], job: Any) -> Any:
    """Have a child that calls `serve` do a job; job and answer are JSON.

    Raises:
        MissingExtra: the child found that an engine is not installed.
        EdgePhiError: the child failed or died; says how.
    """
    answer = run(command, stdin=json.dumps(job))
    try:
        found = json.loads(answer)
    except ValueError as error:
        raise EdgePhiError(f"its process gave no measurement ({error})") from error
    if isinstance(found, dict) and "error" in found:
        raise (MissingExtra if found.get("missing_extra") else EdgePhiError)(str(found["error"]))
    return found


def serve(work: Callable[[Any], Any]) -> None:
    """The child of `ask`: a job from stdin to `work`, its answer, or the error that it raises, to stdout."""
    # The parent's affair; and an engine deep in native code would not see Python's own handler.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Engines print to stdout as they please: what they print goes to stderr, the answer to where stdout was.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answer:
        os.dup2(2, 1)
        try:
            found = work(json.load(sys.stdin))
        except EdgePhiError as error:
            found = {"error": str(error), "missing_extra": isinstance(error, MissingExtra)}
        json.dump(found, answer)


def why_it_ended(code: int, stderr: str) -> str:
    """In a few words: the signal that killed a child, or its last line on stderr."""
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"ended with exit code {code} and not a word"


def _hold_interrupts() -> Callable[[], None]:
    """Until the function returned is called, which raises what was held: Popen would lose a child that it just made."""
    before = signal.getsignal(signal.SIGINT)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        return lambda: None
    held: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: held.append(number))

    def release() -> None:
        signal.signal(signal.SIGINT, before)
        if held:
            raise KeyboardInterrupt

    return release


def _end(child: subprocess.Popen[str]) -> None:
    try:
        if sys.platform == "win32":
            child.terminate()
        else:
            child.send_signal(signal.SIGINT)
        child.wait(_GRACE_S)
    except BaseException:  # out of patience, or interrupted again
        child.kill()
        child.wait()
