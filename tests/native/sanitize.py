"""Build the native engine with each of GCC's or Clang's sanitizers, and let stress.cpp loose on it.

Then, where valgrind is installed, open, call and close a model a thousand times under it.

    python tests/native/sanitize.py [--rounds N] [address undefined thread valgrind]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = [HERE / "stress.cpp", *sorted((HERE.parents[1] / "edge_phi/runtimes/native").glob("*.cpp"))]
FLAGS = {
    "address": ["-fsanitize=address"],  # with leaks
    "undefined": ["-fsanitize=undefined,float-cast-overflow", "-fno-sanitize-recover=all"],
    "thread": ["-fsanitize=thread"],
    "valgrind": [],
}
VALGRIND = ["valgrind", "--quiet", "--leak-check=full", "--show-leak-kinds=all", "--error-exitcode=1"]
OPENS = "1000"


def main() -> int:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--rounds", type=int, default=40, help="how long to go on (default: %(default)s)")
    arguments.add_argument("sanitizers", nargs="*", help=f"of {', '.join(FLAGS)} (default: all)")
    given = arguments.parse_args()
    failed = [name for name in given.sanitizers or FLAGS if not is_clean(name, given.rounds)]
    print(f"failed: {', '.join(failed)}" if failed else "clean")
    return 1 if failed else 0


def is_clean(name: str, rounds: int) -> bool:
    """Whether the sanitizer has nothing to say; what it says goes to stderr."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / name
        compiler = os.environ.get("CXX", "c++")
        flags = ["-std=c++17", "-O1", "-g", "-pthread", "-ffp-contract=off", "-w", *FLAGS[name]]
        subprocess.run([compiler, *flags, *map(str, SOURCES), "-o", str(program)], check=True)
        print(f"{name} ...", file=sys.stderr, flush=True)
        command = [str(program), str(rounds)]
        if name == "valgrind":
            if not shutil.which(name):
                print("valgrind is not installed: left out", file=sys.stderr)
                return True
            command = [*VALGRIND, str(program), OPENS, "open"]
        return subprocess.run(command, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
