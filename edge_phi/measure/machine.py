"""What the figures were measured on, with nothing in it that names a person, a host or a path."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .. import __version__
from ..cores import usable_cores
from ..engines import ENGINES

# Only the instruction sets that some engine has a kernel for: /proc/cpuinfo's word and the usual name.
_INSTRUCTION_SETS = {
    "avx2": "AVX2", "fma": "FMA", "f16c": "F16C", "avx512f": "AVX-512", "avx512_vnni": "AVX-512 VNNI",
    "avx512_bf16": "AVX-512 BF16", "avx_vnni": "AVX-VNNI", "amx_int8": "AMX int8", "amx_bf16": "AMX bf16",
    "asimd": "NEON", "asimddp": "dotprod", "i8mm": "i8mm", "bf16": "bf16", "sve": "SVE", "sve2": "SVE2",
}  # fmt: skip

_SYSCTL_TIMEOUT_S = 5


@dataclass(frozen=True)
class Machine:
    """The computer, the system and the versions behind a set of figures, as they were before it was measured."""

    cpu: str
    cores: int  # usable by this process, as `cores.usable_cores`
    instruction_sets: tuple[str, ...]
    memory_bytes: int | None  # RAM; None where the system does not say
    system: str  # as in "Debian GNU/Linux 12 (bookworm), x86_64"
    python: str
    edge_phi: str
    engines: dict[str, str]  # package -> version, those that are installed
    load_average: float | None  # processes that wanted a core in the minute before; None where the system does not say

    @property
    def busy(self) -> bool:
        """Others have so much to do that timings are theirs as much as ours."""
        return self.load_average is not None and self.load_average > self.cores / 2


def this_machine() -> Machine:
    """Describe the machine this process runs on."""
    return Machine(
        cpu=_cpu(),
        cores=usable_cores(),
        instruction_sets=_instruction_sets(),
        memory_bytes=_memory_bytes(),
        system=f"{_system()}, {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        edge_phi=__version__,
        engines={
            package: version
            for engine in ENGINES.values()
            for package in engine.packages
            if (version := _version(package))
        },
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    )


def busy_line(machine: Machine) -> str:
    """What a reader should know about the figures of a `busy` machine."""
    return (
        f"This machine was busy with something else (load average {machine.load_average:.1f} on {machine.cores} "
        "cores): measure again when it is idle."
    )


def engine_version(engine: str) -> str:
    """The packages behind an engine with their versions, as in "torch 2.13.0, transformers 4.57.6"."""
    packages = ENGINES[engine].packages if engine in ENGINES else ()
    return ", ".join(f"{package} {version}" for package in packages if (version := _version(package)))


def _cpu() -> str:
    if sys.platform == "linux":
        info = _read(Path("/proc/cpuinfo"))
        for field in ("model name", "Model", "Hardware", "cpu model"):
            if match := re.search(rf"^{field}\s*:\s*(.+)$", info, re.MULTILINE):
                return match[1].strip()
    if sys.platform == "darwin" and (name := _sysctl("machdep.cpu.brand_string")):
        return name
    return platform.processor() or platform.machine() or "unknown"


def _instruction_sets() -> tuple[str, ...]:
    if sys.platform == "darwin":  # Apple's cores all have these; its Intel ones report like "AVX2"
        words = _sysctl("machdep.cpu.leaf7_features").lower().split()
        words += ["asimd", "asimddp"] if platform.machine() == "arm64" else []
    else:
        match = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", _read(Path("/proc/cpuinfo")), re.MULTILINE)
        words = match[1].split() if match else []
    return tuple(name for word, name in _INSTRUCTION_SETS.items() if word in words)


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _system() -> str:
    if sys.platform == "linux":
        try:
            return platform.freedesktop_os_release()["PRETTY_NAME"]
        except (OSError, KeyError):
            return "Linux"
    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]}"
    return f"{platform.system()} {platform.release()}"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _sysctl(name: str) -> str:
    try:
        asked = subprocess.run(
            ["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, timeout=_SYSCTL_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip()


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
