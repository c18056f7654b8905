"""Run the ARM kernels in an emulated processor and compare them bit for bit with the portable ones on this machine.

Needs the packages ziglang (a compiler for ARM), unicorn (QEMU's processor) and pyelftools, and a C++ compiler here.

    python tests/native/neon.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from ctypes import CDLL, c_long, c_void_p
from pathlib import Path

import numpy as np
from elftools.elf.elffile import ELFFile
from unicorn import UC_ARCH_ARM64, UC_MODE_ARM, Uc
from unicorn import arm64_const as arm

HERE = Path(__file__).parent
ENGINE = HERE.parents[1] / "edge_phi/runtimes/native"
FLAGS = ["-std=c++17", "-O2", "-ffp-contract=off", "-fno-math-errno", "-w"]
ZIG = [sys.executable, "-m", "ziglang"]
MOST = 2**16  # floats
OUT, STACK, RETURN, SPACE = 0x6000_0000, 0x7000_0000, 0x5000_0000, 0x10_0000  # addresses, and bytes of each


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = on_this_machine(Path(folder)), emulated(Path(folder))
    differ = int((ours.view(np.uint32) != theirs.view(np.uint32)).sum())
    print(f"{ours.size} floats, {differ} differ" if ours.size == theirs.size else "not as many floats")
    return int(differ > 0)


def on_this_machine(folder: Path) -> np.ndarray:
    sources = [HERE / "family.cpp", *(ENGINE / f"{name}.cpp" for name in ("packing", "kernels_portable"))]
    sources += [ENGINE / f"kernels_{name}.cpp" for name in ("avx512", "avx2", "neon")]
    library = folder / "family.so"
    compiler = os.environ.get("CXX", "c++")
    subprocess.run([compiler, *FLAGS, "-shared", "-fPIC", *map(str, sources), "-o", str(library)], check=True)
    run = CDLL(str(library)).run_family
    run.restype, run.argtypes = c_long, [c_void_p]
    out = np.empty(MOST, np.float32)
    return out[: run(out.ctypes.data)].copy()


def emulated(folder: Path) -> np.ndarray:
    """What `run_family` writes on ARM: the program is laid into the emulator's memory and entered, without a system."""
    program, objects = folder / "family.elf", []
    for source in (HERE / "family.cpp", ENGINE / "kernels_neon.cpp"):
        objects.append(str(folder / f"{source.stem}.o"))
        freestanding = ["-target", "aarch64-linux-gnu", "-fno-exceptions", "-fno-stack-protector", "-fno-sanitize=all"]
        subprocess.run([*ZIG, "c++", *freestanding, *FLAGS, "-c", str(source), "-o", objects[-1]], check=True)
    subprocess.run([*ZIG, "ld.lld", "-static", "-e", "run_family", *objects, "-o", str(program)], check=True)
    machine = Uc(UC_ARCH_ARM64, UC_MODE_ARM)
    machine.ctl_set_cpu_model(arm.UC_CPU_ARM64_MAX)
    with program.open("rb") as file:
        elf = ELFFile(file)
        segments = [s for s in elf.iter_segments() if s["p_type"] == "PT_LOAD"]
        low = min(s["p_vaddr"] for s in segments) & ~0xFFFF
        high = max(s["p_vaddr"] + s["p_memsz"] for s in segments)
        machine.mem_map(low, (high - low + 0xFFFF) & ~0xFFFF)
        for segment in segments:
            machine.mem_write(segment["p_vaddr"], segment.data())
        entry = elf.header["e_entry"]
    for start in (OUT, STACK, RETURN):
        machine.mem_map(start, SPACE)
    machine.reg_write(arm.UC_ARM64_REG_CPACR_EL1, 3 << 20)  # lets vector instructions run
    machine.reg_write(arm.UC_ARM64_REG_SP, STACK + SPACE // 2)
    machine.reg_write(arm.UC_ARM64_REG_X0, OUT)
    machine.reg_write(arm.UC_ARM64_REG_X30, RETURN)
    machine.emu_start(entry, RETURN)
    count = machine.reg_read(arm.UC_ARM64_REG_X0)
    return np.frombuffer(bytes(machine.mem_read(OUT, count * 4)), np.float32)


if __name__ == "__main__":
    sys.exit(main())
