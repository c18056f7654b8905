"""The `edge-phi` command: every way to fail becomes one line on standard error and an exit code.

0 done, 1 the work failed, 2 the call was wrong, 130 interrupted, 141 nobody reads the output any more.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

from .errors import EdgePhiError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `edge-phi` with `arguments`, those of the process if None, and return the exit code.

    Without arguments it opens the editor. `EDGE_PHI_TRACEBACK=1` shows the traceback of whatever goes wrong.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments) or ["open"]
    try:
        from . import quick  # not before: what is imported takes long enough to be interrupted

        if (code := quick.run(arguments)) is None:
            from . import commands

            code = commands.run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a full disk or a closed pipe can still be told
        return code
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:
        return _fail("", 141)
    except EdgePhiError as error:
        return _fail(str(error), error.exit_code)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        where = error.filename if error.filename is not None else "the output or a file"
        return _fail(f"{where}: {reason}: check the disk, its permissions and the limits of this machine", 1)
    except MemoryError:
        return _fail("not enough memory: close other programs, or take a smaller model or quant", 1)
    except Exception as error:
        detail = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return _fail(f"this is a bug ({detail}): set EDGE_PHI_TRACEBACK=1 to see where", 1)


def _fail(message: str, code: int) -> int:
    """Say `message` on a line of its own, and make sure that the interpreter has nothing to add when it exits."""
    from .completion.terminal import one_line

    with contextlib.suppress(OSError):
        if os.environ.get("EDGE_PHI_TRACEBACK"):
            import traceback

            traceback.print_exc()
        if message and sys.stderr is not None:
            # On a terminal the interrupted output may have left its line open.
            start = "\n" if code == 130 and sys.stderr.isatty() else ""
            print(f"{start}edge-phi: {one_line(message)}", file=sys.stderr, flush=True)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        # The interpreter would flush once more, fail again and say so.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    return code
