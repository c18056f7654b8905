"""Run the whole engine on processors that are not here, in an emulator, and compare its logits bit for bit.

The reference is the portable kernels of this machine. Needs qemu-user and, for ARM, a cross-compiler: the Debian
packages qemu-user and g++-aarch64-linux-gnu. AVX-VNNI, which QEMU does not know, is run in another encoding where this
processor has AVX-512 VNNI: the same instructions, the same registers.

    python tests/native/emulate.py
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
ENGINE = HERE.parents[1] / "edge_phi/runtimes/native"
FLAGS = ["-std=c++17", "-O2", "-ffp-contract=off", "-fno-math-errno", "-pthread", "-static", "-w"]

# Compiler, its flags, and what runs the program on each processor; the kernels that processor must choose.
X86, ARM = os.environ.get("CXX", "c++"), "aarch64-linux-gnu-g++"
RUNS: list[tuple[str, list[str], list[str], str]] = [
    (X86, [], ["qemu-x86_64", "-cpu", "Nehalem"], "portable"),
    (X86, [], ["qemu-x86_64", "-cpu", "max"], "avx2"),
    (X86, ["-DEDGE_PHI_VNNI_AS_EVEX"], [], "avx-vnni"),
    (ARM, [], ["qemu-aarch64", "-cpu", "cortex-a57"], "portable"),
    (ARM, [], ["qemu-aarch64", "-cpu", "neoverse-n1"], "neon-dotprod"),
    (ARM, [], ["qemu-aarch64", "-cpu", "max"], "neon-i8mm"),
]


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        expected = logits([str(built(X86, [], Path(folder)))], "portable")
        failed = 0
        for compiler, flags, emulator, kernels in RUNS:
            name = " ".join([*emulator, *flags, kernels])
            if not all(map(shutil.which, [compiler, *emulator[:1]])):
                print(f"{name}: not run, {compiler} or {''.join(emulator[:1])} is missing")
                continue
            command = [*emulator, str(built(compiler, flags, Path(folder)))]
            known = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            if flags and kernels not in known:
                print(f"{name}: not run, this processor has no AVX-512 VNNI")
                continue
            got = logits(command, kernels) if kernels in known else np.zeros(0, np.uint32)
            same = got.shape == expected.shape and bool((got == expected).all())
            print(f"{name}: {'the same' if same else 'DIFFERS'}, {got.size} logits; offered {', '.join(known)}")
            failed += not (same and (flags or known[0] == kernels))
    return int(failed > 0)


def built(compiler: str, flags: list[str], folder: Path) -> Path:
    program = folder / f"{compiler}{len(flags)}".replace("/", "_")
    if not program.exists():
        sources = [HERE / "logits.cpp", *sorted(ENGINE.glob("*.cpp"))]
        subprocess.run([compiler, *FLAGS, *flags, *map(str, sources), "-o", str(program)], check=True)
    return program


def logits(command: list[str], kernels: str) -> np.ndarray:
    """Their bits."""
    values = np.frombuffer(subprocess.run([*command, kernels], check=True, capture_output=True).stdout, np.float32)
    assert np.isfinite(values).all() and values.std() > 0.1, "these are no logits"
    return values.view(np.uint32)


if __name__ == "__main__":
    sys.exit(main())
