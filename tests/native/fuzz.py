"""Damage GGUF files, and the packed weights kept of them, in every way that comes to mind, and open what comes out.

The engine is built with the address and undefined-behaviour sanitizers. A file is refused with an error of ours, or it
is computed with; whatever else happens ends the program, and the file is kept.

    python tests/native/fuzz.py [--cpu-minutes N] [--seed N] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]
ENGINE = HERE.parents[1] / "edge_phi/runtimes/native"
FLAGS = ["-std=c++17", "-O1", "-g", "-pthread", "-ffp-contract=off", "-w", "-shared", "-fPIC"]
FLAGS += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
LIBRARY = "EDGE_PHI_FUZZED_LIBRARY"
EXTREMES = [0, 1, 2, 7, 31, 33, 255, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1]


def main() -> int:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--cpu-minutes", type=float, default=1, help="(default: %(default)s)")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--keep", type=Path, default=Path(), help="where a file that is too much goes")
    given = arguments.parse_args()
    if LIBRARY in os.environ:
        return fuzz(given.cpu_minutes * 60, random.Random(given.seed), given.keep)
    with tempfile.TemporaryDirectory() as folder:
        library, compiler = Path(folder) / "engine.so", os.environ.get("CXX", "c++")
        subprocess.run([compiler, *FLAGS, *map(str, sorted(ENGINE.glob("*.cpp"))), "-o", str(library)], check=True)
        # Python is not built with the sanitizer, so it has to be there first; and Python leaks.
        preloaded = [
            subprocess.run(
                [compiler, f"-print-file-name={name}"], check=True, capture_output=True, text=True
            ).stdout.strip()
            for name in ("libasan.so", "libstdc++.so")
        ]
        environment = {LIBRARY: str(library), "LD_PRELOAD": " ".join(preloaded), "ASAN_OPTIONS": "detect_leaks=0"}
        environment |= {"XDG_CACHE_HOME": folder}
        return subprocess.run([sys.executable, *sys.argv], env={**os.environ, **environment}, check=False).returncode


def fuzz(cpu_s: float, source: random.Random, keep: Path) -> int:
    from random_gguf import write_random_gguf

    from edge_phi.gguf_header import read_gguf_header
    from edge_phi.runtimes.native import library, weights
    from edge_phi.store import Artifact

    library.NATIVE_LIBRARY = Path(os.environ[LIBRARY])
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        originals = []
        for i, head in enumerate(("F16", "Q8_0", "F32", "Q4_0")):
            path = Path(folder) / f"{i}.gguf"
            write_random_gguf(path, width=64 * (1 + i % 2), heads=2, inner=128, head=head, words=40, layers=1 + i % 2)
            header = read_gguf_header(path)
            originals.append((path.read_bytes(), min(tensor.offset for tensor in header.tensors.values())))
        suspect = keep / "suspect.gguf"
        artifact = Artifact("suspect", "gguf", "q4_0", suspect, keep)
        while time.process_time() < cpu_s:
            data, header_bytes = source.choice(originals)
            suspect.write_bytes(damaged(data, header_bytes, source))
            weights._CACHED_FROM_BYTES = 0 if source.random() < 0.2 else 2**62
            for _ in range(2 if weights._CACHED_FROM_BYTES == 0 else 1):
                outcomes[tried(artifact, source)] += 1
                for kept in weights._cache_path(header).parent.glob("*.packed"):
                    packed = kept.read_bytes()
                    kept.write_bytes(damaged(packed, 4096, source) if packed and source.random() < 0.8 else b"")
        suspect.unlink()
    for outcome, count in outcomes.most_common():
        print(f"{count:8} {outcome}")
    return 0


def tried(artifact: object, source: random.Random) -> str:
    """What became of a file: the beginning of the error, or that it was computed with."""
    from edge_phi.errors import EdgePhiError
    from edge_phi.runtimes.native import NativeRuntime

    try:
        runtime = NativeRuntime(artifact, threads=source.choice([1, 1, 2]), kv=source.choice(["float16", "int8"]))
        words, context = runtime.info.vocab_size, runtime.info.context_length
        for _ in range(3):
            runtime.reuse([source.randrange(words) for _ in range(source.randrange(4))])
            count = min(source.randrange(1, 40), context - runtime.length)
            if count:
                runtime.extend([source.randrange(words) for _ in range(count)], all_logits=source.random() < 0.5)
        runtime.close()
    except EdgePhiError as error:
        if "\n" in str(error):
            raise
        return " ".join(str(error).partition(": ")[2].split()[:3])
    return "computed"


def damaged(data: bytes, header_bytes: int, source: random.Random) -> bytes:
    """Some bytes changed, most of them in the header; a number set to an extreme; pieces moved, lost or put twice."""
    changed = bytearray(data)
    for _ in range(source.choice([0, 1, 1, 1, 2, 5])):
        at = source.randrange(header_bytes if source.random() < 0.8 else len(data))
        kind = source.randrange(5)
        if kind == 0:
            changed[at : at + 1] = bytes([source.randrange(256)])
        elif kind == 1:
            size = source.choice([4, 8])
            changed[at : at + size] = (source.choice(EXTREMES) % 2 ** (8 * size)).to_bytes(size, "little")
        elif kind == 2:
            changed[at : at + 1] = bytes([(changed[at] if at < len(changed) else 0) ^ 1 << source.randrange(8)])
        elif kind == 3:
            size, start = source.randrange(1, 64), source.randrange(len(data))
            changed[at : at + source.choice([0, size])] = data[start : start + size]
        else:
            del changed[at if source.random() < 0.3 else len(changed) - source.randrange(1, 64) :]
    return bytes(changed)


if __name__ == "__main__":
    sys.exit(main())
